//! How many connections the limit of open files allows.

use anyhow::Context;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The most connections at a time; more wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 1024;
/// The fewest connections: a node that can have fewer does not start.
const MIN_CONNECTIONS: usize = 64;
/// Open files besides the connections: the registry, the agent for each worker, the audit log, administrators.
const OTHER_FILES: usize = 128;

/// Raises the limit of open files as far as needed and possible, and returns how many connections it allows.
///
/// # Errors
///
/// If fewer than 64 connections are possible.
pub fn room() -> anyhow::Result<usize> {
    let files = getrlimit(Resource::Nofile);
    let needed = u64::try_from(MAX_CONNECTIONS + OTHER_FILES)?;
    let most = files.maximum.map_or(needed, |hard| hard.min(needed));
    let mut now = files.current.unwrap_or(needed);
    if now < most {
        let raised = Rlimit {
            current: Some(most),
            ..files
        };
        setrlimit(Resource::Nofile, raised).context("cannot raise the limit of open files")?;
        now = most;
    }
    let connections = usize::try_from(now).unwrap_or(usize::MAX);
    let connections = connections.saturating_sub(OTHER_FILES).min(MAX_CONNECTIONS);
    let least = MIN_CONNECTIONS + OTHER_FILES;
    anyhow::ensure!(
        connections >= MIN_CONNECTIONS,
        "a node needs {least} open files, and may have {now} (ulimit -n, LimitNOFILE=)"
    );
    if connections < MAX_CONNECTIONS {
        eprintln!(
            "tpmssh-ca: with {now} open files there are {connections} connections at a time, and not {MAX_CONNECTIONS} (ulimit -n, LimitNOFILE=)"
        );
    }
    Ok(connections)
}
