//! What is not imported: what is said, the exit code, and that nothing changes.

mod files;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use ssh_format::wire::{Reader, put_string};
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

/// What stands before the question.
fn warned(program: &Program, file: &str) -> String {
    let mut keygen = program.home.command("ssh-keygen");
    let listed = Outcome::of(keygen.args(["-l", "-f", &format!("{file}.pub")])).ok();
    let fingerprint = listed.split(' ').nth(1).unwrap();
    format!(
        "ecdsa-p256 {fingerprint} \"me@old\"\n\
         This key was outside of the TPM. Whoever has a copy of it or of a backup of this disk can \
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
        // It signs, which takes its parent once more.
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

/// Each field of a key without a passphrase is changed in turn.
#[test]
fn a_key_that_is_not_sound_is_refused() {
    let program = Program::with_token();
    let other = old_key(&program, "other", ["ecdsa", "256"], "");
    let file = old_key(&program, "id", ["ecdsa", "256"], "");
    fs::copy(format!("{other}.pub"), format!("{file}.pub")).unwrap();
    refused(
        &program,
        &file,
        8,
        &format!(
            "tpmssh: {file}: not a sound key: {file}.pub has the public half of another one\n\
             hint: ssh-keygen -y -f {file} prints the public half that belongs to it\n"
        ),
    );
    fs::remove_file(format!("{file}.pub")).unwrap();
    let whole = fs::read(&file).unwrap();
    for (change, why) in [
        (
            Change::Scalar(1),
            "not a sound key: its halves do not belong together",
        ),
        (
            Change::Scalar(0),
            "not a sound key: its private number is out of range",
        ),
        (
            Change::Public,
            "its public half belongs to another private one",
        ),
    ] {
        fs::write(&file, changed(&whole, &fs::read(&other).unwrap(), change)).unwrap();
        refused(&program, &file, 8, &format!("tpmssh: {file}: {why}\n"));
    }
    fs::write(&file, &whole).unwrap();
    import(&program, &file, &[]).ok();
}

#[derive(Clone, Copy)]
enum Change {
    /// The private scalar is this small number.
    Scalar(u8),
    /// The public half in front is that of the other file.
    Public,
}

/// An ECDSA file without a passphrase with one field changed.
fn changed(file: &[u8], other: &[u8], change: Change) -> String {
    let parts = |file: &[u8]| {
        let bytes = decode(file);
        let mut reader = Reader::new(&bytes, "key");
        let magic = reader.take(15).unwrap().to_vec();
        let head = (0..3)
            .flat_map(|_| string(reader.string().unwrap()))
            .collect::<Vec<u8>>();
        assert_eq!(reader.u32().unwrap(), 1);
        let public = reader.string().unwrap().to_vec();
        let private = reader.string().unwrap().to_vec();
        ([magic, head, vec![0, 0, 0, 1]].concat(), public, private)
    };
    let (head, mut public, mut private) = parts(file);
    match change {
        Change::Public => public = parts(other).1,
        Change::Scalar(number) => {
            let mut reader = Reader::new(&private, "key");
            let mut section = reader.take(8).unwrap().to_vec();
            for _ in 0..3 {
                section.extend(string(reader.string().unwrap()));
            }
            reader.string().unwrap();
            let number = [number];
            section.extend(string(if number == [0] { &[] } else { &number }));
            section.extend(string(reader.string().unwrap()));
            let padding = (8 - section.len() % 8) % 8;
            section.extend((1_u8..).take(padding));
            private = section;
        }
    }
    encode(&[head, string(&public), string(&private)].concat())
}

fn string(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_string(&mut out, bytes);
    out
}

const BEGIN: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";
const END: &str = "-----END OPENSSH PRIVATE KEY-----";

fn decode(file: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(file).unwrap().trim();
    let body = text.strip_prefix(BEGIN).unwrap().strip_suffix(END).unwrap();
    pipe("base64", &["-d"], body.as_bytes())
}

fn encode(bytes: &[u8]) -> String {
    let body = String::from_utf8(pipe("base64", &["-w", "70"], bytes)).unwrap();
    format!("{BEGIN}\n{body}{END}\n")
}

/// What a program makes of `input`.
fn pipe(program: &str, args: &[&str], input: &[u8]) -> Vec<u8> {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap().stdout
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

/// Neither to confirm nor for the passphrase: without a terminal and --yes either would fail first.
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

/// Labels that nobody chose: refused before the question if the file can be read, and else before
/// the PIN is asked for.
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

/// The public half, which is not encrypted, says it.
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
