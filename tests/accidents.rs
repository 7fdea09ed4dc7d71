//! The messages after ordinary accidents: the terminal is lost, the socket cannot be at its path,
//! the simulator does not start, the store is replaced while a PIN is typed, the disk is full.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use testing::Home;

use crate::program::{Outcome, PIN, Program, text, tpmssh};
use crate::terminal::Session;

/// The program inherits an ignored SIGHUP, as under nohup.
#[test]
fn a_terminal_that_is_lost_at_a_prompt_is_named_and_nothing_is_made() {
    let program = Program::with_token();
    let (shown, code) = (
        program.home.path().join("shown"),
        program.home.path().join("code"),
    );
    let mut command = program.home.command("setsid");
    command.args(["--ctty", "sh", "-c"]);
    command.arg("trap '' HUP; \"$P\" keygen -C lost 2>shown; echo $? >code.new; mv code.new code");
    command
        .env("P", env!("CARGO_BIN_EXE_tpmssh"))
        .current_dir(program.home.path());
    let mut session = Session::spawn(command);
    session.expect("PIN for token \"work\": ");
    drop(session);
    crate::agent::served::eventually(|| code.exists());
    let said = fs::read_to_string(shown).unwrap();
    let last = said.lines().last().unwrap();
    assert_eq!(
        (last, fs::read_to_string(code).unwrap().trim()),
        (
            "tpmssh: cannot use the terminal: Input/output error (os error 5)",
            "1"
        ),
        "{said}"
    );
    assert_eq!(program.run(&["list", "--json"]).ok(), "[]\n");
}

#[test]
fn a_store_that_is_replaced_while_the_pin_is_typed_is_not_written() {
    let program = Program::with_token();
    let mut session = Session::start(&program, &["keygen", "-C", "mine"]);
    session.expect("PIN for token \"work\": ");
    let (store, away) = (program.home.store(), program.home.path().join("away"));
    fs::rename(&store, &away).unwrap();
    copy(&away, &store);
    session.type_in(&format!("{PIN}\n"));
    let (status, shown) = session.end();
    assert_eq!(
        (status.code(), shown.as_str()),
        (
            Some(10),
            "\r\ntpmssh: the store was replaced while it was in use\r\n\
             hint: try again, with the store that is there now\r\n"
        )
    );
    assert_eq!(program.run(&["list", "--json"]).ok(), "[]\n");
}

/// Copies the files of a directory, with their modes.
fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    fs::set_permissions(to, fs::Permissions::from_mode(0o700)).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn a_place_where_no_socket_can_be_is_named() {
    let program = Program::new();
    let run = text(program.home.path().join("run"));
    let (long, deep) = (
        format!("{run}/{}", "x".repeat(120)),
        format!("{run}/no/such/s"),
    );
    let place = |why: &str, hint: &str| format!("cannot make the socket {why}\nhint: {hint}\n");
    let no_dir = place(
        &format!("{deep}: No such file or directory (os error 2)"),
        &format!("make its directory first: mkdir -m 700 -p {run}/no/such"),
    );
    let too_long = place(
        &format!("{long}: File name too long (os error 36)"),
        "the path of a socket has at most 107 bytes; give a shorter one with --socket PATH",
    );
    for (path, said) in [(&long, too_long), (&deep, no_dir)] {
        let agent = |more: &[&str]| {
            let args = [&["agent", "--no-ask", "--socket", path], more].concat();
            program.run(&args)
        };
        // Nothing is made in a directory that is there.
        if path == &deep {
            assert!(!Path::new(&run).join("no").exists());
        }
        agent(&[]).fails(1, &format!("tpmssh: {said}"));
        agent(&["--daemon"]).fails(1, &format!("tpmssh: the agent did not start: {said}"));
    }
    // Without XDG_RUNTIME_DIR, as in a session of su, there is no usual place.
    for args in [&["agent", "--no-ask"][..], &["agent", "env"], &["lock"]] {
        let mut command = program.command();
        Outcome::of(command.env_remove("XDG_RUNTIME_DIR").args(args)).fails(
            1,
            "tpmssh: no place for the socket: XDG_RUNTIME_DIR is not set\n\
             hint: say where the socket is to be with --socket PATH\n",
        );
    }
}

