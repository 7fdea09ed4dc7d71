//! Which ssh-agents this session has: tpmssh's own, and the one that `SSH_AUTH_SOCK` names.

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use agent::client::Client;
use agent::status::Status;
use serde::Serialize;

/// The hidden option that `--daemon` gives to the agent in the background.
pub(crate) const DETACHED: &str = "--detached";

/// The program that listens at a socket.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(crate) enum Found {
    /// An agent of tpmssh.
    Tpmssh {
        /// Its own report.
        status: Box<Status>,
        /// What started it.
        started_by: Starter,
    },
    /// Another agent, or one of tpmssh that is too old to say what it is.
    Other {
        /// The name of its process.
        program: Option<String>,
        /// Its process.
        pid: Option<i32>,
        /// How many keys it lists; unknown if it does not answer.
        keys: Option<usize>,
    },
    /// Nothing that can be used.
    None {
        /// Why.
        #[serde(skip)]
        err: agent::Error,
    },
}

/// What started an agent.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Starter {
    /// A service of systemd, by the name of its unit.
    Unit(String),
    /// `tpmssh agent --daemon`.
    Daemon,
    /// `tpmssh agent`.
    Hand,
}

impl Starter {
    /// What started the agent in process `pid`.
    fn of(pid: u32) -> Self {
        let read = |name| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
        if let Some(unit) = unit_in(&read("cgroup")) {
            return Self::Unit(unit);
        }
        match read("cmdline").split('\0').any(|word| word == DETACHED) {
            true => Self::Daemon,
            false => Self::Hand,
        }
    }
}

/// The service in the text of a process's cgroup file, cgroups(7). The manager of a user is a service
/// of the system itself, below which everything else of the user may be.
fn unit_in(cgroup: &str) -> Option<String> {
    let path = cgroup.lines().find_map(|line| line.rsplit_once(':'))?.1;
    let unit = path.rsplit('/').find(|part| part.ends_with(".service"))?;
    let is_own = unit.starts_with("tpmssh-");
    is_own.then(|| unit.to_owned())
}

/// Finds out which program listens at `socket`.
pub(crate) fn find(socket: &Path) -> Found {
    let mut client = match Client::connect(socket) {
        Ok(client) => client,
        Err(err) => return Found::None { err },
    };
    match client.status() {
        Ok(Some(status)) => Found::Tpmssh {
            started_by: Starter::of(status.pid),
            status: Box::new(status),
        },
        Ok(None) => {
            let pid = client.pid();
            let comm = pid.and_then(|pid| fs::read_to_string(format!("/proc/{pid}/comm")).ok());
            Found::Other {
                program: comm.map(|name| name.trim_end().to_owned()),
                pid,
                keys: client.keys().ok().flatten().map(|keys| keys.len()),
            }
        }
        Err(err) => Found::None { err },
    }
}

/// The socket that `SSH_AUTH_SOCK` names.
pub(crate) fn auth_sock() -> Option<PathBuf> {
    let path = env::var_os("SSH_AUTH_SOCK")?;
    (!path.is_empty()).then(|| path.into())
}

/// Whether two paths lead to the same socket, or are the same.
pub(crate) fn is_same(one: &Path, other: &Path) -> bool {
    let id = |path: &Path| fs::metadata(path).map(|meta| (meta.dev(), meta.ino())).ok();
    one == other || id(one).is_some_and(|one| Some(one) == id(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_of_an_agent_is_told_from_the_manager_that_all_are_below() {
        for (cgroup, unit) in [
            (
                "0::/user.slice/user-1000.slice/user@1000.service/app.slice/tpmssh-agent.service\n",
                Some("tpmssh-agent.service"),
            ),
            (
                "0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-gnome-Terminal.scope\n",
                None,
            ),
            ("0::/user.slice/user-1000.slice/session-3.scope\n", None),
            ("0::/\n", None),
            ("", None),
        ] {
            assert_eq!(unit_in(cgroup).as_deref(), unit, "{cgroup}");
        }
    }
}
