//! Paths in messages, and as words of a shell.

use std::path::Path;

use ssh_format::text::shell_word;

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
    shell_word(text)
}
