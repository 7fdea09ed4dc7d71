//! Kills programs that hang. Without this, a test that waits for such a program would use up the time of the whole test run, and
//! nothing would show which test it was.

use std::{
    collections::{HashMap, HashSet},
    fs,
    io::Write,
    path::PathBuf,
    process::{self, Command},
    sync::Once,
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

/// The variable that says, in seconds, how long a program of a test may run. `cargo xtask test` sets it; without it, there is no limit.
const VARIABLE: &str = "TPMSSH_TEST_LIMIT";

/// How often the programs are looked at.
const EVERY: Duration = Duration::from_secs(10);

/// Clock ticks a second in `/proc`: `USER_HZ`, which is 100 on every architecture that Rust's std knows.
const TICKS: u64 = 100;

/// Gives a program, and what it starts, its own limit in seconds.
pub(crate) fn limit(program: &mut Command, seconds: &str) {
    program.env(VARIABLE, seconds);
}

/// The limit in the environment of a process, which is that of all unless [`limit`] has changed it.
fn own_limit(pid: u32) -> Option<Duration> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let environment = String::from_utf8_lossy(&environment).into_owned();
    let values = environment.split('\0').filter_map(|it| it.split_once('='));
    let mut values = values.filter(|(name, _)| *name == VARIABLE);
    values.next()?.1.parse().map(Duration::from_secs).ok()
}

/// From now on, kills each program that this process has started and that runs for longer than [`VARIABLE`] says, with all that it has
/// started, and says so on standard error. The test that waits for it goes on, and fails.
///
/// The same for a program that was started by such a program and outlived it, if it still holds a pipe of this process: a test reads the
/// output of a program to its end, which comes only when no process holds the pipe.
pub(crate) fn start() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        let limit = std::env::var(VARIABLE).ok();
        if let Some(limit) = limit.and_then(|it| it.parse().ok()) {
            thread::spawn(move || {
                loop {
                    thread::sleep(EVERY);
                    look(Duration::from_secs(limit));
                }
            });
        }
    });
}

fn look(limit: Duration) {
    let Some(now) = uptime() else { return };
    let all = processes();
    let mut pids = overdue(&all, process::id(), now, limit);
    pids.extend(left_behind(&all, process::id(), now, limit));
    pids.retain(|pid| {
        let limit = own_limit(*pid).unwrap_or(limit);
        now.saturating_sub(all[pid].started) > limit
    });
    for pid in pids {
        let args = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let args = String::from_utf8_lossy(&args).replace('\0', " ");
        let waits = fs::read_to_string(format!("/proc/{pid}/wchan")).unwrap_or_default();
        let limit = limit.as_secs();
        // `eprintln!` would write to the buffer of a test, which is shown only when the test has ended.
        let _ = writeln!(
            std::io::stderr(),
            "testing: process {pid} has run for {limit} s and is killed: {args}(in {waits})"
        );
        kill(&with_descendants(pid, &all));
    }
}

/// The children of `parent` that were started longer ago than `limit`.
fn overdue(all: &HashMap<u32, Process>, parent: u32, now: Duration, limit: Duration) -> Vec<u32> {
    let is_overdue = |it: &Process| it.parent == parent && now.saturating_sub(it.started) > limit;
    let overdue = all.iter().filter(|(_, it)| is_overdue(it));
    overdue.map(|(pid, _)| *pid).collect()
}

/// The processes that hold a pipe of process `of`, were started longer ago than `limit`, and are neither its children nor its ancestors.
fn left_behind(all: &HashMap<u32, Process>, of: u32, now: Duration, limit: Duration) -> Vec<u32> {
    let mut ours = pipes(of);
    // Not the standard streams of `of`: its parent holds their other ends.
    let given = (0..3).filter_map(|fd| fs::read_link(format!("/proc/{of}/fd/{fd}")).ok());
    given.for_each(|pipe| {
        ours.remove(&pipe);
    });
    let mut family = HashSet::from([of]);
    let mut next = of;
    while let Some(process) = all.get(&next) {
        next = process.parent;
        if !family.insert(next) {
            break;
        }
    }
    let is_left = |(pid, it): &(&u32, &Process)| {
        it.parent != of
            && !family.contains(*pid)
            && now.saturating_sub(it.started) > limit
            && !pipes(**pid).is_disjoint(&ours)
    };
    all.iter().filter(is_left).map(|(pid, _)| *pid).collect()
}

/// The pipes that a process has open, as the links in its `/proc/PID/fd` name them; none of a process that this user cannot look into.
fn pipes(pid: u32) -> HashSet<PathBuf> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten();
    let links = entries
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok());
    links
        .filter(|link| link.to_string_lossy().starts_with("pipe:"))
        .collect()
}

