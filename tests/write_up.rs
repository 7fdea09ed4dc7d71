//! The document of 2013 that this project grew from, done with tpmssh: its sections 2 to 5 and
//! its "random notes". Sections 6 to 8 are in `journey.rs`.

use std::path::Path;

use testing::{Home, Swtpm, namespace};

use crate::doctor::unwrapped;
use crate::program::{Outcome, Program, run, text, tpmssh};
use crate::raw;

/// "2. Verify TPM chip: make sure tpm_version and tpm_selftest don't give errors."
#[test]
fn the_chip_is_verified() {
    let program = Program::new();
    let shown = program.run(&["tpm", "info"]).ok();
    for line in [
        "manufacturer      IBM (49424d00)",
        "model             SW TPM",
        "firmware          ",
        "specification     TPM 2.0, revision 1.",
    ] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    assert_eq!(program.run(&["tpm", "selftest"]).ok(), "self test passed\n");
}

/// The passwords of the three hierarchies, each in a file of its own.
struct Passwords {
    owner: String,
    endorsement: String,
    lockout: String,
}

impl Passwords {
    fn of(program: &Program) -> Self {
        let file = |name: &str| program.secret(name, &format!("{name} password"));
        Self {
            owner: file("owner"),
            endorsement: file("endorsement"),
            lockout: file("lockout"),
        }
    }

    fn take_ownership(&self, program: &Program) -> Outcome {
        program.run(&[
            "tpm",
            "take-ownership",
            "--yes",
            "--owner-auth-file",
            &self.owner,
            "--endorsement-auth-file",
            &self.endorsement,
            "--lockout-auth-file",
            &self.lockout,
        ])
    }
}

/// "3. Initialise the TPM chip: tpm_takeownership", and "taken ownership already": `tpm_clear`
/// to reset the chip and try again.
#[test]
fn ownership_is_taken_once_and_again_after_a_clear() {
    let program = Program::new();
    let passwords = Passwords::of(&program);
    let taken = passwords.take_ownership(&program);
    assert_eq!(taken.stderr, "");
    let taken = taken.ok();
    assert!(
        taken.ends_with("passwords set     owner, endorsement, lockout\n"),
        "{taken}"
    );
    passwords.take_ownership(&program).fails(
        1,
        "tpmssh: ownership of this TPM has been taken already: the owner, endorsement and lockout \
         passwords are set\n\
         hint: change a password with tpmssh tpm change-auth; if it is lost, only tpmssh tpm clear \
         or the firmware setup helps\n",
    );
    let clear = ["tpm", "clear", "--yes", "--lockout-auth-file"];
    program
        .run(&[&clear[..], &[&passwords.lockout]].concat())
        .ok();
    passwords.take_ownership(&program).ok();
}

/// "If you've already taken ownership, but set an SRK password, then run
/// tpm_changeownerauth -s -r. Not all tools support SRK passwords."
#[test]
fn a_password_of_the_storage_root_key_is_found_and_removed() {
    let program = Program::new();
    raw::srk_with_password(&program.swtpm, "of the SRK");
    let pins = ["--pin-file", &program.pin, "--so-pin-file", &program.so_pin];
    let init = |label| {
        let token = ["token", "init", "--label", label];
        program.run(&[&token[..], &pins[..]].concat())
    };
    // tpmssh does not touch that key and uses one of its own.
    let made = init("beside it");
    assert!(
        made.stderr
            .contains("it has a password; tpmssh has one of its own beside it"),
        "{made:#?}"
    );
    made.ok();
    let found = program.run(&["doctor"]);
    assert_eq!(found.code, Some(0), "{found:#?}");
    let why = "does not serve tpmssh: it has a password";
    assert!(unwrapped(&found.stdout).contains(why), "{found:#?}");
    // No other program uses that key, so it may be replaced.
    let replace = "tpm take-ownership --no-passwords --replace-storage-root-key --yes";
    let words: Vec<_> = replace.split(' ').collect();
    program.run(&words).ok();
    let found = program.run(&["doctor"]);
    assert!(!unwrapped(&found.stdout).contains(why), "{found:#?}");
    init("below a new one").ok();
    assert_eq!(program.run(&["doctor"]).code, Some(0));
}

