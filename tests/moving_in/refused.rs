//! What is not imported: what is said, the exit code, and that nothing changes.

mod files;
mod unsound;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use testing::{Chip, Fault, State, Tap, When, Zoo};

use super::{PASSPHRASE, import, old_key};
use crate::program::{Outcome, PIN, Program, text};
use crate::terminal::Session;

/// What a failed import must leave as it is.
fn state(program: &Program, file: &str) -> (Vec<u8>, String) {
    let listed = program.run(&["list", "--json"]).ok();
    (fs::read(file).unwrap_or_default(), listed)
}

/// Imports `file`, which has to be refused with this code and these lines.
#[track_caller]
fn refused(program: &Program, file: &str, code: i32, stderr: &str) {
    let before = state(program, file);
    import(program, file, &[]).fails(code, stderr);
    assert_eq!(state(program, file), before);
}

/// The text that is shown before the question.
fn warned(program: &Program, file: &str) -> String {
    let mut keygen = program.home.command("ssh-keygen");
    let listed = Outcome::of(keygen.args(["-l", "-f", &format!("{file}.pub")])).ok();
    let fingerprint = listed.split(' ').nth(1).unwrap();
    format!(
        "ecdsa-p256 {fingerprint} \"me@old\"\n\
         This key was outside of the TPM. Anyone with a copy of it or of a backup of this disk can \
         go on using it.\n\
         Better where you can: tpmssh copy-id --replace {file}.pub HOST\n"
    )
}

#[test]
fn keys_that_no_tpm_holds_are_replaced_instead() {
    let program = Program::with_token();
    let file = old_key(&program, "id_ed25519", ["ed25519", "256"], PASSPHRASE);
    refused(
        &program,
        &file,
        8,
        &format!(
            "tpmssh: {file}: no TPM can hold an ssh-ed25519 key\n\
             hint: make one in the TPM: tpmssh keygen; then: tpmssh copy-id --replace {file}.pub HOST\n"
        ),
    );
    let file = old_key(&program, "id_rsa", ["rsa", "4096"], "");
    refused(
        &program,
        &file,
        8,
        &format!(
            "tpmssh: {file}: TPMs hold RSA keys of 2048 and 3072 bits, and this one has another size\n\
             hint: make one in the TPM: tpmssh keygen; then: tpmssh copy-id --replace {file}.pub HOST\n"
        ),
    );
}

/// Chips as they are met: without RSA-3072, and without elliptic curves, where the arrival key is an
/// RSA key as well.
#[test]
fn a_key_that_this_tpm_does_not_take_is_refused_before_anybody_is_asked() {
    for (chip, lacks, lacking, takes, taken) in [
        (
            "ifx-7.85.17.51968",
            "rsa3072",
            ["rsa", "3072"],
            "ecdsa-p256",
            ["ecdsa", "256"],
        ),
        (
            "ifx-5.0-no-ecc",
            "ecdsa-p256",
            ["ecdsa", "256"],
            "rsa2048",
            ["rsa", "2048"],
        ),
    ] {
        let zoo = Zoo::start(Chip::named(chip), &[State::Factory]);
        let program = Program::new();
        let tcti = zoo.tcti();
        let run = |args: &[&str]| program.run(&[&["--tcti", &tcti], args].concat());
        let pins = ["--pin-file", &program.pin, "--so-pin-file", &program.so_pin];
        let wall = ["token", "init", "--label", "work", "--pin-wall", "lockout"];
        run(&[&wall[..], &pins].concat()).ok();
        let file = old_key(&program, "lacking", lacking, PASSPHRASE);
        run(&["import", &file]).fails(
            8,
            &format!(
                "tpmssh: {file}: this TPM takes no {lacks} keys\n\
                 hint: make one in the TPM: tpmssh keygen; then: tpmssh copy-id --replace \
                 {file}.pub HOST\n"
            ),
        );
        let file = old_key(&program, "taken", taken, "");
        let pin = ["--yes", "--pin-file", &program.pin];
        run(&[&["import", &file][..], &pin].concat()).ok();
        let listed = run(&["list", "--long"]).ok();
        let headline = format!("{takes} key \"me@old\" (imported)\n");
        assert!(listed.contains(&headline), "{chip}: {listed}");
        // A signature loads the parent of the key again.
        let message = program.secret("message", "message");
        run(&[&["sign", &message][..], &pin].concat()).ok();
        assert_eq!(zoo.left_over().len(), 1, "the storage root key alone");
    }
}

