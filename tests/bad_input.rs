//! The errors that a user can meet: exact text, hint, exit code, and no try spent.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use testing::{Fault, Home, Swtpm, Tap, When, namespace};

use crate::program::{Outcome, Program, run, text, tpmssh};

/// `TPM2_Create`.
const CREATE: u32 = 0x153;

/// The tries left in `token list`, and those in the chip.
fn tries_left(program: &Program) -> u64 {
    let list: serde_json::Value =
        serde_json::from_str(&program.run(&["token", "list", "--json"]).ok()).unwrap();
    list[0]["tries_left"].as_u64().unwrap()
}

#[test]
fn no_tpm_at_all() {
    if Path::new("/dev/tpmrm0").exists() {
        return; // then there is one
    }
    let home = Home::new();
    let expected = "tpmssh: no TPM found: there is no /dev/tpmrm0 and no other TPM is configured\n\
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

/// In a mount namespace with a private `/dev`, as a user without permission for its devices.
#[test]
fn no_permission_on_the_device() {
    let home = Home::new();
    let script = format!(
        "mount -t tmpfs none /dev && touch /dev/tpmrm0 && chmod 600 /dev/tpmrm0 && \
         exec setpriv --reuid 65534 --clear-groups {} tpm info",
        env!("CARGO_BIN_EXE_tpmssh")
    );
    let unshare = ["--mount", "--propagation", "private", "sh", "-c", &script];
    if !namespace::can_mount() {
        return;
    }
    run(
        "chown",
        &["-R", "65534", &home.path().display().to_string()],
    );
    Outcome::of(home.command("unshare").args(unshare)).fails(
        5,
        "tpmssh: permission denied on /dev/tpmrm0\n\
         hint: sudo usermod -aG tss \"$USER\", then log out and in again\n",
    );
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

#[test]
fn wrong_pins_until_the_token_is_locked() {
    let program = Program::with_key();
    let wrong = program.secret("wrong", "incorrect horse");
    let keygen = |pin: &str| program.run(&["keygen", "--yes", "--pin-file", pin]);
    keygen(&wrong).fails(3, "tpmssh: wrong PIN, 2 tries left\n");
    keygen(&wrong).fails(3, "tpmssh: wrong PIN, 1 try left\n");
    assert_eq!(tries_left(&program), 1);
    // The last try is not spent without a yes, whatever the command.
    for command in [
        &["keygen"][..],
        &["sign", "pin"],
        &["csr", "first", "--subject", "CN=a"],
    ] {
        let refused = [command, &["--pin-file", &wrong]].concat();
        program.run(&refused).fails(
            2,
            "tpmssh: only 1 try is left, and a wrong PIN would lock the token\n\
             hint: add --yes if you are sure of the PIN\n",
        );
    }
    assert_eq!(tries_left(&program), 1);
    let reset = "hint: the SO PIN sets a new PIN: tpmssh token reset-pin\n";
    keygen(&wrong).fails(
        3,
        &format!("tpmssh: wrong PIN, and no more tries left\n{reset}"),
    );
    let locked = format!("tpmssh: the PIN is locked after too many wrong ones\n{reset}");
    keygen(&wrong).fails(4, &locked);
    keygen(&program.pin).fails(4, &locked);
    let new = program.secret("new", "new horse");
    program
        .run(&[
            "token",
            "change-pin",
            "--pin-file",
            &program.pin,
            "--new-pin-file",
            &new,
        ])
        .fails(4, &locked);
    assert!(program.run(&["token", "list"]).ok().contains("locked"));

    program
        .run(&[
            "token",
            "reset-pin",
            "--so-pin-file",
            &program.so_pin,
            "--new-pin-file",
            &new,
        ])
        .ok();
    keygen(&new).ok();
    assert_eq!(tries_left(&program), 3);
}

#[test]
fn pins_that_cannot_be_pins_cost_no_try() {
    let program = Program::with_token();
    let no_try = "hint: no try was spent\n";
    for (pin, why, hint) in [
        (&b"123\n"[..], "a PIN has at least 4 bytes", ""),
        (b"\n", "a PIN has at least 4 bytes", ""),
        (&[b'1'; 257], "a PIN has at most 256 bytes", no_try),
        (
            b"12\x0034\n",
            "a PIN cannot contain control characters",
            no_try,
        ),
        (
            b"correct horse\r\n",
            "a PIN cannot contain control characters",
            no_try,
        ),
        (b"123\xff4\n", "a PIN must be UTF-8 text", no_try),
    ] {
        program
            .run_with_input(&["keygen", "--pin-fd", "0"], pin)
            .fails(3, &format!("tpmssh: unusable PIN: {why}\n{hint}"));
    }
    program
        .run_with_input(&["keygen", "--pin-fd", "0"], b"")
        .fails(2, "tpmssh: nothing to read from file descriptor 0\n");
    program
        .run_with_input(&["keygen", "--pin-fd", "0"], &[b'1'; 5000])
        .fails(
            2,
            "tpmssh: too much to read from file descriptor 0: at most 1 KiB are taken\n",
        );
    assert_eq!(tries_left(&program), 3);
    program.keygen("still good");
}

#[test]
fn pin_files_that_are_not_safe_or_not_there() {
    let program = Program::with_token();
    let exposed = program.secret("exposed", "correct horse");
    fs::set_permissions(&exposed, Permissions::from_mode(0o644)).unwrap();
    program.run(&["keygen", "--pin-file", &exposed]).fails(
        9,
        &format!(
            "tpmssh: {exposed} can be read by other users\nhint: if it is yours: chmod 600 {exposed}\n"
        ),
    );
    let lines = program.secret("lines", "correct horse\nsecond line\n");
    program
        .run(&["keygen", "--pin-file", &lines])
        .fails(2, &format!("tpmssh: {lines} has more than one line\n"));
    program
        .run(&["keygen", "--pin-file", "/nonexistent"])
        .fails(
            1,
            "tpmssh: cannot read /nonexistent: No such file or directory (os error 2)\n",
        );
    program.run(&["keygen", "--pin-fd", "77"]).fails(
        1,
        "tpmssh: cannot read file descriptor 77: No such file or directory (os error 2)\n",
    );
    assert_eq!(tries_left(&program), 3);
}

/// None of these is waited for, and none costs a try.
#[test]
fn pins_from_where_none_can_be() {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let program = Program::with_token();
    let keygen = |option: &str, value: &str| program.run(&["keygen", option, value]);
    keygen("--pin-fd", "1").fails(
        1,
        "tpmssh: cannot read file descriptor 1: it is open for writing only\n",
    );
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new())
        .unwrap()
        .into_string()
        .unwrap();
    keygen("--pin-file", &name).fails(
        2,
        &format!("tpmssh: {name} is a terminal\nhint: leave the option out to be asked\n"),
    );
    let file = program.secret("marked", "\u{feff}correct horse\n");
    keygen("--pin-file", &file).fails(
        2,
        &format!(
            "tpmssh: {file} begins with a byte order mark\n\
             hint: save it as UTF-8 without one; no try was spent\n"
        ),
    );
    assert_eq!(tries_left(&program), 3);
    // A pipe by its name, as a shell makes one for <(…).
    let script = "\"$0\" keygen -C piped --pin-file <(cat \"$1\") && \
                  \"$0\" keygen -C dash --pin-file - <\"$1\"";
    let mut shell = program.home.command("bash");
    shell.args(["-c", script, env!("CARGO_BIN_EXE_tpmssh"), &program.pin]);
    Outcome::of(&mut shell).ok();
}

#[test]
fn nobody_to_ask_is_an_error_and_no_empty_pin() {
    let program = Program::with_token();
    let mut setsid = program.home.command("setsid");
    setsid.args(["--wait", env!("CARGO_BIN_EXE_tpmssh"), "keygen"]);
    Outcome::of(&mut setsid).fails(
        1,
        "tpmssh: no way to ask for the PIN for token \"work\"\n\
         hint: use a terminal, set SSH_ASKPASS, or see --help for options that end in -file and -fd\n",
    );
    assert_eq!(tries_left(&program), 3);
}

#[test]
fn key_types_and_sizes_that_do_not_exist() {
    let program = Program::with_token();
    program.run(&["keygen", "-t", "dsa"]).fails(
        2,
        "tpmssh: invalid value 'dsa' for '--type <ALGORITHM>' [possible values: ecdsa, rsa]\n\
         hint: TPMs make no such keys; leave -t out for ecdsa, which every current server takes\n",
    );
    program
        .run(&["keygen", "-t", "rsa", "-b", "1024"])
        .fails(2, "tpmssh: an rsa key has 2048 or 3072 bits, not 1024\n");
    program.run(&["keygen", "-b", "255"]).fails(
        2,
        "tpmssh: an ecdsa key has 256, 384 or 521 bits, not 255\n",
    );
    program.run(&["keygen", "--id", "xyz"]).fails(
        2,
        "tpmssh: invalid value 'xyz' for '--id <HEX>': it takes pairs of hexadecimal digits\n\
         hint: see tpmssh keygen --help\n",
    );
}

/// `TPM_RC_CURVE`, as a chip answers that has fewer curves than the simulator.
#[test]
fn a_size_that_the_chip_lacks() {
    let program = Program::with_token();
    let tap = Tap::start(&program.swtpm);
    tap.inject(When::Command(CREATE), Fault::Answer(0x2e6));
    program
        .run(&[
            "--tcti",
            &tap.tcti(),
            "keygen",
            "-b",
            "521",
            "--pin-file",
            &program.pin,
        ])
        .fails(
            1,
            "tpmssh: cannot make an ecdsa-p521 key: this TPM does not support ecdsa-p521\n\
             hint: tpmssh tpm info shows what this TPM can do\n",
        );
    assert_eq!(program.run(&["list-objects", "--json"]).ok(), "[]\n");
}

#[test]
fn labels_and_ids_that_are_too_long() {
    let program = Program::with_token();
    let long = "x".repeat(33);
    program
        .run(&["token", "init", "--label", &long])
        .fails(2, "tpmssh: the token label is longer than 32 bytes\n");
    let long = "x".repeat(129);
    program
        .run(&["keygen", "--label", &long, "--pin-file", &program.pin])
        .fails(2, "tpmssh: unusable label: it is longer than 128 bytes\n");
    let long = "00".repeat(129);
    program
        .run(&["keygen", "--id", &long, "--pin-file", &program.pin])
        .fails(
            2,
            "tpmssh: cannot make an ecdsa-p256 key: the id is longer than 128 bytes\n",
        );
}

#[test]
fn tokens_that_are_not_there_or_not_told_apart() {
    let program = Program::new();
    let store = text(program.home.store());
    for command in ["list-objects", "export"] {
        program.run(&[command]).fails(
            12,
            &format!(
                "tpmssh: there is no store at {store}\nhint: make a token and a key first: tpmssh setup\n"
            ),
        );
    }
    program.init("work");
    program.run(&["--token", "play", "keygen"]).fails(
        12,
        "tpmssh: no token \"play\"\nhint: tpmssh token list shows what there is\n",
    );
    program.init("play");
    program.run(&["keygen"]).fails(
        2,
        "tpmssh: there are several tokens: \"work\" and \"play\"\n\
         hint: say which one with --token LABEL\n",
    );
    // As PKCS#11 programs and older versions may make them.
    program.init("third");
    let store = program.home.store().join("store.db");
    let store = rusqlite::Connection::open(store).unwrap();
    let rename = "UPDATE token SET label = 'play' WHERE label = 'third'";
    assert_eq!(store.execute(rename, []).unwrap(), 1);
    program.run(&["--token", "play", "keygen"]).fails(
        2,
        "tpmssh: several tokens are called \"play\"\n\
         hint: give the serial number instead, which tpmssh token list shows\n",
    );
}

/// Before a PIN is asked for: there is no PIN file and no terminal.
#[test]
fn a_label_that_is_taken_or_cannot_be_one_is_refused() {
    let program = Program::with_key();
    program.init("play");
    for command in [
        &["token", "init", "--label", "play"][..],
        &["--token", "work", "token", "rename", "play"],
        &[
            "--token", "work", "token", "init", "--again", "--label", "play",
        ],
    ] {
        program.run(command).fails(
            2,
            "tpmssh: there is a token called \"play\" already\n\
             hint: give another label; tpmssh token list shows what there is\n",
        );
    }
    program
        .run(&["--token", "play", "token", "rename", "play"])
        .ok();
    for command in [["keygen", "--label"], ["ca", "init"]] {
        let with = |label: &str| {
            let mut args = vec!["--token", "work"];
            args.extend(command.iter().filter(|word| **word != "--label"));
            args.extend(["--label", label]);
            program.run(&args)
        };
        with("first").fails(
            2,
            "tpmssh: there is a key called \"first\" already\n\
             hint: give another with --label; tpmssh list shows what there is\n",
        );
        for empty in ["", " "] {
            with(empty).fails(2, "tpmssh: unusable label: it is empty\n");
        }
        for lines in ["a\nb", "a\tb", "a\u{85}b", "a\u{2028}b"] {
            with(lines).fails(2, "tpmssh: unusable label: it has control characters\n");
        }
    }
    // A key that nobody named gets a label of its own.
    for _ in 0..2 {
        let args = ["--token", "work", "keygen", "--pin-file", &program.pin];
        program.run(&args).ok();
    }
    let listed = program.run(&["--token", "work", "list-objects"]).ok();
    assert!(listed.contains(" key 2"), "{listed}");
    // Another token may have a key of the same label.
    let args = ["--token", "play", "keygen", "--label", "first"];
    let pin = ["--pin-file", &program.pin];
    program.run(&[&args[..], &pin].concat()).ok();
}

#[test]
fn keys_that_are_not_there_or_not_told_apart() {
    let program = Program::with_token();
    program.run(&["export"]).fails(
        12,
        "tpmssh: there is no key yet\nhint: make one first: tpmssh keygen\n",
    );
    program.keygen("same");
    let mut make = program.home.command("pkcs11-tool");
    let pair = ["--keypairgen", "--key-type", "EC:prime256v1", "--label"];
    make.arg("--module").arg(testing::module());
    make.args(["--login", "--pin", crate::program::PIN]);
    Outcome::of(make.args(pair).args(["same", "--id", "02"])).ok();
    for command in ["export", "delete"] {
        program.run(&[command, "other"]).fails(
            12,
            "tpmssh: no key \"other\"\nhint: tpmssh list shows what there is\n",
        );
        program.run(&[command, "same"]).fails(
            2,
            "tpmssh: several keys are called \"same\"\n\
             hint: give the id or the fingerprint instead, which tpmssh list shows\n",
        );
    }
}

#[test]
fn deleting_without_saying_yes() {
    let program = Program::with_key();
    let mut setsid = program.home.command("setsid");
    setsid.args(["--wait", env!("CARGO_BIN_EXE_tpmssh"), "delete", "first"]);
    Outcome::of(&mut setsid).fails(
        2,
        "tpmssh: this has to be confirmed, and there is no terminal to ask on\n\
         hint: add --yes if you mean it\n",
    );
    assert_eq!(program.run(&["export"]).ok().lines().count(), 1);
}

#[test]
fn a_store_that_others_can_read() {
    let program = Program::with_key();
    let store = program.home.store();
    fs::set_permissions(&store, Permissions::from_mode(0o755)).unwrap();
    let outcome = program.run(&["list-objects"]);
    assert_eq!(outcome.code, Some(9), "{outcome:?}");
    let store = text(store);
    assert!(
        outcome
            .stderr
            .starts_with(&format!("tpmssh: unsafe path {store}: "))
            && outcome
                .stderr
                .ends_with(&format!("\nhint: if it is yours: chmod 700 {store}\n")),
        "{outcome:?}"
    );
}

#[test]
fn a_store_of_another_tpm() {
    let program = Program::with_key();
    let other = Swtpm::start();
    program.run(&["--tcti", &other.tcti(), "keygen", "--pin-file", &program.pin]).fails(
        6,
        "tpmssh: the token belongs to another TPM, or this TPM has been cleared\n\
         hint: its keys work in the TPM they were made in and nowhere else; make new ones with: tpmssh token init\n",
    );
    assert_eq!(tries_left(&program), 3);
    program.keygen("here they still work");
}

#[test]
fn a_store_that_is_damaged() {
    let program = Program::with_key();
    let file = fs::read_dir(program.home.store())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .max_by_key(|path| fs::metadata(path).unwrap().len())
        .unwrap();
    let good = fs::read(&file).unwrap();
    let hint = "\nhint: put back a good copy of the store, or make a new token\n";
    for damaged in [
        &good[..good.len() / 2],
        &good[..100],
        &[],
        &b"not a database".repeat(1000),
    ] {
        fs::write(&file, damaged).unwrap();
        for command in [
            &["list-objects"][..],
            &["keygen", "--pin-file", &program.pin],
        ] {
            let outcome = program.run(command);
            assert_eq!(outcome.code, Some(7), "{outcome:?}");
            assert!(
                outcome.stderr.starts_with("tpmssh: the store is corrupt: ")
                    && outcome.stderr.ends_with(hint)
                    && outcome.stderr.lines().count() == 2,
                "{outcome:?}"
            );
        }
        assert_eq!(
            fs::read(&file).unwrap(),
            damaged,
            "nothing was repaired or lost"
        );
    }
    fs::write(&file, good).unwrap();
    program.keygen("whole again");
}

#[test]
fn a_configuration_file_that_means_nothing() {
    let home = Home::new();
    fs::create_dir(home.config().parent().unwrap()).unwrap();
    fs::write(home.config(), "tpm = 1\n").unwrap();
    fs::set_permissions(home.config(), Permissions::from_mode(0o600)).unwrap();
    Outcome::of(tpmssh(&home).args(["tpm", "info"])).fails(
        2,
        &format!(
            "tpmssh: cannot use {}: line 1: unknown key \"tpm\"\nhint: correct the file, or remove it\n",
            home.config().display()
        ),
    );
}
