//! The module with OpenSC's `pkcs11-tool`: what the write-up of 2013 did, and more.

use std::{fs, process::Command};

use testing::module;

use crate::program::{PIN, Program, SO_PIN};

mod objects;
mod pins;
mod signing;
mod spy;
mod uses;

fn tool(program: &Program) -> Command {
    let mut command = program.home.command("pkcs11-tool");
    command.arg("--module").arg(module());
    command
}

/// What a run that has to succeed wrote.
#[track_caller]
fn ok(program: &Program, args: &[&str]) -> String {
    super::ok(tool(program).args(args))
}

/// What a run that has to fail wrote.
#[track_caller]
fn refused(program: &Program, args: &[&str]) -> String {
    super::refused(tool(program).args(args))
}

#[test]
fn keys_of_every_type_are_made_listed_used_and_deleted() {
    let program = Program::with_token();
    let login = ["--login", "--pin", PIN];
    for (id, key_type, mechanism) in [
        ("01", "rsa:2048", "SHA256-RSA-PKCS"),
        ("02", "EC:prime256v1", "ECDSA-SHA256"),
        ("03", "EC:secp384r1", "ECDSA-SHA384"),
        ("04", "EC:secp521r1", "ECDSA-SHA512"),
    ] {
        let made = [
            "--keypairgen",
            "-d",
            id,
            "-a",
            "user@host key",
            "--key-type",
            key_type,
        ];
        let printed = ok(&program, &[&login[..], &made].concat());
        assert!(printed.contains("Key pair generated"), "{printed}");
        let data = program.home.secret_file("data", "to be signed");
        let signature = program.home.path().join("signature");
        let files = [
            "-i",
            data.to_str().unwrap(),
            "-o",
            signature.to_str().unwrap(),
        ];
        let sign = ["--sign", "-m", mechanism, "-d", id];
        ok(&program, &[&login[..], &sign, &files].concat());
        let verify = ["--verify", "-m", mechanism, "-d", id, "-i", files[1]];
        let with = ["--signature-file", files[3]];
        let printed = ok(&program, &[&login[..], &verify, &with].concat());
        assert!(printed.contains("Signature is valid"), "{printed}");
        fs::write(&data, "something else").unwrap();
        let printed = tool(&program)
            .args([&login[..], &verify, &with].concat())
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&printed.stdout).into_owned();
        assert!(!printed.contains("Signature is valid"), "{printed}");
    }
    let public = ok(&program, &["-O"]);
    assert_eq!(public.matches("Public Key Object").count(), 4, "{public}");
    assert!(!public.contains("Private Key Object"), "{public}");
    let all = ok(&program, &["-O", "--login", "--pin", PIN]);
    assert_eq!(all.matches("Private Key Object").count(), 4, "{all}");
    assert!(all.contains("never extractable"), "{all}");
    assert!(!all.contains("warning"), "{all}");
    ok(
        &program,
        &[
            &login[..],
            &["--delete-object", "--type", "privkey", "-d", "01"],
        ]
        .concat(),
    );
    let left = ok(&program, &["-O"]);
    assert_eq!(
        left.matches("Public Key Object").count(),
        4,
        "the public half stays: {left}"
    );
    let public = ["--delete-object", "--type", "pubkey", "-d", "01"];
    ok(&program, &[&login[..], &public].concat());
    let left = ok(&program, &["-O"]);
    assert_eq!(left.matches("Public Key Object").count(), 3, "{left}");
}

#[test]
fn a_private_key_neither_enters_nor_leaves() {
    let program = Program::with_key();
    let pem = program.home.path().join("key.der");
    let made = program
        .home
        .command("openssl")
        .args([
            "genpkey",
            "-algorithm",
            "EC",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ])
        .args(["-outform", "DER", "-out"])
        .arg(&pem)
        .output()
        .unwrap();
    assert!(made.status.success());
    let write = [
        "--login",
        "--pin",
        PIN,
        "--write-object",
        pem.to_str().unwrap(),
    ];
    let err = refused(&program, &[&write[..], &["--type", "privkey"]].concat());
    assert!(err.contains("CKR_TEMPLATE_INCONSISTENT"), "{err}");
    let keygen = [
        "--login",
        "--pin",
        PIN,
        "--keypairgen",
        "--key-type",
        "EC:prime256v1",
    ];
    let err = refused(&program, &[&keygen[..], &["--extractable"]].concat());
    assert!(err.contains("CKR_TEMPLATE_INCONSISTENT"), "{err}");
}

/// This machine may have no system log, so the test looks for the message that is sent to it.
#[test]
fn the_reason_of_a_device_error_goes_to_the_systems_log() {
    use std::os::unix::fs::PermissionsExt;

    let program = Program::with_key();
    let store = program.home.store();
    fs::set_permissions(&store, fs::Permissions::from_mode(0o770)).unwrap();
    let mut traced = program.home.command("strace");
    traced.args(["-f", "-s", "500", "-e", "trace=sendto", "-e", "signal=none"]);
    traced.args(["pkcs11-tool", "--module", &super::module_path(), "-L"]);
    let output = traced.output().unwrap();
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(printed.contains("CKR_DEVICE_ERROR"), "{printed}");
    let sent = printed.lines().filter(|line| line.contains("/dev/log"));
    let [sent] = sent.collect::<Vec<_>>()[..] else {
        panic!("one message: {printed}");
    };
    let reason = format!(
        "C_GetSlotList: unsafe path {}: its mode is 0770 and must be 0700\"",
        store.display()
    );
    assert!(sent.contains(&reason), "{sent}");
}

#[test]
fn a_token_is_made_and_its_pins_are_set_and_changed() {
    let program = Program::new();
    // Without a slot the tool takes the first one that has a token.
    let init = [
        "--init-token",
        "--label",
        "made by tool",
        "--so-pin",
        SO_PIN,
    ];
    ok(&program, &init);
    let info = ok(&program, &["-T"]);
    assert!(info.contains("made by tool"), "{info}");
    assert!(!info.contains("PIN initialized"), "no user PIN yet: {info}");
    let so = ["--login", "--login-type", "so", "--so-pin", SO_PIN];
    ok(
        &program,
        &[&so[..], &["--init-pin", "--new-pin", PIN]].concat(),
    );
    assert!(ok(&program, &["-T"]).contains("PIN initialized"));
    ok(
        &program,
        &[
            "--login",
            "--pin",
            PIN,
            "--change-pin",
            "--new-pin",
            "another pin",
        ],
    );
    let err = refused(&program, &["--login", "--pin", PIN, "-O"]);
    assert!(err.contains("CKR_PIN_INCORRECT"), "{err}");
    assert!(ok(&program, &["-T"]).contains("user PIN count low"));
    ok(&program, &["--login", "--pin", "another pin", "-O"]);
    assert!(!ok(&program, &["-T"]).contains("user PIN count low"));
    for _ in 0..3 {
        refused(&program, &["--login", "--pin", "wrong again", "-O"]);
    }
    let err = refused(&program, &["--login", "--pin", "another pin", "-O"]);
    assert!(err.contains("CKR_PIN_LOCKED"), "{err}");
    assert!(ok(&program, &["-T"]).contains("user PIN locked"));
}

#[test]
fn before_there_is_a_token_the_module_shows_an_empty_slot() {
    let program = Program::new();
    let slots = ok(&program, &["-L"]);
    assert!(slots.contains("uninitialized"), "{slots}");
    let listed = program
        .home
        .command("ssh-keygen")
        .arg("-D")
        .arg(module())
        .output()
        .unwrap();
    assert!(!listed.status.success());
}
