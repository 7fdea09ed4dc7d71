//! Certificates as text.

use base64ct::{Base64, Encoding};

/// A certificate in PEM, whose lines end in `line_end`.
pub(crate) fn pem(der: &[u8], line_end: &str) -> String {
    let text = Base64::encode_string(der);
    let lines: Vec<_> = text
        .as_bytes()
        .chunks(64)
        .map(String::from_utf8_lossy)
        .collect();
    format!(
        "-----BEGIN CERTIFICATE-----{line_end}{}{line_end}-----END CERTIFICATE-----{line_end}",
        lines.join(line_end)
    )
}
