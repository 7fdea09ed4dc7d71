//! Errors of a TPM in a bad state, and what the user is told: text, hint, exit code.

use std::fs;

use testing::{Fault, Swtpm, Tap, When, assert_matches};

use crate::program::{Outcome, Program};
use crate::raw;

/// `TPM2_NV_DefineSpace`.
const NV_DEFINE: u32 = 0x12a;
/// `TPM_RH_OWNER`, `TPM_RH_ENDORSEMENT`.
const OWNER: u32 = 0x4000_0001;
const ENDORSEMENT: u32 = 0x4000_000b;

impl Program {
    fn token_init(&self, args: &[&str]) -> Outcome {
        let pins = ["--pin-file", &self.pin, "--so-pin-file", &self.so_pin];
        self.run(&[&["token", "init"], &pins[..], args].concat())
    }

    /// Checks that doctor ends with this exit code, and that its report contains `check`.
    #[track_caller]
    fn doctor_finds(&self, code: i32, check: &str) {
        let outcome = self.run(&["doctor"]);
        assert_eq!(outcome.code, Some(code), "{outcome:#?}");
        let said = crate::doctor::unwrapped(&outcome.stdout);
        assert!(said.contains(check), "{check}\nis not in\n{said}");
    }
}

#[test]
fn a_wrong_owner_password_makes_no_token_and_no_other_wall() {
    let program = Program::new();
    let [right, wrong] = ["right", "wrong"].map(|name| program.secret(name, name));
    program
        .run(&["tpm", "change-auth", "owner", "--new-auth-file", &right])
        .ok();
    program.token_init(&["--owner-auth-file", &wrong]).fails(
        3,
        "tpmssh: wrong authorization for the owner hierarchy\n\
         hint: give the owner password with --owner-auth-file FILE\n",
    );
    assert_eq!(program.run(&["token", "list", "--json"]).ok(), "[]\n");
    // Without the owner password: no weaker wall is used unless the user asks for it.
    program.token_init(&[]).fails(
        3,
        "tpmssh: no PIN counter can be made: it takes the owner password of this TPM\n\
         hint: give it with --owner-auth-file FILE, or take the lockout: tpmssh token init \
         --pin-wall lockout\n",
    );
    assert_eq!(program.run(&["token", "list", "--json"]).ok(), "[]\n");
    program.token_init(&["--pin-wall", "lockout"]).ok();
}

#[test]
fn a_tpm_in_lockout_says_so_and_for_how_long() {
    let program = Program::new();
    program.token_init(&["--pin-wall", "lockout"]).ok();
    let wrong = program.secret("wrong", "incorrect horse");
    let keygen = |pin: &str| program.run(&["keygen", "--yes", "--pin-file", pin]);
    for left in ["2 tries left", "1 try left", "and no more tries left"] {
        let outcome = keygen(&wrong);
        assert_eq!(outcome.code, Some(3), "{outcome:#?}");
        assert!(outcome.stderr.contains(left), "{outcome:#?}");
    }
    keygen(&program.pin).fails(
        4,
        "tpmssh: the TPM is in dictionary-attack lockout; the next try is possible in at most 17 \
         minutes\n\
         hint: leave the machine on and wait (each further try restarts the wait), or as the TPM's owner: tpmssh tpm lockout reset\n",
    );
    program.run(&["tpm", "lockout", "reset"]).ok();
    keygen(&program.pin).ok();
}

#[test]
fn nv_memory_that_is_full() {
    let program = Program::new();
    raw::fill_nv(&program.swtpm);
    program.token_init(&["--pin-wall", "counter"]).fails(
        1,
        "tpmssh: the TPM has no room for another NV index\n\
         hint: tpmssh token init --pin-wall lockout needs no room there\n",
    );
    program.token_init(&[]).fails(
        1,
        "tpmssh: no PIN counter can be made: this TPM has no room for another one\n\
         hint: the lockout of the whole TPM can guard the token: tpmssh token init --pin-wall \
         lockout\n",
    );
    program.token_init(&["--pin-wall", "lockout"]).ok();
    program.keygen("works all the same");
}

/// `TPM_RC_ATTRIBUTES`, as chips before revision 1.38 answer.
#[test]
fn a_chip_without_pin_counters() {
    let program = Program::new();
    let tap = Tap::start(&program.swtpm);
    tap.inject(When::Command(NV_DEFINE), Fault::Answer(0x2c2));
    let tcti = tap.tcti();
    program
        .token_init(&["--tcti", &tcti, "--pin-wall", "counter"])
        .fails(
            1,
            "tpmssh: this TPM does not support PIN counters in NV memory\n\
             hint: tpmssh tpm info shows what this TPM can do\n",
        );
    program.token_init(&["--tcti", &tcti]).fails(
        1,
        "tpmssh: no PIN counter can be made: this TPM has none\n\
         hint: the lockout of the whole TPM can guard the token: tpmssh token init --pin-wall \
         lockout\n",
    );
    program
        .token_init(&["--tcti", &tcti, "--pin-wall", "lockout"])
        .ok();
}

