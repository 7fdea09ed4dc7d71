//! A store that was tampered with, held against the chip and against what root has recorded.

use std::fs;
use std::path::Path;
use std::process::Command;

use testing::{Home, Service};

use crate::agent::served::socket;
use crate::program::{Outcome, PIN, Program, text};

/// Has a command run as root of a mount namespace of its own, whose `/etc` is the directory `etc` in
/// the home.
fn in_etc(mut unshare: Command, program: &Path, args: &[&str]) -> Command {
    unshare.arg("--mount");
    if !rustix::process::geteuid().is_root() {
        unshare.arg("--map-root-user");
    }
    let inside = r#"mount --bind "$HOME/etc" /etc && exec "$@""#;
    unshare.args(["sh", "-c", inside, "sh"]).arg(program);
    unshare.args(args);
    unshare
}

/// `tpmssh` in such a namespace.
fn with_etc(home: &Home, args: &[&str]) -> Outcome {
    let tpmssh = Path::new(env!("CARGO_BIN_EXE_tpmssh"));
    Outcome::of(&mut in_etc(home.command("unshare"), tpmssh, args))
}

fn copy_etc(home: &Home) {
    let etc = home.path().join("etc");
    fs::create_dir(&etc).unwrap();
    // Files that this user cannot read are not needed.
    let mut copy = Command::new("cp");
    let _ = copy.args(["-a", "/etc/.", &text(etc)]).output();
}

fn tamper(program: &Program, sql: &str) {
    let file = program.home.store().join("store.db");
    let sql = format!("PRAGMA ignore_check_constraints = on; {sql}");
    rusqlite::Connection::open(file)
        .unwrap()
        .execute_batch(&sql)
        .unwrap();
}

#[test]
fn a_limit_out_of_its_range_is_a_corrupt_store() {
    let program = Program::with_key();
    tamper(&program, "UPDATE token SET max_tries = 1000000");
    program.run(&["token", "list"]).fails(
        7,
        "tpmssh: the store is corrupt: token \"work\": its limit of 1000000 wrong PINs is not one \
         from 1 to 100\n\
         hint: put back a good copy of the store, or make a new token\n",
    );
}

#[test]
fn doctor_finds_a_limit_of_the_chip_that_is_not_the_tokens() {
    let program = Program::with_key();
    program.run(&["doctor"]).ok();
    tamper(&program, "UPDATE token SET max_tries = 2");
    let found = program.run(&["doctor"]);
    assert_eq!(found.code, Some(7), "{found:#?}");
    let said = found
        .stdout
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    assert!(
        said.contains("the TPM locks this token after 3 wrong PINs, and not after 2"),
        "{said}"
    );
    assert!(said.contains("the recovery code (SO PIN) sets it right: tpmssh token reset-pin"));
}

