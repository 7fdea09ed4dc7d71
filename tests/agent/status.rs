//! `tpmssh agent status`.

use std::fs;

use serde_json::Value;
use testing::SshAgent;

use super::served::{Served, eventually, socket};
use super::ssh_add::{free, public_key};
use crate::program::{Outcome, Program, text};

/// What it prints for a client of this agent.
fn status(agent: &Served<'_>) -> String {
    Outcome::of(
        agent
            .client(env!("CARGO_BIN_EXE_tpmssh"))
            .args(["agent", "status"]),
    )
    .ok()
}

fn json(agent: &Served<'_>) -> Value {
    let mut command = agent.client(env!("CARGO_BIN_EXE_tpmssh"));
    let said = Outcome::of(command.args(["agent", "status", "--json"])).ok();
    serde_json::from_str(&said).unwrap()
}

#[test]
fn a_running_agent_says_what_it_holds() {
    let program = Program::with_key();
    program
        .run(&["keygen", "--label", "ca", "--pin-file", &program.pin])
        .ok();
    program.run(&["ca", "init", "--key", "ca"]).ok();
    let other = SshAgent::start(&program.home, "/usr/lib/*", &[]);
    let proxy = text(other.socket().to_owned());
    let agent = Served::with(
        &program.home,
        &["--no-ask", "--proxy", &proxy, "--proxy", "/nonexistent"],
        &[],
    );
    let said = status(&agent);
    let socket = text(socket(&program.home));
    for line in [
        format!(
            "agent          tpmssh, process {}, started by hand\n",
            agent.pid()
        ),
        format!("socket         {socket}\n"),
        "SSH_AUTH_SOCK  this agent\n".to_owned(),
        "token          \"work\": 1 key, 1 key of authorities, not offered, PIN not given\n".into(),
        "asks with      nothing: give the PIN with tpmssh unlock\n".into(),
        format!("proxy          {proxy}, answers\n"),
        "proxy          /nonexistent, does not answer\n".into(),
    ] {
        assert!(said.contains(&line), "{line}{said}");
    }
    assert!(!said.contains("refused last"), "{said}");

    let unlock = |time: &[&str]| {
        let unlock = ["unlock", "--pin-file", &program.pin];
        program.run(&[&unlock[..], time].concat()).ok()
    };
    unlock(&[]);
    assert!(status(&agent).contains("PIN given\n"));
    unlock(&["-t", "3h"]);
    assert!(status(&agent).contains("PIN given, for 3 hours more\n"));
    let found = &json(&agent)["agent"]["status"];
    assert_eq!(found["tokens"][0]["open"], true, "{found}");
    assert_eq!(found["tokens"][0]["authorities"], 1, "{found}");
    assert_eq!(found["pid"], agent.pid(), "{found}");

    assert_eq!(agent.add(&["-x"]).code, Some(0));
    let locked = status(&agent);
    assert!(
        locked.contains("locked         yes, by ssh-add -x"),
        "{locked}"
    );
    assert!(!locked.contains("work"), "{locked}");
}

#[test]
fn it_says_what_was_refused_last() {
    let program = Program::with_key();
    let agent = Served::start(&program);
    let key = public_key(&program, "first");
    assert_ne!(agent.ssh_add(&["-T", &key]).code, Some(0));
    eventually(|| {
        status(&agent).contains("UTC, sign \"first\": cannot get the PIN: no way to ask")
    });
    assert_eq!(json(&agent)["last_refusal"]["token"], "work");
}