#[test]
fn something_else_in_the_place_of_the_storage_root_key() {
    let program = Program::new();
    raw::signing_key_as_srk(&program.swtpm);
    let made = program.token_init(&[]);
    assert_eq!(
        made.stderr,
        "tpmssh: the TPM's storage root key stays as it is, as others may use it, and does not \
         serve tpmssh: another key is in its place; tpmssh has one of its own beside it\n"
    );
    made.ok();
    program.keygen("works all the same");
    let replace = [
        "tpm",
        "take-ownership",
        "--no-passwords",
        "--replace-storage-root-key",
    ];
    let mut alone = program.home.command("setsid");
    alone
        .args(["--wait", env!("CARGO_BIN_EXE_tpmssh")])
        .args(replace);
    let refused = Outcome::of(&mut alone);
    assert_eq!(refused.code, Some(2), "{refused:#?}");
    // A user who knows that the other key is not needed can replace it.
    program.run(&[&replace[..], &["--yes"]].concat()).ok();
    let again = program.run(&[
        "token",
        "init",
        "--label",
        "again",
        "--pin-file",
        &program.pin,
        "--so-pin-file",
        &program.so_pin,
    ]);
    assert_eq!(again.stderr, "");
    again.ok();
}

/// The storage root key of another owner's seed, or none at all.
#[test]
fn a_storage_root_key_that_was_replaced_or_removed() {
    let program = Program::with_key();
    let store = program.home.store().join("store.db");
    let before = fs::read(&store).unwrap();
    let other = "tpmssh: the token belongs to another TPM, or this TPM has been cleared\n\
        hint: its keys work in the TPM they were made in and nowhere else; make new ones with: tpmssh token init\n";
    let keygen = || program.run(&["keygen", "--pin-file", &program.pin]);
    raw::remove_srk(&program.swtpm);
    keygen().fails(6, other);
    raw::signing_key_as_srk(&program.swtpm);
    keygen().fails(6, other);
    let found = "problem  token                 \"work\": the token belongs to another TPM, or \
        this TPM has been cleared\n         -> if that TPM is gone for ever: tpmssh token delete --forget\n";
    program.doctor_finds(6, found);
    raw::remove_srk(&program.swtpm);
    program
        .run(&["tpm", "take-ownership", "--no-passwords", "--yes"])
        .ok();
    // From the same seed: everything works again.
    assert_eq!(fs::read(&store).unwrap(), before, "the store was touched");
    keygen().ok();
    program.run(&["tpm", "clear", "--yes"]).ok();
    keygen().fails(6, other);
    program
        .run(&["tpm", "take-ownership", "--no-passwords", "--yes"])
        .ok();
    keygen().fails(6, other);
}

#[test]
fn a_hierarchy_that_is_disabled() {
    let program = Program::new();
    raw::disable(&program.swtpm, OWNER);
    let hint = "hint: restart the machine; if it stays so, switch the hierarchy on in the firmware setup\n";
    program.token_init(&[]).fails(
        5,
        &format!("tpmssh: the owner hierarchy is disabled\n{hint}"),
    );
    program.doctor_finds(
        5,
        "problem  hierarchies           the owner hierarchy is disabled\n",
    );

    let mut program = Program::new();
    raw::disable(&program.swtpm, ENDORSEMENT);
    program.run(&["tpm", "create-ek"]).fails(
        5,
        &format!("tpmssh: the endorsement hierarchy is disabled\n{hint}"),
    );
    program.doctor_finds(
        0,
        "warning  hierarchies           the endorsement hierarchy is disabled\n",
    );
    program.token_init(&[]).ok();
    program.swtpm.restart();
    program.run(&["tpm", "create-ek"]).ok();
}

#[test]
fn a_chip_in_failure_mode_is_found_by_doctor() {
    let program = Program::new();
    let tap = Tap::start(&program.swtpm);
    tap.inject(When::Always, Fault::Answer(0x101));
    let outcome = program.run(&["--tcti", &tap.tcti(), "doctor"]);
    assert_eq!(outcome.code, Some(5), "{outcome:#?}");
    let check = "problem  TPM                   the TPM is in failure mode\n         \
        -> switch the machine off and on; if that does not help, the TPM is broken\n";
    assert!(outcome.stdout.contains(check), "{outcome:#?}");
}

#[test]
fn clearing_that_is_disabled() {
    let program = Program::with_key();
    raw::disable_clear(&program.swtpm);
    program.run(&["tpm", "clear", "--yes"]).fails(
        1,
        "tpmssh: TPM2_Clear is disabled in this TPM\n\
         hint: clear the TPM in the firmware setup of the machine\n",
    );
    program.keygen("nothing was lost");
}

