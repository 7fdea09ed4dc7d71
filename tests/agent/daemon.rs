//! `tpmssh agent --daemon`.

use std::fs;

use rustix::process::{Pid, Signal, getsid, kill_process};

use crate::program::{Outcome, Program, text};

/// Ends the agent when the test does.
struct Agent(Pid);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::TERM);
    }
}

/// Runs `command` in a shell that has evaluated `lines`.
fn evaluated(program: &Program, lines: &str, command: &str) -> Outcome {
    let script = format!("{lines}{command}");
    Outcome::of(program.home.command("sh").args(["-c", &script]))
}

#[test]
fn a_daemon_prints_what_a_shell_needs_and_starts_once() {
    let program = Program::with_key();
    let lines = program.run(&["agent", "--daemon"]).ok();
    let socket = text(program.home.path().join("run/tpmssh/agent.sock"));
    let first = format!("SSH_AUTH_SOCK={socket}; export SSH_AUTH_SOCK;\n");
    let rest = lines.strip_prefix(&first).unwrap();
    let pid = rest.strip_prefix("SSH_AGENT_PID=").unwrap();
    let pid: i32 = pid.split(';').next().unwrap().parse().unwrap();
    let agent = Agent(Pid::from_raw(pid).unwrap());
    assert_eq!(
        rest,
        format!("SSH_AGENT_PID={pid}; export SSH_AGENT_PID;\necho Agent pid {pid};\n")
    );
    let listed = evaluated(&program, &lines, "ssh-add -l").ok();
    assert!(
        listed.starts_with(&format!("Agent pid {pid}\n256 ")),
        "{listed}"
    );
    // A signal to the terminal's session does not reach it.
    assert_eq!(getsid(Some(agent.0)).unwrap(), agent.0);

    // Another login finds the same one.
    assert_eq!(program.run(&["agent", "--daemon"]).ok(), first);

    let ended = evaluated(
        &program,
        &lines,
        "kill $SSH_AGENT_PID; while [ -e $SSH_AUTH_SOCK ]; do sleep 0.1; done",
    );
    ended.ok();
}

#[test]
fn a_daemon_that_cannot_start_says_why() {
    let program = Program::with_key();
    fs::create_dir_all(program.home.config().parent().unwrap()).unwrap();
    fs::write(program.home.config(), "[agent]\npin = \"nonsense\"\n").unwrap();
    let refused = program.run(&["agent", "--daemon"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused.stderr.starts_with(
            "tpmssh: the agent did not start: unusable agent.pin in the configuration"
        ),
        "{refused:?}"
    );
    assert_eq!(refused.stdout, "", "nothing for a shell to evaluate");
}
