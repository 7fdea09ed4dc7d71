//! Homes that make trouble: without file locks, or read-only.

use std::fs;

use testing::Home;

use crate::program::{Outcome, Program};

/// Runs a program for which the kernel refuses each lock with ENOLCK, as a network file system does
/// whose lock service does not run.
const WITHOUT_LOCKS: &str = r#"
import ctypes, os, struct, sys
FCNTL, FLOCK, F_SETLK, F_SETLKW, ENOLCK = 72, 73, 6, 7, 37
if os.uname().machine != "x86_64":
    sys.exit("not this machine")
ERRNO, ALLOW = 0x00050000 | ENOLCK, 0x7fff0000
def load(at): return struct.pack("HBBI", 0x20, 0, 0, at)
def equals(value, yes, no): return struct.pack("HBBI", 0x15, yes, no, value)
def give(what): return struct.pack("HBBI", 0x06, 0, 0, what)
program = b"".join([load(0), equals(FLOCK, 4, 0), equals(FCNTL, 0, 4), load(24),
                    equals(F_SETLK, 1, 0), equals(F_SETLKW, 0, 1), give(ERRNO), give(ALLOW)])
code = ctypes.create_string_buffer(program, len(program))
filter = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code)))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, filter, 0, 0) == 0
os.execv(sys.argv[1], sys.argv[1:])
"#;

fn without_locks(home: &Home, args: &[&str]) -> Outcome {
    let mut command = home.command("/usr/bin/python3");
    command.args(["-c", WITHOUT_LOCKS, env!("CARGO_BIN_EXE_tpmssh")]);
    Outcome::of(command.args(args))
}

#[test]
fn a_home_without_locks_is_told_from_a_busy_store() {
    if !cfg!(target_arch = "x86_64") {
        eprintln!("skipped: the numbers of the system calls are those of x86-64");
        return;
    }
    let program = Program::with_key();
    without_locks(&program.home, &["list"]).fails(
        11,
        "tpmssh: the file system of the store has no working locks\n\
         hint: a network file system needs its lock service; or keep the store on a local disk: set \
         TPMSSH_STORE to a directory there\n",
    );
    program.run(&["list"]).ok();
    // Nothing is left of the file that was tried.
    let files = fs::read_dir(program.home.store()).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    assert_eq!(names.filter(|name| name.contains("locks")).count(), 0);
}

/// Runs lines of a shell with the home mounted read-only. `None` if this user cannot mount.
fn read_only(home: &Home, lines: &str) -> Option<Outcome> {
    if !testing::namespace::can_mount() {
        return None;
    }
    let script = format!(
        "set -e; tpmssh={}; home={}; mount --bind $home $home; mount -o remount,ro,bind $home; \
         mount -t tmpfs none $home/run; {lines}",
        env!("CARGO_BIN_EXE_tpmssh"),
        home.path().display()
    );
    let unshare = ["--mount", "--propagation", "private", "sh", "-c", &script];
    Some(Outcome::of(home.command("unshare").args(unshare)))
}

#[test]
fn a_read_only_home_is_of_use_and_told() {
    let program = Program::with_key();
    let run = |line: &str| read_only(&program.home, line);
    let Some(exported) = run("$tpmssh export") else {
        return;
    };
    assert_eq!(program.run(&["export"]).ok(), exported.ok());
    let hint = "hint: tpmssh doctor shows what has to be writable; TPMSSH_STORE names another \
                directory\n";
    run("$tpmssh keygen -C second --pin-file $home/pin")
        .unwrap()
        .fails(
            11,
            &format!("tpmssh: cannot make an ecdsa-p256 key: the store is read-only\n{hint}"),
        );
    run("$tpmssh token init other --pin-file $home/pin")
        .unwrap()
        .fails(11, &format!("tpmssh: the store is read-only\n{hint}"));
    let doctor = run("$tpmssh doctor").unwrap();
    assert!(
        doctor.stdout.contains(
            "\n         -> mount its file system writable, or set TPMSSH_STORE to another directory\n"
        ),
        "{doctor:?}"
    );
    // An agent that cannot write its log says only that, and not the lines of a normal start.
    let log = program.home.path().join(".local/state/tpmssh/agent.log");
    run("TMPDIR=$home/run $tpmssh agent --daemon").unwrap().fails(
        1,
        &format!(
            "tpmssh: the agent did not start: cannot open the audit log {}: Read-only file system \
             (os error 30)\n\
             hint: log = false below [agent] in the configuration file goes without\n",
            log.display()
        ),
    );
    let units = program.home.path().join(".config/systemd/user");
    let install = run(
        "mkdir $home/run/bin; printf '#!/bin/sh\\n' > $home/run/bin/systemctl; \
                       chmod +x $home/run/bin/systemctl; PATH=$home/run/bin:$PATH; \
                       $tpmssh agent install",
    )
    .unwrap();
    assert_eq!(
        (install.code, install.stderr),
        (
            Some(11),
            format!(
                "tpmssh: cannot write {}: Read-only file system (os error 30)\n",
                units.display()
            )
        )
    );
}
