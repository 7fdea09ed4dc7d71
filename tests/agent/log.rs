//! `tpmssh agent log` and `agent env`.

use std::fs;

use serde_json::Value;
use testing::Sshd;

use super::served::{Served, eventually};
use super::ssh_add::{free, public_key};
use crate::program::Outcome;
use crate::terminal::Session;

#[test]
fn the_log_names_tokens_and_hosts_and_begins_where_one_says() {
    let program = free(&["one"]);
    let agent = Served::start(&program);
    let sshd = Sshd::start(&program.home);
    let line = fs::read_to_string(public_key(&program, "one")).unwrap();
    fs::write(sshd.authorized_keys(), line).unwrap();
    let login = || sshd.run(&program.home, &agent.env(), &[], "echo in").stdout;
    assert_eq!(login(), b"in\n", "{}", sshd.log());
    let log = |args: &[&str]| program.run(&[&["agent", "log"], args].concat()).ok();
    eventually(|| log(&[]).contains("to log in as"));
    let unknown = log(&[]);
    assert!(
        unknown.contains("sign \"one\" of token \"work\" SHA256:"),
        "{unknown}"
    );
    // Now the server's key has a name in known_hosts.
    let known = fs::read_to_string(sshd.known_hosts()).unwrap();
    let (_, key) = known.trim().split_once(' ').unwrap();
    let file = program.home.path().join(".ssh/known_hosts");
    fs::write(file, format!("build.example.org {key}\n")).unwrap();
    let named = log(&[]);
    assert!(
        named.contains(" (build.example.org): done; by ssh < "),
        "{named}"
    );
    let entries: Value = serde_json::from_str(&log(&["--json", "-n", "1"])).unwrap();
    assert_eq!(entries[0]["host"], "build.example.org", "{entries}");
    assert_eq!(entries[0]["token"], "work", "{entries}");

    let old = "{\"time\":1000000000,\"event\":\"sign\",\"result\":\"done\",\"label\":\"old\"}\n";
    let path = program.home.path().join(".local/state/tpmssh/agent.log");
    let all = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{old}{all}")).unwrap();
    assert!(log(&[]).starts_with("2001-09-09T01:46:40Z  sign \"old\": done\n"));
    for (since, has_old) in [
        ("1h", false),
        ("20010909014640Z", true),
        ("2001-09-09T01:46:41Z", false),
        ("2001-09-08", true),
    ] {
        let said = log(&["--since", since]);
        assert_eq!(said.contains("\"old\""), has_old, "{since}: {said}");
        assert!(said.contains("\"one\""), "{since}: {said}");
    }
    let wrong = program.run(&["agent", "log", "--since", "yesterday"]);
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
    assert!(
        wrong.stderr.contains("a time is a span before now"),
        "{wrong:?}"
    );
}

#[test]
fn a_log_without_entries_says_why() {
    let program = free(&["one"]);
    let path = program.home.path().join(".local/state/tpmssh/agent.log");
    let log = |args: &[&str]| {
        let said = program.run(&[&["agent", "log"], args].concat());
        assert_eq!(said.code, Some(0), "{said:?}");
        (said.stdout, said.stderr)
    };
    let none = format!(
        "tpmssh: no entries yet in {}: the agent writes one at each use of a key\n",
        path.display()
    );
    assert_eq!(log(&[]), (String::new(), none.clone()));
    assert_eq!(
        log(&["--since", "1h", "-n", "3"]),
        (String::new(), none.clone())
    );
    assert_eq!(log(&["--json"]), ("[]\n".to_owned(), none));

    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let old = "{\"time\":1000000000,\"event\":\"sign\",\"result\":\"done\",\"label\":\"old\"}\n";
    fs::write(&path, old).unwrap();
    assert_eq!(log(&[]).1, "");
    let since = (String::new(), "tpmssh: no entries since then\n".to_owned());
    assert_eq!(log(&["--since", "1h"]), since);

    fs::remove_file(&path).unwrap();
    let config = program.home.config();
    fs::create_dir_all(config.parent().unwrap()).unwrap();
    program
        .home
        .secret_file(".config/tpmssh/config.toml", "[agent]\nlog = false\n");
    let off = "tpmssh: no entries: the configuration file has log = false\n";
    assert_eq!(log(&[]), (String::new(), off.to_owned()));
}

#[test]
fn the_log_is_followed() {
    let program = free(&["one"]);
    let agent = Served::start(&program);
    let key = public_key(&program, "one");
    let mut follower = Session::start(&program, &["agent", "log", "--follow", "--json"]);
    follower.expect("tpmssh: no entries yet in");
    follower.expect("\r\n");
    for _ in 0..2 {
        assert_eq!(agent.ssh_add(&["-T", &key]).code, Some(0));
        let line = follower.expect("}\r\n");
        let entry: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(entry["label"], "one", "{entry}");
    }
    // The hang-up of its terminal ends it too, but not if the tests run under nohup.
    follower.kill();
}

#[test]
fn a_module_is_refused_with_what_to_say_instead() {
    let program = free(&["one"]);
    let agent = Served::start(&program);
    assert_ne!(agent.add(&["-s", "/usr/lib/module.so"]).code, Some(0));
    let log = || program.run(&["agent", "log"]).ok();
    eventually(|| {
        log().contains("modules are not loaded here; the keys of a token are added with ssh-add -s tpmssh:LABEL")
    });
}

#[test]
fn agent_env_prints_its_line_in_the_syntax_of_the_shell() {
    let program = free(&[]);
    let _agent = Served::start(&program);
    let path = super::served::socket(&program.home).display().to_string();
    let env = |args: &[&str]| program.run(&[&["agent", "env"], args].concat()).ok();
    let sh = format!("SSH_AUTH_SOCK={path}; export SSH_AUTH_SOCK;\n");
    // The parent is the test, which is no shell, and SHELL is not set.
    assert_eq!(env(&[]), sh);
    for (shell, line) in [
        ("bash", sh.clone()),
        ("zsh", sh.clone()),
        ("fish", format!("set -gx SSH_AUTH_SOCK {path};\n")),
        ("csh", format!("setenv SSH_AUTH_SOCK {path};\n")),
    ] {
        assert_eq!(env(&["--shell", shell]), line);
    }
    let mut login = program.command();
    login.env("SHELL", "/usr/bin/fish").args(["agent", "env"]);
    assert!(Outcome::of(&mut login).ok().starts_with("set -gx "));
    // A script of sh runs in sh, whatever the login shell is.
    let mut script = program.home.command("sh");
    let run = format!("{} agent env; true", env!("CARGO_BIN_EXE_tpmssh"));
    script.env("SHELL", "/usr/bin/fish").args(["-c", &run]);
    assert_eq!(Outcome::of(&mut script).ok(), sh);
}

#[test]
fn agent_env_warns_if_no_agent_is_running() {
    let program = free(&[]);
    let told = program.run(&["agent", "env"]);
    assert_eq!(told.code, Some(0));
    assert_eq!(
        told.stderr,
        "tpmssh: no agent is running there; start it: tpmssh agent --daemon, or tpmssh agent install\n"
    );
}
