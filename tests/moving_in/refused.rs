//! What is not imported: what is said, the exit code, and that nothing changes.

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

#[test]
fn files_of_other_tools_are_called_what_they_are() {
    let program = Program::with_token();
    let copy = |name: &str, content: &[u8]| {
        let file = text(program.home.secret_file(name, ""));
        fs::write(&file, content).unwrap();
        file
    };
    // Made by openssl's tpm2 provider and by ssh-tpm-agent's ssh-tpm-keygen; the first bytes count:
    // 30 81 f2, then the object identifier 2.23.133.10.1.3 (loadable) or .4 (importable).
    let tss2 = |body: &str| {
        format!("-----BEGIN TSS2 PRIVATE KEY-----\n{body}\n-----END TSS2 PRIVATE KEY-----\n")
    };
    let file = copy("loadable", tss2("MIHyBgZngQUKAQOgAwEB").as_bytes());
    refused(
        &program,
        &file,
        8,
        &format!(
            "tpmssh: {file}: it is a key of a TPM, in the form of another tool\n\
             hint: serve it with its own agent: tpmssh agent --proxy SOCKET\n"
        ),
    );
    let file = copy("importable", tss2("MIHyBgZngQUKAQSgAwEB").as_bytes());
    refused(
        &program,
        &file,
        8,
        &format!(
            "tpmssh: {file}: this file is the key itself to whoever may use the TPM\n\
             hint: import it with the tool that made it, then delete the file\n"
        ),
    );
    let file = copy("p12", b"0\x82\x0a\x00\x02\x01\x03");
    refused(
        &program,
        &file,
        2,
        &format!(
            "tpmssh: {file}: it is binary, such as PKCS#12, and not a private key of OpenSSH\n\
             hint: if it is PKCS#12: openssl pkcs12 -in {file} -nocerts -out COPY, then ssh-keygen \
             -p -f COPY\n"
        ),
    );
    let file = copy("garbage", b"hello\n");
    refused(
        &program,
        &file,
        2,
        &format!("tpmssh: {file}: it is no private key of OpenSSH\n"),
    );
    let file = copy("long", &vec![b'A'; 16 * 1024 + 1]);
    refused(
        &program,
        &file,
        2,
        &format!("tpmssh: {file}: it is longer than any private key of OpenSSH\n"),
    );
    let file = copy(
        "damaged",
        b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n",
    );
    refused(
        &program,
        &file,
        2,
        &format!("tpmssh: {file}: the private key is cut short\n"),
    );
    let file = old_key(&program, "id", ["ecdsa", "256"], "");
    let public = copy("public", &fs::read(format!("{file}.pub")).unwrap());
    refused(
        &program,
        &public,
        2,
        &format!(
            "tpmssh: {public}: it is a public key; the private one is in the file without .pub\n"
        ),
    );
    let file = text(program.home.path().join("missing"));
    let why = format!("tpmssh: cannot read {file}: No such file or directory (os error 2)\n");
    import(&program, &file, &[]).fails(1, &why);
}

/// The command that the hint names makes a key that is imported.
#[test]
fn pem_and_putty_files_are_converted_by_the_command_in_the_hint() {
    let program = Program::with_token();
    let shell = |line: &str| {
        let mut shell = program.home.command("sh");
        Outcome::of(shell.args(["-c", line]).current_dir(program.home.path())).ok()
    };
    let pem = [
        (
            "sec1",
            "openssl ecparam -name prime256v1 -genkey -noout -out sec1",
        ),
        (
            "pkcs8",
            "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out pkcs8",
        ),
        ("pkcs1", "openssl genrsa -traditional -out pkcs1 2048"),
        ("rsa8", "openssl genpkey -algorithm RSA -out rsa8"),
    ];
    for (name, make) in pem {
        shell(&format!("{make} 2>&1 && chmod 600 {name}"));
        let file = text(program.home.path().join(name));
        refused(
            &program,
            &file,
            2,
            &format!(
                "tpmssh: {file}: it has the form of PEM and not that of OpenSSH\n\
                 hint: cp {file} COPY && ssh-keygen -p -f COPY makes it an OpenSSH key\n"
            ),
        );
        shell(&format!(
            "cp {file} COPY && ssh-keygen -q -p -N '' -f COPY && mv COPY {name}.copy"
        ));
        let copy = format!("{file}.copy");
        import(&program, &copy, &["--label", name]).ok();
    }
    // PuTTY's tool is not everywhere: what it writes begins so.
    let file = program.secret("putty", "PuTTY-User-Key-File-3: ecdsa-sha2-nistp256\n");
    refused(
        &program,
        &file,
        2,
        &format!(
            "tpmssh: {file}: it is a private key of PuTTY\n\
             hint: puttygen {file} -O private-openssh-new -o COPY makes it an OpenSSH key\n"
        ),
    );
}