#[test]
fn a_counter_that_somebody_removed() {
    let program = Program::with_key();
    let info = program.run(&["token", "info", "--json"]).ok();
    let info: serde_json::Value = serde_json::from_str(&info).unwrap();
    let index = info["nv_index"].as_str().unwrap().trim_start_matches("0x");
    raw::remove_nv(&program.swtpm, u32::from_str_radix(index, 16).unwrap());
    let keygen = |pin: &str| program.run(&["keygen", "--pin-file", pin]);
    keygen(&program.pin).fails(
        6,
        "tpmssh: the PIN counter of this token is gone from the TPM\n\
         hint: the recovery code (SO PIN) makes it again: tpmssh token repair\n",
    );
    program.doctor_finds(
        6,
        "problem  token                 \"work\": the PIN counter of this token is gone from the \
         TPM\n         -> tpmssh token repair\n",
    );
    let new = program.secret("new", "new horse");
    let so = ["--so-pin-file", &program.so_pin, "--new-pin-file", &new];
    program.run(&[&["token", "repair"], &so[..]].concat()).ok();
    keygen(&new).ok();
}

/// A program is killed after it has made the counter and before it has written that to the store.
#[test]
fn a_counter_that_a_killed_program_left() {
    let program = Program::with_token();
    let tap = Tap::start(&program.swtpm);
    // The first command after the index is defined.
    tap.inject(When::Command(0x137), Fault::Silence);
    let tcti = tap.tcti();
    let pins = ["--pin-file", &program.pin, "--so-pin-file", &program.so_pin];
    let mut init = program
        .command()
        .args(["--tcti", &tcti, "token", "init", "--label", "lost"])
        .args(pins)
        .spawn()
        .unwrap();
    testing::eventually(|| {
        assert_eq!(init.try_wait().unwrap(), None, "it ended by itself");
        tap.commands().contains(&0x137)
    });
    init.kill().unwrap();
    init.wait().unwrap();
    drop(tap);

    let found = program.run(&["doctor", "--json"]);
    let found: serde_json::Value = serde_json::from_str(&found.ok()).unwrap();
    let checks = found["checks"].as_array().unwrap();
    let leftover = checks
        .iter()
        .find(|check| check["name"] == "leftovers")
        .unwrap();
    assert_eq!(leftover["status"], "warning", "{leftover}");
    let fix = leftover["fix"].as_str().unwrap();
    let index = fix.strip_prefix("tpmssh token remove-counter ").unwrap();
    program
        .run(&["token", "remove-counter", "0x01800000"])
        .fails(
            12,
            "tpmssh: no PIN counter without a token is at NV index 0x01800000\n\
         hint: tpmssh doctor shows what there is\n",
        );
    let removed = program.run(&["token", "remove-counter", "--yes", index]);
    assert_eq!(
        removed.stderr,
        format!("tpmssh: NV index {index} is removed\n")
    );
    removed.ok();
    program.doctor_finds(0, "ok       leftovers             none in the TPM\n");
    program.keygen("the other token is as it was");
}

/// Counters of other users look like lost ones, so none is removed automatically.
#[test]
fn a_counter_of_another_user_is_no_leftover_of_ours() {
    let program = Program::with_token();
    let other = testing::Home::with_tcti(program.swtpm.tcti());
    let pin = crate::program::text(other.secret_file("pin", "another horse"));
    let init = ["token", "init", "--pin-file", &pin];
    Outcome::of(crate::program::tpmssh(&other).args(init)).ok();
    let outcome = program.run(&["doctor"]);
    assert_eq!(outcome.code, Some(0), "{outcome:#?}");
    let said = crate::doctor::unwrapped(&outcome.stdout);
    assert!(
        said.contains("ok       leftovers             the PIN counter 0x01"),
        "{said}"
    );
    assert!(said.contains("-> unless it is another user's: tpmssh token remove-counter 0x01"));
}

/// A TPM that was exchanged, and brought back.
#[test]
fn a_store_on_another_machine_and_back() {
    let program = Program::with_key();
    let other = Swtpm::start();
    let doctor = |tcti: &str| program.run(&["--tcti", tcti, "doctor"]).code;
    assert_eq!(doctor(&other.tcti()), Some(6));
    assert_eq!(doctor(&program.swtpm.tcti()), Some(0));
}

/// The hint depends on the kind of PIN: a recovery code does not help after wrong recovery codes.
#[test]
fn the_last_wrong_so_pin_does_not_lead_in_a_circle() {
    let program = Program::with_token();
    let wrong = program.secret("wrong", "no such code");
    let reset = ["token", "reset-pin", "--so-pin-file", &wrong];
    let reset = [&reset[..], &["--new-pin-file", &program.pin]].concat();
    let refused = (0..40)
        .map(|_| program.run(&reset))
        .find(|outcome| !outcome.stderr.contains("left\n"))
        .unwrap();
    assert_matches!(refused.code, Some(3 | 4), "{refused:?}");
    let after = program.run(&reset);
    assert_eq!(after.code, Some(4), "{after:?}");
    for outcome in [refused, after] {
        assert!(outcome.stderr.contains("tpm lockout reset"), "{outcome:?}");
        assert!(!outcome.stderr.contains("token reset-pin"), "{outcome:?}");
    }
}