/// A chip without `TPM2_Import` answers with TPM_RC_COMMAND_CODE.
#[test]
fn a_tpm_that_imports_nothing_says_so() {
    const IMPORT: u32 = 0x156;
    let program = Program::with_token();
    let tap = Tap::start(&program.swtpm);
    tap.inject(When::Command(IMPORT), Fault::Answer(0x143));
    let file = old_key(&program, "id", ["ecdsa", "256"], "");
    let outcome = import(&program, &file, &["--tcti", &tap.tcti()]);
    outcome.fails(
        8,
        &format!(
            "{}tpmssh: {file}: this TPM imports no keys\n\
             hint: make one in the TPM: tpmssh keygen; then: tpmssh copy-id --replace {file}.pub \
             HOST\n",
            warned(&program, &file)
        ),
    );
    tap.clear_faults();
    import(&program, &file, &["--tcti", &tap.tcti()]).ok();
}

#[test]
fn passphrases_and_pins_fail_as_they_do_everywhere() {
    let program = Program::with_token();
    let file = old_key(&program, "id", ["ecdsa", "256"], PASSPHRASE);
    let right = program.secret("right", PASSPHRASE);
    let wrong = program.secret("wrong", "not it");
    let before = state(&program, &file);
    import(&program, &file, &["--passphrase-file", &wrong]).fails(
        1,
        &format!(
            "{}tpmssh: {file}: wrong passphrase\n",
            warned(&program, &file)
        ),
    );
    // Nobody can be asked for it.
    import(&program, &file, &[]).fails(
        1,
        &format!(
            "{}tpmssh: no way to ask for the passphrase of id\n\
             hint: use a terminal, set SSH_ASKPASS, or see --help for options that end in -file \
             and -fd\n",
            warned(&program, &file)
        ),
    );
    // The passphrase is never tried as the PIN, nor the other way round.
    let pin_as_passphrase = program.secret("pin-as-passphrase", PIN);
    import(&program, &file, &["--passphrase-file", &pin_as_passphrase]).fails(
        1,
        &format!(
            "{}tpmssh: {file}: wrong passphrase\n",
            warned(&program, &file)
        ),
    );
    let tries = || program.run(&["token", "info"]).ok();
    assert!(tries().contains("3 of 3 tries left"));
    let with_pin = |pin: &str| {
        let args = [
            "import",
            "--yes",
            "--pin-file",
            pin,
            "--passphrase-file",
            &right,
            &file,
        ];
        program.run(&args)
    };
    with_pin(&wrong).fails(
        3,
        &format!(
            "{}tpmssh: wrong PIN, 2 tries left\n",
            warned(&program, &file)
        ),
    );
    assert!(tries().contains("2 of 3 tries left"), "one try");
    // Without a yes and a terminal nothing is asked.
    let args = [
        "import",
        "--pin-file",
        &program.pin,
        "--passphrase-file",
        &right,
        &file,
    ];
    program.run(&args).fails(
        2,
        &format!(
            "{}tpmssh: this has to be confirmed, and there is no terminal to ask on\n\
             hint: add --yes if you mean it\n",
            warned(&program, &file)
        ),
    );
    assert_eq!(state(&program, &file), before);
    with_pin(&program.pin).ok();
    let listed = program.run(&["list", "--long"]).ok();
    assert!(
        listed.contains("ecdsa-p256 key \"me@old\" (imported)\n"),
        "{listed}"
    );
    with_pin(&program.pin).fails(
        1,
        "tpmssh: token \"work\" has this key: \"me@old\" (imported)\n",
    );
}

