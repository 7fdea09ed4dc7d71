//! A chip's version numbers and strings, formatted for a person.

use tpm_core::info::Info;

/// The firmware version, as makers write it.
pub(crate) fn firmware(info: &Info) -> String {
    info.firmware_version()
        .map(|number| number.to_string())
        .join(".")
}

/// The revision of the specification.
pub(crate) fn revision(info: &Info) -> String {
    format!(
        "{}.{:02}",
        info.spec_revision / 100,
        info.spec_revision % 100
    )
}

/// `text` with single spaces: chips pad their strings in the middle, too.
pub(crate) fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