#[test]
fn a_storage_root_key_that_root_has_not_recorded_is_another_tpm() {
    let program = Program::with_key();
    let home = &program.home;
    copy_etc(home);
    let pin = &program.pin;
    let sign = ["sign", "--key", "first", "--pin-file", pin, pin];
    let said = with_etc(home, &["tpm", "pin-srk"]).ok();
    assert!(said.contains("recorded in"), "{said}");
    // The record is of this TPM: all goes on, and recording it again changes nothing.
    with_etc(home, &sign).ok();
    with_etc(home, &["tpm", "pin-srk"]).ok();

    let record = home.path().join("etc/tpmssh/srk");
    let right = fs::read_to_string(&record).unwrap();
    fs::write(&record, format!("000b{}\n", "5a".repeat(32))).unwrap();
    let refused = "tpmssh: the TPM, or the store, is not that of this machine: root has recorded \
                   another storage root key in /etc/tpmssh/srk\n\
                   hint: if the TPM was replaced or cleared on purpose: sudo tpmssh tpm pin-srk \
                   --force\n";
    with_etc(home, &sign).fails(6, refused);
    with_etc(home, &["tpm", "pin-srk"]).fails(6, refused);
    assert_eq!(with_etc(home, &["doctor"]).code, Some(6));
    let init = ["token", "init", "--label", "b", "--pin-file", &program.pin];
    with_etc(home, &init).fails(6, refused);
    // Outside nothing is recorded.
    program.run(&sign).ok();

    with_etc(home, &["tpm", "pin-srk", "--force"]).ok();
    assert_eq!(fs::read_to_string(&record).unwrap(), right);
    fs::set_permissions(&record, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    let outcome = with_etc(home, &sign);
    assert_eq!(outcome.code, Some(9), "{outcome:#?}");
    assert!(
        outcome
            .stderr
            .starts_with("tpmssh: unsafe path /etc/tpmssh/srk: others than root can write to it\n"),
        "{outcome:#?}"
    );
}

/// The module and the agent look at the record as well, and sign with nothing that it does not have.
#[test]
fn module_and_agent_refuse_a_storage_root_key_that_root_has_not_recorded() {
    let program = Program::with_key();
    let home = &program.home;
    copy_etc(home);
    with_etc(home, &["tpm", "pin-srk"]).ok();
    let public = text(home.path().join("key.pub"));
    fs::write(&public, program.run(&["export"]).ok()).unwrap();
    let module = text(testing::module());
    fs::write(home.path().join("data"), "data").unwrap();
    let sign = ["--module", &module, "--login", "--pin", PIN, "--sign"];
    let sign = [
        &sign[..],
        &["-m", "ECDSA-SHA256", "-i", "data", "-o", "made"],
    ]
    .concat();
    let by_module = || {
        let tool = Path::new("pkcs11-tool");
        Outcome::of(&mut in_etc(home.command("unshare"), tool, &sign))
    };
    let by_agent = || {
        let mut agent = in_etc(
            home.daemon("unshare"),
            Path::new(env!("CARGO_BIN_EXE_tpmssh")),
            &["agent", "--no-ask"],
        );
        agent.env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent");
        let agent = Service::start("tpmssh agent", agent, &socket(home));
        let unlocked = program.run(&["unlock", "--pin-file", &program.pin]);
        let mut test = home.command("ssh-add");
        let signed = Outcome::of(test.envs(agent.env()).args(["-T", &public]));
        (unlocked, signed)
    };
    by_module().ok();
    let (unlocked, signed) = by_agent();
    unlocked.ok();
    signed.ok();

    let record = home.path().join("etc/tpmssh/srk");
    fs::write(&record, format!("000b{}\n", "5a".repeat(32))).unwrap();
    let refused = by_module();
    assert_eq!(refused.code, Some(1), "{refused:#?}");
    assert!(
        refused.stderr.contains("CKR_TOKEN_NOT_RECOGNIZED"),
        "{refused:#?}"
    );
    let (unlocked, signed) = by_agent();
    assert_eq!(unlocked.code, Some(6), "{unlocked:#?}");
    assert_ne!(signed.code, Some(0), "{signed:#?}");
}

#[test]
fn a_token_made_anew_has_no_keys_and_another_pin() {
    let program = Program::with_key();
    let new = program.secret("new", "another pin");
    let again = [
        "token",
        "init",
        "--again",
        "--yes",
        "--pin-file",
        &new,
        "--so-pin-file",
        &program.so_pin,
    ];
    assert_eq!(program.run(&again).ok(), "token \"work\" made\n");
    assert_eq!(program.run(&["list-objects", "--json"]).ok(), "[]\n");
    let keygen = |pin: &str| program.run(&["keygen", "--label", "k", "--pin-file", pin]);
    assert_eq!(keygen(&program.pin).code, Some(3));
    keygen(&new).ok();
    // Nothing is left in the chip.
    let doctor = program.run(&["doctor"]).ok();
    assert!(doctor.contains("none in the TPM"), "{doctor}");
}
