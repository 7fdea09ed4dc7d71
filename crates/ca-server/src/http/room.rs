//! How many connections the limit of open files has room for.

use anyhow::Context;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The most connections at a time; more wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 1024;
/// The fewest: a node with less room for open files does not start.
const MIN_CONNECTIONS: usize = 64;
/// Open files that are no connection of a machine: the registry, the agent for each worker, the audit log, administrators.
const OTHER_FILES: usize = 128;

/// How many connections there can be, after the limit of open files was raised as far as it goes.
///
/// # Errors
///
/// If there can be too few of them.
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