#[test]
fn without_an_agent_it_says_what_is_there() {
    let program = free(&[]);
    let path = socket(&program.home);
    let shown = path.display().to_string();
    let ask = |auth_sock: &str| {
        let mut command = program.command();
        Outcome::of(
            command
                .env("SSH_AUTH_SOCK", auth_sock)
                .args(["agent", "status"]),
        )
    };
    let none = program.run(&["agent", "status"]);
    assert_eq!(none.code, Some(1));
    assert_eq!(
        none.stdout,
        format!(
            "agent          not running\nsocket         {shown}\n\
             SSH_AUTH_SOCK  not set; in this shell: eval \"$(tpmssh agent env)\"\n"
        )
    );
    let start = "hint: start it: tpmssh agent install, or tpmssh agent --daemon\n";
    assert!(
        none.stderr.contains("tpmssh: no agent is running at "),
        "{none:?}"
    );
    assert!(none.stderr.ends_with(start), "{none:?}");

    let other = SshAgent::start(&program.home, "/usr/lib/*", &[]);
    let theirs = other.socket().display();
    let said = ask(&theirs.to_string());
    let pid = other.pid();
    let line =
        format!("SSH_AUTH_SOCK  not this agent but {theirs}: ssh-agent, process {pid}, 0 keys\n");
    assert!(said.stdout.contains(&line), "{said:?}");
    let at = program.run(&["agent", "status", "--socket", &theirs.to_string()]);
    let not_ours = format!("tpmssh: the agent at {theirs} is not tpmssh's\n");
    assert_eq!(at.code, Some(1), "{at:?}");
    assert!(at.stderr.starts_with(&not_ours), "{at:?}");
}

#[test]
fn an_agent_that_hangs_is_not_called_one_that_does_not_run() {
    let program = free(&["one"]);
    let agent = Served::with(&program.home, &["--no-ask"], &[]);
    let pid = agent.pid();
    let stop = |signal| {
        let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    };
    stop(rustix::process::Signal::STOP);
    let silent = program.run(&["agent", "status"]);
    stop(rustix::process::Signal::CONT);
    assert_eq!(silent.code, Some(10), "{silent:?}");
    let socket = socket(&program.home);
    let said = format!("the agent at {} does not answer", socket.display());
    assert!(
        silent
            .stdout
            .starts_with(&format!("agent          {said}\n")),
        "{silent:?}"
    );
    assert_eq!(
        silent.stderr,
        format!("tpmssh: {said}\nhint: end it, then start it again: kill -KILL {pid}\n")
    );
}

/// An agent that an upgrade has left behind.
#[test]
fn an_agent_whose_program_was_replaced_is_told() {
    let program = free(&["one"]);
    let copy = program.home.path().join("tpmssh");
    fs::copy(env!("CARGO_BIN_EXE_tpmssh"), &copy).unwrap();
    let path = socket(&program.home);
    let mut command = program.home.daemon(&copy);
    command.args(["agent", "--no-ask"]);
    command.env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent");
    let service = testing::Service::start("tpmssh agent", command, &path);
    let ask = || program.run(&["agent", "status"]).ok();
    let version = env!("CARGO_PKG_VERSION");
    assert!(
        ask().contains(&format!("version        {version}\n")),
        "{}",
        ask()
    );
    fs::remove_file(&copy).unwrap();
    let line = format!(
        "version        {version}; its program was replaced since it started: kill {}, then tpmssh \
         agent --daemon\n",
        service.pid()
    );
    assert!(ask().contains(&line), "{}", ask());
}

#[test]
fn an_agent_serves_only_the_token_that_is_named() {
    let program = free(&["one"]);
    let init = ["token", "init", "--label", "other", "--pin-wall", "none"];
    program.run(&init).ok();
    let keygen = ["keygen", "--token", "other", "--label", "two"];
    program.run(&keygen).ok();
    program.init("locked");
    for (args, env) in [
        (&["--no-ask", "--token", "other"][..], &[][..]),
        (&["--no-ask"], &[("TPMSSH_TOKEN".into(), "other".into())]),
    ] {
        let agent = Served::with(&program.home, args, env);
        let listed = agent.ssh_add(&["-L"]).ok();
        assert!(
            listed.ends_with(" two\n") && listed.lines().count() == 1,
            "{listed}"
        );
        assert!(status(&agent).contains("serves only    token \"other\"\n"));
        let unlock = ["unlock", "--token", "locked", "--pin-file", &program.pin];
        let refused = program.run(&unlock);
        assert_eq!(refused.code, Some(12), "{refused:?}");
        let why = "this agent serves only token \"other\"\n";
        assert!(refused.stderr.contains(why), "{refused:?}");
        drop(agent);
    }
}