fn kill(pids: &[u32]) {
    let pids = pids.iter().filter_map(|pid| i32::try_from(*pid).ok());
    for pid in pids.filter_map(Pid::from_raw) {
        // It may have ended by now.
        let _ = kill_process(pid, Signal::KILL);
    }
}

struct Process {
    parent: u32,
    /// After the machine was started.
    started: Duration,
}

/// All processes by their ids, without zombies.
fn processes() -> HashMap<u32, Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            Some((pid, parse(&stat)?))
        })
        .collect()
}

/// Fields 3, 4 and 22 of `/proc/PID/stat` (proc_pid_stat(5)): state, parent, start.
fn parse(stat: &str) -> Option<Process> {
    // Field 2 is a file name in parentheses, which may itself hold blanks and parentheses.
    let (_, after) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = after.split_ascii_whitespace().collect();
    let started: u64 = fields.get(19)?.parse().ok()?;
    (*fields.first()? != "Z").then_some(Process {
        parent: fields.get(1)?.parse().ok()?,
        started: Duration::from_millis(started * 1000 / TICKS),
    })
}

fn uptime() -> Option<Duration> {
    let text = fs::read_to_string("/proc/uptime").ok()?;
    let seconds: f64 = text.split(' ').next()?.parse().ok()?;
    Some(Duration::from_secs_f64(seconds))
}

/// A process and all below it.
fn with_descendants(pid: u32, all: &HashMap<u32, Process>) -> Vec<u32> {
    let mut found = vec![pid];
    let mut at = 0;
    while let Some(parent) = found.get(at).copied() {
        let children = all.iter().filter(|(_, it)| it.parent == parent);
        found.extend(children.map(|(pid, _)| *pid));
        at += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use super::*;
    use crate::wait::poll;

    #[test]
    fn children_are_overdue_and_no_others() {
        let process = |parent, started| Process {
            parent,
            started: Duration::from_secs(started),
        };
        let all = HashMap::from([(2, process(1, 10)), (3, process(1, 11)), (4, process(2, 9))]);
        let [now, limit] = [20, 9].map(Duration::from_secs);
        assert_eq!(overdue(&all, 1, now, limit), [2]);
        let mut tree = with_descendants(2, &all);
        tree.sort_unstable();
        assert_eq!(tree, [2, 4]);
    }

    #[test]
    fn a_program_has_its_own_limit_if_it_was_given_one() {
        let mut sleep = Command::new("sleep");
        limit(sleep.arg("619"), "907");
        let mut sleep = sleep.spawn().expect("sleep runs");
        let own = poll(|| own_limit(sleep.id()));
        kill(&[sleep.id()]);
        sleep.wait().expect("it ends");
        assert_eq!(
            own.expect("it is in its environment"),
            Duration::from_secs(907)
        );
    }

    #[test]
    fn a_program_is_killed_with_those_below_it() {
        let script = "sleep 600 & echo; wait";
        let mut shell = Command::new("sh");
        let mut shell = shell.args(["-c", script]).spawn().expect("sh runs");
        let tree = || with_descendants(shell.id(), &processes());
        poll(|| (tree().len() == 2).then_some(())).expect("it starts another");
        let now = uptime().expect("this machine runs");
        let age = now.saturating_sub(processes()[&shell.id()].started);
        assert!(age < Duration::from_secs(60), "{age:?}");
        let tree = tree();
        kill(&tree);
        assert!(!shell.wait().expect("it ends").success());
        poll(|| (!processes().contains_key(&tree[1])).then_some(())).expect("both are gone");
    }

    /// As a program does that becomes a service and does not close its output.
    #[test]
    fn a_program_that_was_left_behind_and_holds_a_pipe_is_killed() {
        let mut shell = Command::new("sh");
        let shell = shell
            .args(["-c", "sleep 617 & echo $!"])
            .stdout(Stdio::piped());
        let shell = shell.spawn().expect("sh runs");
        let left = || {
            let now = uptime().expect("this machine runs");
            let mut pids = left_behind(&processes(), process::id(), now, Duration::ZERO);
            pids.retain(|pid| {
                let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                command == b"sleep\x00617\x00"
            });
            (!pids.is_empty()).then_some(pids)
        };
        let left = poll(left).expect("the shell has ended, and left another");
        kill(&left);
        let said = shell.wait_with_output().expect("it ended").stdout;
        assert_eq!(String::from_utf8_lossy(&said).trim(), left[0].to_string());
        assert_eq!(left.len(), 1);
    }
}
