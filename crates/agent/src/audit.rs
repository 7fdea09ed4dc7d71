//! The record of what was done with keys: one JSON object to a line, added and never changed.
//!
//! It says who, which key, for whom and with what result; it holds no secrets and nothing
//! that was signed.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// One thing that happened.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When, in seconds since 1970.
    pub time: u64,
    /// What: `sign`, `unlock`, `lock`, `add`, `remove`.
    pub event: String,
    /// How it ended: `done`, or why not.
    pub result: String,
    /// The fingerprint of the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The label of the key or token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// What was signed: a login, or a file in a namespace.
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

    /// The time as RFC 3339 has it, in UTC.
    #[must_use]
    pub fn date(&self) -> String {
        let (days, second) = (self.time / 86_400, self.time % 86_400);
        let (year, month, day) = civil(days);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

/// The date that is `days` after 1970-01-01 in the Gregorian calendar.
///
/// # Source
///
/// Howard Hinnant, "chrono-compatible low-level date algorithms", `civil_from_days`.
fn civil(days: u64) -> (u64, u64, u64) {
    let z = days + 719_468;
    let (era, day_of_era) = (z / 146_097, z % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

/// The open file.
#[derive(Debug)]
pub(crate) struct Audit(File);

impl Audit {
    /// Opens the file, and makes it and its directory for this user alone.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        if let Some(dir) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        }
        OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
            .open(path)
            .map(Self)
    }

    /// Adds a record, with the time of now. A failure is logged: work goes on.
    pub(crate) fn add(&mut self, mut record: Record) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        record.time = now.unwrap_or_default().as_secs();
        let line = serde_json::to_string(&record).map(|line| line + "\n");
        let written = line
            .map_err(io::Error::from)
            .and_then(|line| self.0.write_all(line.as_bytes()));
        if let Err(err) = written {
            log::warn!("cannot write the audit log: {err}");
        }
    }
}

/// Reads the record at `path`; lines that are none are left out. Empty if there is no file.
///
/// # Errors
///
/// Those of the file.
pub fn read(path: &Path) -> io::Result<Vec<Record>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(err) => return Err(err),
    };
    let mut records = Vec::new();
    for line in BufReader::new(file).split(b'\n') {
        records.extend(serde_json::from_slice::<Record>(&line?).ok());
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_added_reads_back_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state/agent.log");
        assert!(read(&path).unwrap().is_empty());
        for event in ["sign", "lock"] {
            let mut audit = Audit::open(&path).unwrap();
            audit.add(Record {
                event: event.into(),
                result: "a\nb".into(),
                ..Record::default()
            });
        }
        let events: Vec<_> = read(&path).unwrap().into_iter().map(|r| r.event).collect();
        assert_eq!(events, ["sign", "lock"]);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_symbolic_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        std::os::unix::fs::symlink(dir.path().join("other"), &path).unwrap();
        assert!(Audit::open(&path).is_err());
    }

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
