//! Machines without systemd, or with an OpenSSH that lacks an option which `tpmssh host` uses.

use std::os::unix::fs::symlink;

use super::{Machine, Outcome, Program, fs};
use testing::Sshd;

/// Runs `tpmssh host setup` with the directory `programs` as its whole `PATH`.
fn setup_with(machine: &Machine, programs: &str, options: &[&str]) -> Outcome {
    let mut command = machine.program.command();
    command.env("PATH", machine.program.home.path().join(programs));
    command.args(["host", "setup", "--store", &machine.store]);
    command.args(["--etc", &machine.etc, "--socket", &machine.socket]);
    Outcome::of(command.args(options))
}

#[test]
fn without_systemd_nothing_is_made() {
    let machine = Machine::new(Program::new());
    let programs = machine.program.home.path().join("few");
    fs::create_dir(&programs).unwrap();
    symlink("/usr/bin/ssh-keygen", programs.join("ssh-keygen")).unwrap();
    setup_with(&machine, "few", &[]).fails(
        1,
        "tpmssh: systemd is not installed here, and nothing was written\n\
         hint: this command is for systemd; what its service runs, and what sshd needs, shows: \
         tpmssh host setup --dry-run\n",
    );
    assert!(!fs::exists(&machine.store).unwrap());
    // The command of the hint works here.
    let shown = setup_with(&machine, "few", &["--dry-run"]).ok();
    assert!(shown.contains("\nExecStart="), "{shown}");
    assert!(!fs::exists(format!("{}/ssh/sshd_config.d", machine.etc)).unwrap());
}

/// If sshd cannot be asked for its host keys, those that it has by default are kept.
#[test]
fn a_server_that_does_not_say_which_keys_it_has_keeps_those_in_files() {
    let machine = Machine::new(Program::new());
    machine.file_key("ed25519", &[]);
    let refuses = "#!/bin/sh\necho \"unknown option -- $1\" >&2\nexit 1\n";
    machine.program.home.script("bin/sshd", refuses);
    machine.setup(&[]).ok();
    let settings = machine.read("ssh/sshd_config.d/10-tpmssh.conf");
    let kept = format!("HostKey {}/ssh/ssh_host_ed25519_key\n", machine.etc);
    assert!(settings.contains(&kept), "{settings}");
}

#[test]
fn a_client_without_an_option_that_a_check_needs_is_named() {
    let machine = Machine::new(Program::new());
    machine.setup(&[]).ok();
    let refuses = "#!/bin/sh\n\
                   echo 'command-line: line 0: Bad configuration option: knownhostscommand' >&2\n\
                   exit 255\n";
    machine.program.home.script("bin/ssh", refuses);
    let _agent = machine.serve();
    let sshd = Sshd::start(&machine.program.home);
    let bin = machine.program.home.path().join("bin");
    let path = std::env::var("PATH").unwrap();
    let mut command = machine.program.command();
    command.env("PATH", format!("{}:{path}", bin.display()));
    command.args(["host", "check", "--port", &sshd.port().to_string()]);
    command.args(["--store", &machine.store, "--etc", &machine.etc]);
    let outcome = Outcome::of(command.args(["--socket", &machine.socket]));
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    let why = "the ssh of this machine cannot check it: command-line: line 0: Bad configuration option: \
               knownhostscommand\n\
               hint: the check needs OpenSSH 8.5 or newer: ssh -V\n";
    assert!(outcome.stderr.ends_with(why), "{outcome:?}");
}
