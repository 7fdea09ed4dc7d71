//! A notice that is shown once in a terminal session, and not by each command.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use token_store::state_dir;

use crate::machine::jobs::own_session;

/// The file with the sessions that have seen it, one on each line, the newest last.
const FILE: &str = "simulated";

/// How many sessions it has at most.
const SESSIONS: usize = 50;

/// Whether to show it now: in a terminal session that has not seen it, and always if stderr is not a
/// terminal.
///
/// Records the session as one that has seen it. If that fails, the next command shows it again.
pub(crate) fn is_due() -> bool {
    if !io::stderr().is_terminal() {
        return true;
    }
    let (Some(session), Ok(dir)) = (session(), state_dir()) else {
        return true;
    };
    is_new(&dir, &session).unwrap_or(true)
}

/// This terminal session: the id of its first process, and the start time of that process, because ids are reused. `None`
/// if the process is outside of this PID namespace.
fn session() -> Option<String> {
    let id = own_session()?;
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    // The name of the program, in parentheses, may have spaces (proc_pid_stat(5), field 22).
    let start = stat
        .rsplit_once(") ")
        .and_then(|(_, rest)| rest.split(' ').nth(19));
    Some(format!("{id} {}", start.unwrap_or("0")))
}

/// Whether `session` is not in the file yet. Adds it.
fn is_new(dir: &Path, session: &str) -> io::Result<bool> {
    let path = dir.join(FILE);
    let heard = fs::read_to_string(&path).unwrap_or_default();
    let heard: Vec<&str> = heard.lines().collect();
    if heard.contains(&session) {
        return Ok(false);
    }
    let first = heard.len().saturating_sub(SESSIONS - 1);
    let mut text = heard[first..].join("\n");
    if !text.is_empty() {
        text.push('\n');
    }
    text += session;
    text.push('\n');
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    // If two commands write at once, a line can be lost: that session sees the notice twice.
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(path)?.write_all(text.as_bytes())?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_hears_it_once_and_the_file_stays_short() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("state/tpmssh");
        assert!(is_new(&dir, "1 0").unwrap());
        assert!(!is_new(&dir, "1 0").unwrap());
        assert!(is_new(&dir, "1 9").unwrap());
        for id in 100..200 {
            assert!(is_new(&dir, &format!("{id} 0")).unwrap());
        }
        let lines = fs::read_to_string(dir.join(FILE)).unwrap();
        assert_eq!(lines.lines().count(), SESSIONS);
        assert!(!is_new(&dir, "199 0").unwrap());
        assert!(is_new(&dir, "1 0").unwrap(), "long ago");
    }

    #[test]
    fn a_session_has_a_number_and_a_start() {
        let Some(session) = session() else {
            return; // in a container, and its session began outside of it
        };
        let numbers: Vec<u64> = session.split(' ').map(|it| it.parse().unwrap()).collect();
        assert_eq!(numbers.len(), 2, "{session}");
    }
}
