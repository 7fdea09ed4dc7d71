//! Paths in messages, and as words of a shell.

use std::path::Path;

/// The name of an input file in a message.
pub(crate) fn name(path: &Path) -> String {
    if path == Path::new("-") {
        "standard input".to_owned()
    } else {
        path.display().to_string()
    }
}

/// The path as one word of a shell.
pub(crate) fn quote(path: &Path) -> String {
    quote_text(&path.display().to_string())
}

/// Any text as one word of a shell.
pub(crate) fn quote_text(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
