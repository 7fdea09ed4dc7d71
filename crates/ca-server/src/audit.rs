//! The audit log: JSON lines, each with the SHA-256 of the line before it.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// The longest text of others in a line, in characters.
const MAX_SHOWN: usize = 128;

/// The log of one node.
#[derive(Debug)]
pub struct Audit {
    log: Mutex<Log>,
}

#[derive(Debug)]
struct Log {
    file: File,
    /// The length of the whole lines in bytes.
    len: u64,
    /// Whether there may be more after them: the last write has failed.
    torn: bool,
    /// Of the next line.
    seq: u64,
    /// The SHA-256 of the last line without its line feed; zeros before the first.
    prev: String,
}

/// What is wrong with a log.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// It cannot be read or written.
    #[error("the audit log cannot be read or written")]
    Io(#[from] io::Error),
    /// A line was changed, removed or inserted.
    #[error("line {line} of the audit log does not follow from the one before it")]
    Broken {
        /// The first such line, counted from 1.
        line: u64,
    },
}

impl Audit {
    /// Opens the log at `path` to go on with it; a half line at its end, of a node that was killed while it wrote, is cut off.
    ///
    /// # Errors
    ///
    /// [`AuditError`], also for a log that was changed.
    pub fn open(path: &Path) -> Result<Self, AuditError> {
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)?;
        let end = verify(&file)?;
        file.set_len(end.len)?;
        Ok(Self {
            log: Mutex::new(Log {
                file,
                len: end.len,
                torn: false,
                seq: end.lines,
                prev: end.prev,
            }),
        })
    }

    /// Writes a line, and has it on the disk when this returns.
    ///
    /// Texts that came over the network are cut to 128 characters, and what could end a line or control a terminal is escaped.
    ///
    /// # Errors
    ///
    /// If it cannot be written. The log is as before then, at the latest when the next line is written.
    pub fn write(&self, now: u64, event: &str, facts: &[(&'static str, String)]) -> io::Result<()> {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let mut line = Map::new();
        line.insert("seq".into(), log.seq.into());
        line.insert("time".into(), now.into());
        line.insert("prev".into(), log.prev.clone().into());
        line.insert("event".into(), event.into());
        for (name, value) in facts {
            let shown: String = value.chars().take(MAX_SHOWN).collect();
            line.insert((*name).into(), shown.into());
        }
        let text = escaped(&Value::Object(line).to_string());
        // A disk that is full takes half of a line, and one that fails may have the whole.
        if log.torn {
            log.file.set_len(log.len)?;
        }
        log.torn = true;
        let whole = format!("{text}\n");
        log.file.write_all(whole.as_bytes())?;
        log.file.sync_data()?;
        log.torn = false;
        log.len += u64::try_from(whole.len()).unwrap_or(0);
        log.seq += 1;
        log.prev = digest(text.as_bytes());
        Ok(())
    }
}

/// JSON with escapes in its strings for all that a terminal would not show as itself: serde_json escapes only what is below U+0020.
fn escaped(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for letter in json.chars() {
        if letter.is_ascii_graphic() || letter == ' ' || letter.escape_debug().len() == 1 {
            shown.push(letter);
        } else {
            for unit in letter.encode_utf16(&mut [0; 2]) {
                shown += &format!("\\u{unit:04x}");
            }
        }
    }
    shown
}

/// Where a log ends.
#[derive(Debug, PartialEq, Eq)]
pub struct End {
    /// How many whole lines it has.
    pub lines: u64,
    /// Their length in bytes.
    len: u64,
    /// The SHA-256 of the last one, in hexadecimal.
    pub prev: String,
}

/// Checks that each line follows from the one before it.
///
/// A program that can write the file can also replace all of it. The last hash, kept elsewhere, shows that.
///
/// # Errors
///
/// [`AuditError`].
pub fn verify(file: &File) -> Result<End, AuditError> {
    let mut reader = BufReader::new(file);
    let mut end = End {
        lines: 0,
        len: 0,
        prev: "0".repeat(64),
    };
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = reader.read_until(b'\n', &mut line)?;
        if line.pop() != Some(b'\n') {
            return Ok(end);
        }
        let value: Option<Value> = serde_json::from_slice(&line).ok();
        let follows = value
            .is_some_and(|value| value["seq"] == end.lines && value["prev"] == end.prev.as_str());
        if !follows {
            return Err(AuditError::Broken {
                line: end.lines + 1,
            });
        }
        end.lines += 1;
        end.len += u64::try_from(read).unwrap_or(0);
        end.prev = digest(&line);
    }
}

/// The SHA-256 of `bytes`, in hexadecimal.
pub(crate) fn digest(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn write(path: &Path, lines: u64) {
        let audit = Audit::open(path).unwrap();
        for line in 0..lines {
            let name = "wéb1\n\u{1b}[31m\"\u{7f}\u{9b}\u{202e}\u{e0001}".repeat(100);
            audit.write(line, "issued", &[("name", name)]).unwrap();
        }
    }

    #[test]
    fn a_log_goes_on_where_it_ended_also_after_a_half_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        write(&path, 2);
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"seq\":2,\"ti").unwrap();
        write(&path, 2);
        let end = verify(&File::open(&path).unwrap()).unwrap();
        assert_eq!(end.lines, 4);
        let text = fs::read_to_string(&path).unwrap();
        let controls = ['\u{1b}', '\u{7f}', '\u{9b}', '\u{202e}', '\u{e0001}'];
        for line in text.lines() {
            assert!(line.len() < 1200 && !line.contains(controls), "{line}");
            let value: Value = serde_json::from_str(line).unwrap();
            let name = value["name"].as_str().unwrap();
            assert!(name.starts_with("wéb1\n\u{1b}[31m\"\u{7f}\u{9b}\u{202e}\u{e0001}"));
        }
    }

    #[test]
    fn a_line_that_was_changed_removed_or_moved_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        write(&path, 4);
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let changed = lines[1].replace("issued", "denied");
        for (kept, broken) in [
            (vec![lines[0], &changed, lines[2], lines[3]], 3),
            (vec![lines[0], lines[2], lines[3]], 2),
            (vec![lines[1], lines[2], lines[3]], 1),
            (vec![lines[0], lines[2], lines[1], lines[3]], 2),
            (vec![lines[0], lines[1], "x", lines[3]], 3),
        ] {
            fs::write(&path, kept.join("\n") + "\n").unwrap();
            let err = verify(&File::open(&path).unwrap()).unwrap_err();
            assert!(
                matches!(err, AuditError::Broken { line } if line == broken),
                "{err}"
            );
            assert!(
                Audit::open(&path).is_err(),
                "a broken log is not gone on with"
            );
        }
    }
}