#[test]
fn a_relative_socket_path_is_below_the_current_directory() {
    let program = Program::with_key();
    let dir = program.home.path().join("sub");
    fs::create_dir(&dir).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).unwrap();
    let run = |args: &[&str]| Outcome::of(program.command().current_dir(&dir).args(args));
    let started = run(&["agent", "--daemon", "--no-ask", "--socket", "here.sock"]).ok();
    let path = text(dir.join("here.sock"));
    assert!(
        started.starts_with(&format!("SSH_AUTH_SOCK={path}; ")),
        "{started}"
    );
    let status = run(&["agent", "status", "--json", "--socket", "here.sock"]).ok();
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    let pid = status["agent"]["status"]["pid"].as_i64().unwrap();
    assert_eq!(status["socket"], path, "{status}");
    let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
}

#[test]
fn the_log_of_a_simulator_that_does_not_start_is_shown() {
    let home = Home::new();
    let bin = home.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let log = "for a; do case $a in file=*,truncate) f=${a#file=};\n\
               echo 'no room for the state' >\"${f%,truncate}\";; esac; done\n";
    for (script, said) in [
        (
            "exit 1\n".to_owned(),
            "tpmssh: swtpm does not start: exit status: 1\n",
        ),
        (
            format!("{log}exit 1\n"),
            "tpmssh: swtpm does not start: no room for the state\n",
        ),
    ] {
        let swtpm = home.script("swtpm", &format!("#!/bin/sh\n{script}"));
        fs::rename(swtpm, bin.join("swtpm")).unwrap();
        for args in [&["simulator", "start"][..], &["setup", "--simulator"]] {
            let mut command = tpmssh(&home);
            let path = format!("{}:/usr/bin:/bin", bin.display());
            command.env("PATH", path).env_remove("TPMSSH_TCTI");
            Outcome::of(command.args(args)).fails(5, said);
        }
    }
    assert!(
        !home.config().exists(),
        "the configuration does not name the simulator"
    );
}

/// No file may grow, as on a full disk: no change is half done, and no data is lost.
#[test]
fn on_a_full_disk_each_command_says_so_and_the_store_stays_whole() {
    let program = Program::with_key();
    let before = program.run(&["list", "--json"]).ok();
    let public = program.secret("own.pub", &program.run(&["export", "first"]).ok());
    for args in [
        &["keygen", "-C", "second", "--pin-file", &program.pin][..],
        &["rename", "first", "other"],
        &["token", "rename", "other"],
        &["delete", "first", "--yes"],
        &["ca", "init", "--pin-file", &program.pin],
    ] {
        let mut command = program.home.command("sh");
        command.args(["-c", "ulimit -f 0; exec \"$0\" \"$@\""]);
        command.arg(env!("CARGO_BIN_EXE_tpmssh")).args(args);
        let full = Outcome::of(&mut command);
        assert_eq!(full.code, Some(11), "{args:?}: {full:?}");
        assert!(
            full.stderr
                .contains("this process may write no file above 0 bytes (ulimit -f)"),
            "{args:?}: {full:?}"
        );
        assert_eq!(program.run(&["list", "--json"]).ok(), before, "{args:?}");
    }
    assert!(fs::read_to_string(public).unwrap().ends_with(" first\n"));
    program.run(&["rename", "first", "other"]).ok();
}

/// Each command that needs a token, a key or an authority, before there is one.
#[test]
fn before_there_is_anything_each_command_says_what_comes_first() {
    let none = Program::new();
    let store = none.home.store();
    let no_store = format!(
        "tpmssh: there is no store at {}\nhint: make a token and a key first: tpmssh setup\n",
        store.display()
    );
    for args in [
        &["keygen"][..],
        &["list"],
        &["export"],
        &["delete", "x"],
        &["rename", "x", "y"],
        &["sign", "x"],
        &["csr", "x", "-s", "CN=x"],
        &["copy-id", "host"],
        &["ssh-config", "host"],
        &["git", "setup", "--global"],
        &["token", "info"],
        &["token", "change-pin"],
        &["ca", "init"],
        &["ca", "list"],
        &["cert", "export"],
    ] {
        none.run(args).fails(12, &no_store);
    }
    none.run(&["token", "list"]).ok();
    let empty = Program::with_token();
    empty.run(&["token", "delete", "work", "--yes"]).ok();
    let no_token = "tpmssh: there is no token yet\nhint: make one first: tpmssh token init\n";
    for args in [
        &["keygen"][..],
        &["token", "info"],
        &["token", "change-pin"],
    ] {
        empty.run(args).fails(12, no_token);
    }
    let keyless = Program::with_token();
    let no_key = "tpmssh: there is no key yet\nhint: make one first: tpmssh keygen\n";
    for args in [
        &["export"][..],
        &["sign", "x"],
        &["copy-id", "host"],
        &["ssh-config", "host"],
        &["git", "setup", "--global"],
    ] {
        keyless.run(args).fails(12, no_key);
    }
}