/// "4. Add users to TPM groups. Don't forget to log out and in again."
///
/// In a mount namespace with a `/dev` and a group file of its own.
#[test]
fn a_user_hears_of_the_group_and_of_the_login_that_is_older() {
    let home = Home::new();
    if !namespace::can_mount() {
        return;
    }
    run("chown", &["-R", "65534", &text(home.path().to_owned())]);
    let doctor = |members: &str| {
        let script = format!(
            "mount -t tmpfs none /dev && mount -t tmpfs none /mnt && \
             echo 'tss:x:4242:{members}' > /mnt/group && mount --bind /mnt/group /etc/group && \
             touch /dev/tpmrm0 && chown root:4242 /dev/tpmrm0 && chmod 660 /dev/tpmrm0 && \
             exec setpriv --reuid 65534 --clear-groups {} doctor",
            env!("CARGO_BIN_EXE_tpmssh")
        );
        let unshare = ["--mount", "--propagation", "private", "sh", "-c", &script];
        let outcome = Outcome::of(home.command("unshare").args(unshare));
        assert_eq!(outcome.code, Some(5), "{outcome:#?}");
        outcome.stdout
    };
    let stranger = doctor("anna");
    assert!(
        stranger.contains("-> sudo usermod -aG tss nobody, then log out and in again\n"),
        "{stranger}"
    );
    let member = doctor("anna,nobody");
    assert!(
        member.contains("-> log out and in again, or for now: newgrp tss\n"),
        "{member}"
    );
}

/// "5. As every user, initialize the user's TPM PKCS#11 data store", and the note "The default
/// security officer password is 87654321": there is none.
#[test]
fn each_user_has_a_token_and_no_default_pin() {
    let swtpm = Swtpm::start();
    let anna = Program::with_tpm(swtpm);
    anna.init("of anna");
    // Another user of the same machine.
    let bert = Home::with_tcti(anna.swtpm.tcti());
    let pin = text(bert.secret_file("pin", "a pin of bert's"));
    let made = Outcome::of(tpmssh(&bert).args(["token", "init", "--pin-file", &pin]));
    let so_pin = made
        .stderr
        .lines()
        .find_map(|line| line.strip_prefix("Recovery code (SO PIN): "))
        .unwrap_or_else(|| panic!("{made:#?}"));
    assert!(so_pin.len() > 8 && so_pin != "87654321", "{so_pin}");
    assert_eq!(made.code, Some(0));
    for (program, label) in [(tpmssh(&bert), "ssh"), (anna.command(), "of anna")] {
        let mut program = program;
        let list = Outcome::of(program.args(["token", "list"])).ok();
        assert_eq!(list.lines().count(), 2, "{list}");
        assert!(list.contains(label), "{list}");
    }
    let default = text(bert.secret_file("default", "87654321"));
    let reset = [
        "token",
        "reset-pin",
        "--so-pin-file",
        &default,
        "--new-pin-file",
        &pin,
    ];
    Outcome::of(tpmssh(&bert).args(reset)).fails(
        3,
        "tpmssh: the PIN was not reset: wrong SO PIN, 2 tries left\n",
    );
}

/// "If you get a 'No EK' error anywhere along the lines, try tpm_createek."
#[test]
fn a_missing_endorsement_key_is_made() {
    let program = Program::new();
    let shown = || program.run(&["tpm", "info"]).ok();
    assert!(shown().contains("endorsement keys  none\n"));
    let passwords = Passwords::of(&program);
    passwords.take_ownership(&program).ok();
    let create = [
        "tpm",
        "create-ek",
        "--endorsement-auth-file",
        &passwords.endorsement,
        "--owner-auth-file",
        &passwords.owner,
    ];
    program.run(&create).ok();
    assert!(shown().contains("endorsement keys  rsa2048 without certificate\n"));
}

/// The other files and daemons of the document are not needed: a user has one directory.
#[test]
fn a_user_has_one_directory_with_one_file() {
    let program = Program::with_key();
    let store = program.home.store();
    let files: Vec<_> = std::fs::read_dir(&store)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(files, ["store.db"]);
    assert!(!Path::new("/var/lib/tpmssh").exists());
}
