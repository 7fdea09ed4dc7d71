//! Texts and exit codes of failures that no other test checks.

use crate::program::{Outcome, Program, text, tpmssh};
use crate::terminal::Session;

#[test]
fn what_is_for_root_or_for_a_home_is_refused_to_others() {
    if !testing::namespace::is_root() {
        return;
    }
    let home = testing::Home::new();
    crate::program::run(
        "chown",
        &["-R", "65534", &home.path().display().to_string()],
    );
    let run_as = |user: &str, args: &[&str]| {
        let mut command = home.command("setpriv");
        command.args(["--reuid", user, "--regid=65534", "--clear-groups"]);
        for name in ["HOME", "TPMSSH_STORE", "XDG_CONFIG_HOME", "XDG_DATA_HOME"] {
            if user == UNKNOWN {
                command.env_remove(name);
            }
        }
        Outcome::of(command.arg(env!("CARGO_BIN_EXE_tpmssh")).args(args))
    };
    for args in [
        &["host", "setup"][..],
        &["host", "setup", "--only"],
        &["host", "remove"],
    ] {
        run_as("65534", args).fails(
            1,
            "tpmssh: only root can do this\nhint: put sudo before the command\n",
        );
    }
    run_as(UNKNOWN, &["list"]).fails(
        1,
        "tpmssh: no home directory is known for this user\n\
         hint: set HOME, or TPMSSH_STORE to a directory for the store\n",
    );
}

/// A user whom /etc/passwd does not have.
const UNKNOWN: &str = "54321";

#[test]
fn a_token_without_a_counter_has_none_to_repair() {
    let program = Program::new();
    let pins = ["--pin-file", &program.pin, "--so-pin-file", &program.so_pin];
    for wall in ["lockout", "none"] {
        let pins: &[&str] = if wall == "none" { &pins[2..] } else { &pins };
        let init = ["token", "init", wall, "--pin-wall", wall];
        program.run(&[&init[..], pins].concat()).ok();
        let repair = ["token", "repair", wall, "--so-pin-file", &program.so_pin];
        let outcome = program.run(&repair);
        assert_eq!(outcome.code, Some(1), "{outcome:?}");
        assert_eq!(
            outcome.stderr,
            format!("tpmssh: this token has no PIN counter: its PIN wall is {wall}\n")
        );
    }
}

#[test]
fn a_machine_without_host_keys_has_none_to_check() {
    let program = Program::new();
    let store = text(program.home.path().join("host-store"));
    let etc = text(program.home.path().join("etc"));
    let check = ["host", "check", "--store", &store, "--etc", &etc];
    let none = "tpmssh: no host key of the TPM is set up for sshd\n\
                hint: set one up: sudo tpmssh host setup\n";
    program.run(&check).fails(12, none);
}

#[test]
fn certificates_with_one_key_id_are_told_apart_by_number() {
    let program = Program::with_key();
    program
        .run(&["ca", "init", "-C", "ca", "--pin-file", &program.pin])
        .ok();
    let public = program.secret("key.pub", &program.run(&["export", "first"]).ok());
    for hours in ["+1h", "+2h"] {
        let sign = ["ca", "sign-user", &public, "-I", "anna", "-n", "anna", "-V"];
        let pin = [hours, "--pin-file", &program.pin];
        let line = program.run(&[&sign[..], &pin].concat()).ok();
        let file = program.secret("key-cert.pub", &line);
        program.run(&["cert", "add", &file]).ok();
    }
    program.run(&["cert", "export", "anna"]).fails(
        2,
        "tpmssh: several certificates are called \"anna\"\n\
         hint: give the number instead, which tpmssh cert list shows\n",
    );
    program.run(&["cert", "export", "2"]).ok();
}

#[test]
fn what_cannot_be_removed_is_named() {
    let home = testing::Home::new();
    let unit = home.path().join(".config/systemd/user/tpmssh-agent.socket");
    std::fs::create_dir_all(unit.parent().unwrap()).unwrap();
    std::fs::write(&unit, "# Written by tpmssh agent install.\n").unwrap();
    let script = format!(
        "mount --bind {home} {home} && mount -o remount,ro,bind {home} && PATH=/nonexistent exec \
         {} agent uninstall",
        env!("CARGO_BIN_EXE_tpmssh"),
        home = home.path().display()
    );
    if !testing::namespace::can_mount() {
        return;
    }
    let unshare = ["--mount", "--propagation", "private", "sh", "-c", &script];
    let outcome = Outcome::of(home.command("unshare").args(unshare));
    assert_eq!(outcome.code, Some(11), "{outcome:?}");
    assert_eq!(
        outcome.stderr,
        format!(
            "tpmssh: cannot remove {}: Read-only file system (os error 30)\n",
            unit.display()
        )
    );
    assert!(unit.exists());
    Outcome::of(tpmssh(&home).args(["agent", "uninstall"])).ok();
    assert!(!unit.exists());
}

/// A program for which a terminal is all that there is.
#[test]
fn a_token_that_does_not_exist_is_asked_nothing() {
    let program = Program::new();
    let session = Session::start(&program, &["token", "change-pin", "--token", "nope"]);
    let (status, shown) = session.end();
    assert_eq!(status.code(), Some(12), "{shown}");
    assert!(
        shown.contains("make a token and a key first: tpmssh setup"),
        "{shown}"
    );
}

/// An option that would have no effect is refused.
#[test]
fn options_that_contradict_each_other_are_refused() {
    let program = Program::with_key();
    let code = text(program.home.path().join("code"));
    let so = &program.so_pin;
    for args in [
        &[
            "token",
            "init",
            "x",
            "--so-pin-file",
            so,
            "--so-pin-out",
            &code,
        ][..],
        &["token", "init", "--again", "--so-pin-out", &code],
        &["setup", "--so-pin-file", so, "--so-pin-out", &code],
        &[
            "token",
            "change-so-pin",
            "--new-so-pin-file",
            so,
            "--so-pin-out",
            &code,
        ],
        &["ssh-config", "server", "--module", "--key", "first"],
    ] {
        let outcome = program.run(args);
        assert_eq!(outcome.code, Some(2), "{outcome:?}");
        assert!(
            outcome.stderr.contains("cannot be used with"),
            "{outcome:?}"
        );
        assert!(!program.home.path().join("code").exists());
    }
}
