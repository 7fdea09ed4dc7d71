//! The verifier's key: its mode and owner, and its replacement after 30 days.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::PathBuf;
use std::process::Command;

use super::{Files, manufactured};
use crate::program::{Outcome, Program, text};

const FOREIGN: &str = "tpmssh: proof refused: its challenge was not made by this verifier, or too long ago\n\
                       hint: make a new challenge with: tpmssh ca challenge REQUEST -o challenge.json\n";

fn path(program: &Program) -> PathBuf {
    program.home.store().join("verifier.key")
}

fn verify(program: &Program, files: &Files) -> Outcome {
    program.run(&["verify-proof", &files.proof, "--any-tpm"])
}

#[test]
fn a_key_that_others_could_have_read_seals_and_opens_nothing() {
    let program = manufactured();
    let files = Files::made_by(&program);
    let path = path(&program);
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    assert_eq!(fs::read(&path).unwrap().len(), 32);
    let challenge = ["ca", "challenge", &files.request];
    let shown = path.display();
    for mode in [0o640, 0o604, 0o620] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let exposed = format!(
            "tpmssh: {shown} can be read by other users\nhint: if it is yours: chmod 600 {shown}\n"
        );
        program.run(&challenge).fails(9, &exposed);
        verify(&program, &files).fails(9, &exposed);
    }
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    verify(&program, &files).ok();
    if testing::namespace::is_root() {
        let exposed = format!(
            "tpmssh: {shown} can be read by other users\nhint: if it is yours: chmod 600 {shown}\n"
        );
        chown(&path, Some(65534), None).unwrap();
        program.run(&challenge).fails(9, &exposed);
        chown(&path, Some(0), None).unwrap();
    }

    // A symbolic link in its place is refused as well.
    let elsewhere = program.home.path().join("elsewhere");
    fs::rename(&path, &elsewhere).unwrap();
    symlink(&elsewhere, &path).unwrap();
    program.run(&challenge).fails(
        1,
        &format!("tpmssh: cannot read {shown}: Too many levels of symbolic links (os error 40)\n"),
    );
    fs::remove_file(&path).unwrap();
    for wrong in [&[1; 31][..], &[1; 33], b""] {
        fs::write(&path, wrong).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let damaged = format!("tpmssh: {shown} is not the key of a verifier\n");
        program.run(&challenge).fails(7, &damaged);
        verify(&program, &files).fails(7, &damaged);
    }
}

/// The retired keys.
fn old(program: &Program) -> Vec<PathBuf> {
    let entries = fs::read_dir(program.home.store()).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let old = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with("verifier-")
    };
    paths.filter(old).collect()
}

#[test]
fn after_30_days_a_new_key_seals_and_the_old_one_opens_until_its_tickets_have_expired() {
    let program = manufactured();
    let files = Files::made_by(&program);
    let path = path(&program);
    let first = fs::read(&path).unwrap();
    let challenge = || program.run(&["ca", "challenge", &files.request]).ok();
    let age = |days: u32| {
        let mut touch = Command::new("touch");
        let since = format!("{days} days ago");
        Outcome::of(touch.arg("-d").arg(since).arg(&path)).ok();
    };
    age(29);
    challenge();
    assert_eq!(fs::read(&path).unwrap(), first);
    assert!(old(&program).is_empty());

    // Without a new challenge the key is not replaced, but after 38 days all its tickets have expired.
    age(39);
    assert_eq!(verify(&program, &files).code, Some(8));
    age(37);
    verify(&program, &files).ok();

    age(31);
    challenge();
    assert_ne!(fs::read(&path).unwrap(), first);
    let [aside] = &old(&program)[..] else {
        panic!()
    };
    assert_eq!(fs::read(aside).unwrap(), first);
    let mode = fs::metadata(aside).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    verify(&program, &files).ok();
    // The mode of a retired key is checked, too.
    fs::set_permissions(aside, Permissions::from_mode(0o644)).unwrap();
    let shown = aside.display();
    verify(&program, &files).fails(
        9,
        &format!(
            "tpmssh: {shown} can be read by other users\nhint: if it is yours: chmod 600 {shown}\n"
        ),
    );
    fs::set_permissions(aside, Permissions::from_mode(0o600)).unwrap();

    // A challenge is valid for at most 7 days; one more day allows for differing clocks.
    let name = aside.file_name().unwrap().to_str().unwrap();
    let time: u64 = name["verifier-".len()..name.len() - 4].parse().unwrap();
    let named = |time: u64| program.home.store().join(format!("verifier-{time}.key"));
    let day = 24 * 60 * 60;
    let week = named(time - 7 * day);
    fs::rename(aside, &week).unwrap();
    verify(&program, &files).ok();
    let gone = named(time - 8 * day - 60);
    fs::rename(&week, &gone).unwrap();
    verify(&program, &files).fails(8, FOREIGN);
    // The next challenge removes it, even if the sealing key is not replaced.
    challenge();
    assert!(!gone.exists() && old(&program).is_empty());
    age(31);
    challenge();
    assert_eq!(old(&program).len(), 1);
    // A file with another name is left alone.
    let other = text(program.home.store().join("verifier-old.key"));
    fs::write(&other, "note").unwrap();
    age(31);
    challenge();
    assert_eq!(fs::read(&other).unwrap(), b"note");
}
