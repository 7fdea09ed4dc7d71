//! A TPM that is not there, not allowed, or not well.

use testing::{Fault, Home, Tap, When, namespace};

use crate::program::{Outcome, Program, machine_has_tpm, run, tpmssh};

#[test]
fn no_tpm_at_all() {
    if machine_has_tpm() {
        return; // this machine has a TPM
    }
    let home = Home::new();
    let expected = "tpmssh: no TPM found: no device matches /dev/tpmrm*, and no other TPM is configured\n\
        hint: switch the TPM on in the firmware setup, or try a simulated one: tpmssh simulator start\n";
    Outcome::of(tpmssh(&home).args(["tpm", "info"])).fails(5, expected);
    Outcome::of(tpmssh(&home).args(["token", "init"])).fails(5, expected);
}

#[test]
fn no_such_device() {
    let home = Home::with_tcti("device:/dev/tpmrm99");
    Outcome::of(tpmssh(&home).args(["tpm", "info"])).fails(
        5,
        "tpmssh: no TPM at device:/dev/tpmrm99: No such file or directory (os error 2)\n\
         hint: switch the TPM on in the firmware setup, or try a simulated one: tpmssh simulator start\n",
    );
}

/// Runs `tpmssh tpm info` as a user without privileges in a mount namespace with an empty `/dev`.
/// There `nodes`, a line of a shell, makes files with the names of TPM devices.
fn fails_with_nodes(nodes: &str, expected: &str) {
    let home = Home::new();
    let script = format!(
        "mount -t tmpfs none /dev && cd /dev && {nodes} && \
         exec setpriv --reuid 65534 --clear-groups {} tpm info",
        env!("CARGO_BIN_EXE_tpmssh")
    );
    let unshare = ["--mount", "--propagation", "private", "sh", "-c", &script];
    run(
        "chown",
        &["-R", "65534", &home.path().display().to_string()],
    );
    Outcome::of(home.command("unshare").args(unshare)).fails(5, expected);
}

#[test]
fn no_permission_on_the_device() {
    if !namespace::can_mount() {
        return;
    }
    // Also if there is another node, before or after this one, that cannot be used either.
    for (nodes, denied) in [
        ("umask 77 && : >tpmrm0", "tpmrm0"),
        (
            "umask 0 && : >tpmrm0 && umask 77 && : >tpmrm1 && : >tpmrm2",
            "tpmrm1",
        ),
        ("umask 77 && : >tpmrm3 && mkdir -m 777 tpmrm4", "tpmrm3"),
    ] {
        let expected = format!(
            "tpmssh: permission denied on /dev/{denied}\n\
             hint: sudo usermod -aG tss \"$USER\", then log out and in again\n"
        );
        fails_with_nodes(nodes, &expected);
    }
}

#[test]
fn a_file_with_the_name_of_the_device_is_no_tpm() {
    if !namespace::can_mount() {
        return;
    }
    for (nodes, why) in [
        ("umask 0 && : >tpmrm0", "not a device"),
        ("mkfifo -m 666 tpmrm0", "not a device"),
        ("umask 0 && : >file && ln -s file tpmrm0", "not a device"),
        (
            "ln -s nowhere tpmrm0",
            "No such file or directory (os error 2)",
        ),
        ("mkdir -m 777 tpmrm0", "Is a directory (os error 21)"),
    ] {
        let expected = format!(
            "tpmssh: no TPM at device:/dev/tpmrm0: {why}\n\
             hint: switch the TPM on in the firmware setup, or try a simulated one: tpmssh simulator start\n"
        );
        fails_with_nodes(nodes, &expected);
    }
}

#[test]
fn the_simulator_is_not_running() {
    let mut program = Program::with_key();
    program.swtpm.stop();
    let expected = format!(
        "tpmssh: no TPM at {}: Connection refused (os error 111)\n\
         hint: start it again with: tpmssh simulator start\n",
        program.swtpm.tcti()
    );
    program.run(&["tpm", "info"]).fails(5, &expected);
    program
        .run(&["keygen", "--pin-file", &program.pin])
        .fails(5, &expected);
    // Commands that need no TPM still work.
    assert!(program.run(&["export"]).ok().ends_with(" first\n"));
}

#[test]
fn a_tpm_that_does_not_answer() {
    let program = Program::new();
    program.swtpm.pause();
    let outcome = program.run(&["tpm", "info"]);
    program.swtpm.resume();
    assert_eq!(outcome.code, Some(5), "{outcome:?}");
    assert!(
        outcome
            .stderr
            .starts_with("tpmssh: the TPM did not answer within ")
            && outcome
                .stderr
                .ends_with("\nhint: see whether another program holds the TPM, then try again\n"),
        "{outcome:?}"
    );
}

#[test]
fn a_tpm_in_failure_mode() {
    let program = Program::new();
    let tap = Tap::start(&program.swtpm);
    tap.inject(When::Always, Fault::Answer(0x101));
    for command in [["tpm", "info"], ["tpm", "selftest"]] {
        program
            .run(&["--tcti", &tap.tcti(), command[0], command[1]])
            .fails(
                5,
                "tpmssh: the TPM is in failure mode\n\
             hint: switch the machine off and on; if that does not help, the TPM is broken\n",
            );
    }
}

#[test]
fn a_wrong_connection_string() {
    let home = Home::new();
    for (tcti, why) in [
        (
            "cmd:touch x",
            "it must begin with device:, tabrmd: or swtpm:",
        ),
        (
            "swtpm:path=/run/s",
            "a socket path is not supported; use host= and port=",
        ),
        (
            "swtpm:host=192.0.2.1",
            "a simulated TPM must be on this machine (127.0.0.1 or ::1)",
        ),
        (
            "device:/etc/passwd",
            "the device must be /dev/tpmrm0, /dev/tpm0 or the like",
        ),
    ] {
        let expected = format!(
            "tpmssh: unusable TPM connection \"{tcti}\": {why}\n\
             hint: it looks like device:/dev/tpmrm0, tabrmd: or swtpm:host=127.0.0.1,port=2321\n"
        );
        Outcome::of(tpmssh(&home).args(["--tcti", tcti, "tpm", "info"])).fails(2, &expected);
        let from_environment =
            Outcome::of(tpmssh(&home).env("TPMSSH_TCTI", tcti).args(["tpm", "info"]));
        from_environment.fails(2, &expected);
    }
}
