//! Certificates as text (RFC 7468).

use x509_cert::der::pem::{self, LineEnding};

/// A DER certificate in its textual form, with the line feed at the end.
pub(crate) fn certificate(der: &[u8]) -> String {
    pem::encode_string("CERTIFICATE", LineEnding::LF, der)
        .expect("the label is one that PEM allows")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_64_characters() {
        let text = certificate(&[0xff; 49]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "-----BEGIN CERTIFICATE-----");
        assert_eq!(lines[1], "/".repeat(64));
        assert_eq!(lines[2], "/w==");
        assert_eq!(lines[3], "-----END CERTIFICATE-----");
        assert_eq!((lines.len(), text.ends_with("-\n")), (4, true));
    }
}
