//! Who is at the other end of a connection.

use std::fmt;
use std::fs;

use tokio::net::unix::UCred;

use ssh_format::text;

/// How many parents of a program are named.
const PARENTS: usize = 4;

/// A program of this user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) pid: Option<i32>,
    /// Its name and those of its parents, the closest first.
    pub(crate) programs: Vec<String>,
}

impl Peer {
    /// The program that has connected with these credentials; `None` if it belongs to another
    /// user than this one or root.
    pub(crate) fn of(cred: UCred) -> Option<Self> {
        let me = rustix::process::geteuid().as_raw();
        if ![me, 0].contains(&cred.uid()) {
            log::warn!("refused a client of user {}", cred.uid());
            return None;
        }
        let pid = cred.pid();
        Some(Self {
            programs: pid.map(programs).unwrap_or_default(),
            pid,
        })
    }

    /// Whether it calls itself `name`, which any program may.
    pub(crate) fn is(&self, name: &str) -> bool {
        self.programs.first().is_some_and(|program| program == name)
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pid {
            Some(pid) if !self.programs.is_empty() => {
                write!(f, "{} (process {pid})", self.programs.join(" < "))
            }
            Some(pid) => write!(f, "process {pid}"),
            None => f.write_str("an unknown program"),
        }
    }
}

fn programs(pid: i32) -> Vec<String> {
    let mut names = Vec::new();
    let mut next = Some(pid);
    while let Some(pid) = next.filter(|&pid| pid > 1) {
        let Ok(stat) = fs::read(format!("/proc/{pid}/stat")) else {
            break;
        };
        let Some((name, parent)) = name_and_parent(&String::from_utf8_lossy(&stat)) else {
            break;
        };
        names.push(name);
        if names.len() > PARENTS {
            break;
        }
        next = Some(parent);
    }
    names
}

/// proc(5): `pid (name) state ppid …`; a name may hold anything, parentheses as well.
fn name_and_parent(stat: &str) -> Option<(String, i32)> {
    let (_, rest) = stat.split_once('(')?;
    let (name, rest) = rest.rsplit_once(')')?;
    let parent = rest.split_whitespace().nth(1)?.parse().ok()?;
    Some((program(name), parent))
}

/// The name of a program, which it may have chosen itself. One that could be taken for more than
/// a name stands between quotation marks.
fn program(name: &str) -> String {
    let is_simple = |c: char| c.is_ascii_alphanumeric() || "-_.+:@/".contains(c);
    if !name.is_empty() && name.chars().all(is_simple) {
        name.to_owned()
    } else {
        text::quoted(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        assert_eq!(name_and_parent("7 (ssh) S 5 7 7"), Some(("ssh".into(), 5)));
        assert_eq!(
            name_and_parent("7 (a) R 1 (b\n) S 5 7"),
            Some((r#""a) R 1 (b\n""#.into(), 5))
        );
        assert_eq!(name_and_parent("7 (ssh"), None);
    }

    #[test]
    fn this_test_has_a_name_and_a_parent() {
        let pid = i32::try_from(std::process::id()).unwrap();
        assert!(programs(pid).len() >= 2);
    }

    #[tokio::test]
    async fn a_client_of_this_user_is_one() {
        let (one, _two) = tokio::net::UnixStream::pair().unwrap();
        let peer = Peer::of(one.peer_cred().unwrap()).unwrap();
        assert_eq!(peer.pid, i32::try_from(std::process::id()).ok());
    }
}
