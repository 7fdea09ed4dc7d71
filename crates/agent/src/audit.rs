//! The record of what was done with keys: one JSON object to a line, added and never changed.
//!
//! It says who, which key, for whom and with what result; it holds no secrets and nothing
//! that was signed. Names that others chose stand in it as [`ssh_format::text::shown`] has them.
//! At most 16 MiB are kept (`Log`), and of the refused requests of one process at most 20 in
//! ten minutes (`Quota`).

mod follower;
mod log_file;
mod quota;

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

pub use follower::Follower;
pub(crate) use log_file::Log;
pub(crate) use quota::{Quota, SPAN};

use serde::{Deserialize, Serialize};
use ssh_format::time::rfc_3339;

/// The result of an event that succeeded.
pub(crate) const DONE: &str = "done";

/// One thing that happened.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When, in seconds since 1970.
    pub time: u64,
    /// What: `sign`, `attest`, `unlock`, `lock`, `add`, `remove`, `bind`; `refused` for requests that
    /// were refused and are not listed one by one.
    pub event: String,
    /// How it ended: `done`, or why not.
    pub result: String,
    /// The fingerprint of the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The label of the key or token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The label of the key's token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Where the key was made: `born-here` in the TPM, or `imported`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// What was signed: a login, a file in a namespace, or a proof for a request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
    /// The process that asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// Its name and those of its parents.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub programs: Vec<String>,
}

impl Record {
    /// An event and how it ended; time, key and client are still to be filled in.
    pub(crate) fn of(event: &str, result: &str) -> Self {
        Self {
            event: event.to_owned(),
            result: result.to_owned(),
            ..Self::default()
        }
    }

    /// Whether it was done.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.result == DONE
    }

    /// The time as RFC 3339 has it, in UTC.
    #[must_use]
    pub fn date(&self) -> String {
        rfc_3339(self.time)
    }
}

/// Reads the records at `path`, and before them those of the file that was put aside when it had
/// become too large. Lines that are no records are left out. Empty if there is no file.
///
/// # Errors
///
/// Those of the files.
pub fn read(path: &Path) -> io::Result<Vec<Record>> {
    Follower::new(path).all()
}

/// Where the file at `path` is put aside: with `.1` behind its name.
fn older(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".1");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `date -u -d @…` writes them.
    #[test]
    fn dates_are_those_of_the_calendar() {
        for (time, date) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            let record = Record {
                time,
                ..Record::default()
            };
            assert_eq!(record.date(), date);
        }
    }
}