/// Neither for a confirmation nor for the passphrase: without a terminal and `--yes` either question
/// would fail first.
#[test]
fn a_token_that_no_pin_opens_asks_nobody() {
    let program = Program::with_token();
    let file = old_key(&program, "id", ["ecdsa", "256"], PASSPHRASE);
    let wrong = program.secret("wrong", "not it");
    for _ in 0..3 {
        let _ = program.run(&["keygen", "--yes", "--pin-file", &wrong]);
    }
    program.run(&["import", &file]).fails(
        4,
        "tpmssh: the PIN is locked after too many wrong ones\n\
         hint: the recovery code (SO PIN) sets a new PIN: tpmssh token reset-pin\n",
    );
}

/// The comment of the file is the label. A bad one is refused before the confirmation if the file is
/// not encrypted, and otherwise before the PIN is asked for.
#[test]
fn a_comment_that_cannot_be_a_label_is_refused_with_a_way_out() {
    let program = Program::with_token();
    let long = "x".repeat(129);
    for (name, comment, why) in [
        ("control", "me\tand you", "it has control characters"),
        ("long", &long, "it is longer than 128 bytes"),
    ] {
        for passphrase in ["", PASSPHRASE] {
            let file = old_key(
                &program,
                &format!("{name}{}", passphrase.len()),
                ["ecdsa", "256"],
                passphrase,
            );
            let mut keygen = program.home.command("ssh-keygen");
            let args = ["-q", "-c", "-P", passphrase, "-C", comment, "-f", &file];
            Outcome::of(keygen.args(args)).ok();
            let why = format!(
                "tpmssh: {file}: its comment cannot be a label: {why}\n\
                 hint: give it a label: --label LABEL\n"
            );
            let right = program.secret("right", PASSPHRASE);
            if passphrase.is_empty() {
                // Nobody was asked: there is neither a yes nor a PIN.
                program.run(&["import", &file]).fails(2, &why);
            } else {
                let args = ["import", "--yes", "--passphrase-file", &right, &file];
                let outcome = program.run(&args);
                assert_eq!(outcome.code, Some(2), "{outcome:#?}");
                assert!(outcome.stderr.ends_with(&why), "{outcome:#?}");
            }
            let options = ["--passphrase-file", &right, "--label"];
            import(&program, &file, &[&options[..], &[&long]].concat())
                .fails(2, "tpmssh: unusable label: it is longer than 128 bytes\n");
            let label = format!("{name} {passphrase}");
            import(&program, &file, &[&options[..], &[&label]].concat()).ok();
        }
    }
}

/// The exponent is in the public half, which is not encrypted.
#[test]
fn an_exponent_that_is_not_taken_is_refused_before_anybody_is_asked() {
    let program = Program::with_token();
    for exponent in ["3", "35", "4294967297"] {
        let file = text(program.home.path().join(format!("e{exponent}")));
        let exponent = format!("rsa_keygen_pubexp:{exponent}");
        let mut openssl = program.home.command("openssl");
        let args = [
            "genpkey",
            "-quiet",
            "-algorithm",
            "RSA",
            "-pkeyopt",
            &exponent,
        ];
        Outcome::of(openssl.args(args).args(["-out", &file])).ok();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let mut keygen = program.home.command("ssh-keygen");
        let args = ["-q", "-p", "-P", "", "-N", PASSPHRASE, "-f", &file];
        Outcome::of(keygen.args(args)).ok();
        let before = state(&program, &file);
        program.run(&["import", &file]).fails(
            8,
            &format!(
                "tpmssh: {file}: key refused: its public exponent is not 65537\n\
                 hint: make one in the TPM: tpmssh keygen; then: tpmssh copy-id --replace {file}.pub \
                 HOST\n"
            ),
        );
        assert_eq!(state(&program, &file), before);
    }
}

#[test]
fn labels_and_stores_fail_as_they_do_for_keygen() {
    let program = Program::with_key();
    let file = old_key(&program, "id", ["ecdsa", "256"], "");
    import(&program, &file, &["--label", "first"]).fails(
        2,
        "tpmssh: there is a key called \"first\" already\n\
         hint: give another with --label; tpmssh list shows what there is\n",
    );
    let empty = Program::new();
    let file = old_key(&empty, "id", ["ecdsa", "256"], "");
    let store = text(empty.home.store());
    import(&empty, &file, &[]).fails(
        12,
        &format!(
            "tpmssh: there is no store at {store}\nhint: make a token and a key first: tpmssh \
             setup\n"
        ),
    );
}
