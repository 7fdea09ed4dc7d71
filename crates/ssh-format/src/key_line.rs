//! The line of a public key in `authorized_keys` and `.pub` files.

use ssh_encoding::base64::{Base64, Encoding};

use crate::text;

/// A line of a `.pub` file, without a line feed.
pub(crate) fn line_of_blob(algorithm: &str, blob: &[u8], comment: &str) -> String {
    let key = format!("{algorithm} {}", Base64::encode_string(blob));
    match text::sanitize(comment) {
        none if none.is_empty() => key,
        comment => format!("{key} {comment}"),
    }
}
