//! Certificates as text (RFC 7468).

/// Characters on a line.
const WIDTH: usize = 64;

/// A DER certificate in its textual form, with the line feed at the end.
pub(crate) fn certificate(der: &[u8]) -> String {
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in der.chunks(WIDTH / 4 * 3) {
        for group in line.chunks(3) {
            text.extend(base64(group));
        }
        text.push('\n');
    }
    text.push_str("-----END CERTIFICATE-----\n");
    text
}

/// One to three bytes in base 64 (RFC 4648 section 4).
fn base64(group: &[u8]) -> [char; 4] {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let byte = |i: usize| usize::from(group.get(i).copied().unwrap_or(0));
    let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
    std::array::from_fn(|i| {
        if i > group.len() {
            '='
        } else {
            char::from(ALPHABET[bits >> (18 - 6 * i) & 0x3f])
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4648 section 10.
    #[test]
    fn the_standards_examples_come_out() {
        for (bytes, text) in [("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v")] {
            assert_eq!(String::from_iter(base64(bytes.as_bytes())), text);
        }
    }

    #[test]
    fn lines_have_64_characters() {
        let text = certificate(&[0xff; 49]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], "/".repeat(64));
        assert_eq!(lines[2], "/w==");
        assert_eq!(lines.len(), 4);
    }
}
