//! Stores and configuration files that are not as they should be.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use testing::{Home, Swtpm};

use super::tries_left;
use crate::program::{Outcome, Program, text, tpmssh};

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