#[test]
fn another_cipher_is_changed_by_the_command_in_the_hint() {
    let program = Program::with_token();
    let file = old_key(&program, "id", ["ecdsa", "256"], "");
    let keygen = |args: &[&str]| {
        let mut keygen = program.home.command("ssh-keygen");
        Outcome::of(keygen.args(args)).ok()
    };
    keygen(&[
        "-q",
        "-p",
        "-Z",
        "aes128-cbc",
        "-N",
        PASSPHRASE,
        "-f",
        &file,
    ]);
    refused(
        &program,
        &file,
        2,
        &format!(
            "tpmssh: {file}: it is encrypted with aes128-cbc, which is not known here\n\
             hint: cp {file} COPY && ssh-keygen -p -f COPY encrypts it as usual\n"
        ),
    );
    keygen(&["-q", "-p", "-P", PASSPHRASE, "-N", PASSPHRASE, "-f", &file]);
    let passphrase = program.secret("passphrase", PASSPHRASE);
    import(&program, &file, &["--passphrase-file", &passphrase]).ok();
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
         hint: the SO PIN sets a new PIN: tpmssh token reset-pin\n",
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
fn a_terminal_is_no_file() {
    let program = Program::with_token();
    let session = Session::start(&program, &["import", "-"]);
    let (status, rest) = session.end();
    assert_eq!(status.code(), Some(2));
    assert_eq!(
        rest,
        "tpmssh: standard input: it is a terminal\r\n\
         hint: name the file, or: tpmssh import - < FILE\r\n"
    );
}

/// The two commands of the hint, one after the other, and what is said in between.
#[test]
fn a_pkcs12_file_is_converted_by_the_commands_in_the_hint() {
    let program = Program::with_token();
    let shell = |line: &str| {
        let mut shell = program.home.command("sh");
        Outcome::of(shell.args(["-c", line]).current_dir(program.home.path())).ok()
    };
    shell(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=me \
         -keyout key -out cert 2>&1 && openssl pkcs12 -export -inkey key -in cert \
         -passout pass:secret -name me -out me.p12 && chmod 600 me.p12",
    );
    let file = text(program.home.path().join("me.p12"));
    refused(
        &program,
        &file,
        2,
        &format!(
            "tpmssh: {file}: it is binary, such as PKCS#12, and not a private key of OpenSSH\n\
             hint: if it is PKCS#12: openssl pkcs12 -in {file} -nocerts -out COPY, then ssh-keygen \
             -p -f COPY\n"
        ),
    );
    shell(&format!(
        "umask 077; openssl pkcs12 -in {file} -nocerts -out COPY -passin pass:secret \
         -passout pass:secret"
    ));
    let copy = text(program.home.path().join("COPY"));
    refused(
        &program,
        &copy,
        2,
        &format!(
            "tpmssh: {copy}: it has the form of PEM and not that of OpenSSH\n\
             hint: cp {copy} COPY && ssh-keygen -p -f COPY makes it an OpenSSH key\n"
        ),
    );
    shell("ssh-keygen -q -p -P secret -N '' -f COPY");
    import(&program, &copy, &["--label", "from PKCS#12"]).ok();
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
fn files_that_others_can_read_are_refused() {
    let program = Program::with_token();
    let file = old_key(&program, "id", ["ecdsa", "256"], "");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    refused(
        &program,
        &file,
        9,
        &format!(
            "tpmssh: {file} can be read by other users\nhint: if it is yours: chmod 600 {file}\n"
        ),
    );
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let pipe = text(program.home.path().join("pipe"));
    let made = Outcome::of(program.home.command("mkfifo").args(["-m", "600", &pipe]));
    made.ok();
    import(&program, &pipe, &[]).fails(
        9,
        &format!(
            "tpmssh: {pipe}: it is no regular file\n\
             hint: give it on standard input: tpmssh import - < {pipe}\n"
        ),
    );
    // Standard input would not help with a directory.
    let directory = text(program.home.path().to_path_buf());
    import(&program, &directory, &[]).fails(
        1,
        &format!("tpmssh: cannot read {directory}: is a directory\n"),
    );
    // ssh follows links, and so does this.
    let link = text(program.home.path().join("link"));
    symlink(&file, &link).unwrap();
    import(&program, &link, &[]).ok();
    assert!(Path::new(&file).exists());
}

/// Somebody else may have a copy of it, or may exchange it.
#[test]
fn a_file_of_another_user_is_refused() {
    let may = std::process::Command::new("unshare")
        .args(["--user", "true"])
        .output();
    if !may.unwrap().status.success() {
        eprintln!("skipped: no user namespaces here; nobody gets one in a chroot");
        return;
    }
    let program = Program::with_token();
    // In a user namespace with one user, who is not root there. All others have no number in it.
    let file = if rustix::process::geteuid().is_root() {
        let file = old_key(&program, "id", ["ecdsa", "256"], "");
        std::os::unix::fs::chown(&file, Some(1), None).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        file
    } else {
        "/etc/passwd".to_owned()
    };
    let mut unshare = program.home.command("unshare");
    unshare.args(["--user", "--map-user=1000", env!("CARGO_BIN_EXE_tpmssh")]);
    Outcome::of(unshare.args(["import", &file])).fails(
        9,
        &format!(
            "tpmssh: {file}: it belongs to another user\n\
             hint: make a copy of your own: install -m 600 {file} COPY\n"
        ),
    );
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
