//! GnuTLS's `p11tool` and `certtool`, which reach the module through p11-kit.

use std::process::Command;

use testing::Home;

use super::{file, key_url, module_path, ok, openssl, refused};
use crate::program::{PIN, Program, SO_PIN};

/// A program of GnuTLS that is told the module and the PINs.
pub(super) fn gnutls(home: &Home, name: &str) -> Command {
    let mut command = home.command(name);
    command
        .args(["--provider", &module_path()])
        .env("GNUTLS_PIN", PIN)
        .env("GNUTLS_SO_PIN", SO_PIN);
    command
}

fn p11tool(program: &Program, args: &[&str]) -> String {
    ok(gnutls(&program.home, "p11tool").args(args))
}

/// Runs a listing that finds nothing, which p11tool reports as a failure.
fn lists_nothing(program: &Program, args: &[&str]) {
    let printed = refused(gnutls(&program.home, "p11tool").args(args));
    assert!(printed.contains("No matching objects found"), "{printed}");
}

#[test]
fn tokens_and_mechanisms_are_listed() {
    let program = Program::with_token();
    let tokens = p11tool(&program, &["--list-tokens"]);
    assert!(tokens.contains("Label: work"), "{tokens}");
    assert!(tokens.contains("Flags: RNG, Requires login\n"), "{tokens}");
    let mechanisms = p11tool(&program, &["--list-mechanisms", "pkcs11:token=work"]);
    for wanted in ["CKM_ECDSA ", "CKM_SHA256 "] {
        assert!(mechanisms.contains(wanted), "{mechanisms}");
    }
    assert!(!mechanisms.contains("AES"), "{mechanisms}");
    ok(gnutls(&program.home, "p11tool").args(["--generate-random", "32", "pkcs11:token=work"]));
}

#[test]
fn keys_are_made_listed_tested_and_deleted() {
    let program = Program::with_token();
    let login = |args: &[&str]| p11tool(&program, &[&["--login", "--batch"], args].concat());
    for (label, id, kind) in [
        ("r", "21", ["--generate-privkey=rsa", "--bits=2048"]),
        ("e", "22", ["--generate-privkey=ecdsa", "--curve=secp256r1"]),
        ("f", "23", ["--generate-privkey=ecdsa", "--curve=secp384r1"]),
    ] {
        let named = ["--label", label, "--id", id, "pkcs11:token=work"];
        let printed = login(&[&kind[..], &named].concat());
        assert!(printed.contains("BEGIN PUBLIC KEY"), "{printed}");
        let printed = login(&["--test-sign", &key_url(label, "private")]);
        assert_eq!(printed.matches("... ok").count(), 3, "{printed}");
    }
    let pss = ["--test-sign", "--sign-params=RSA-PSS", "--hash=SHA256"];
    let printed = login(&[&pss[..], &[&key_url("r", "private")]].concat());
    assert_eq!(printed.matches("... ok").count(), 3, "{printed}");

    let all = login(&["--list-all", "pkcs11:token=work"]);
    let flags = "CKA_PRIVATE; CKA_NEVER_EXTRACTABLE; CKA_SENSITIVE;";
    assert_eq!(all.matches(flags).count(), 3, "{all}");
    assert_eq!(all.matches("Type: Public key").count(), 3, "{all}");
    assert!(all.contains("Type: Private key (RSA-2048)"), "{all}");
    let public = p11tool(&program, &["--list-all", "pkcs11:token=work"]);
    assert!(!public.contains("Private key"), "{public}");

    login(&["--set-label=other", &key_url("e", "private")]);
    login(&["--set-id=24", &key_url("other", "private")]);
    let info = login(&["--info", &key_url("other", "private")]);
    assert!(info.contains("ID: 24\n"), "{info}");

    let printed = login(&["--delete", &key_url("f", "private")]);
    assert!(printed.contains("1 objects deleted"), "{printed}");
    let printed = login(&["--delete", &key_url("f", "public")]);
    assert!(
        printed.contains("1 objects deleted"),
        "each half by itself: {printed}"
    );
    let all = login(&["--list-all", "pkcs11:token=work"]);
    assert!(!all.contains("object=f;"), "the pair is gone: {all}");
}

/// A wrong PIN is refused, and no key is shown for it.
#[test]
fn a_wrong_pin_shows_no_keys() {
    let program = Program::with_key();
    let list = ["--list-privkeys", "--login", "pkcs11:token=work"];
    assert!(p11tool(&program, &list).contains("Private key"));
    let mut wrong = gnutls(&program.home, "p11tool");
    let printed = refused(wrong.env("GNUTLS_PIN", "incorrect horse").args(list));
    assert!(!printed.contains("Private key"), "{printed}");
}

#[test]
fn certificates_are_signed_by_the_token_and_kept_in_it() {
    let program = Program::with_key();
    let home = &program.home;
    let template = "cn = alice\ntls_www_client\nsigning_key\nexpiration_days = 30\n";
    let template = super::write(home, "template", template);
    let [certificate, request] = ["alice.pem", "alice.csr"].map(|name| file(home, name));
    let [private, public] = ["private", "public"].map(|kind| key_url("first", kind));
    let keys = ["--load-privkey", &private, "--load-pubkey", &public];
    for (what, out) in [
        ("--generate-self-signed", &certificate),
        ("--generate-request", &request),
    ] {
        let args = [what, "--template", &template, "--outfile", out];
        ok(gnutls(&program.home, "certtool").args(args).args(keys));
    }
    openssl(home, &["verify", "-CAfile", &certificate, &certificate]);
    openssl(home, &["req", "-in", &request, "-verify", "-noout"]);

    let load = ["--load-certificate", &certificate, "--label", "alice"];
    let write = ["--write", "--login", "--id", "0a0b", "pkcs11:token=work"];
    p11tool(&program, &[&write[..4], &load, &write[4..]].concat());
    let listed = p11tool(&program, &["--list-all-certs", "pkcs11:token=work"]);
    assert!(listed.contains("ID: 0a:0b\n"), "{listed}");
    let exported = p11tool(&program, &["--export", &key_url("alice", "cert")]);
    let exported = super::write(home, "exported.pem", exported);
    let fingerprint = |path: &str| openssl(home, &["x509", "-in", path, "-noout", "-fingerprint"]);
    assert_eq!(fingerprint(&exported), fingerprint(&certificate));

    let delete = ["--delete", "--login", "--batch", &key_url("alice", "cert")];
    p11tool(&program, &delete);
    lists_nothing(&program, &["--list-all-certs", "pkcs11:token=work"]);
}

#[test]
fn a_secret_key_does_not_enter() {
    let program = Program::with_token();
    let secret = "--secret-key=00112233445566778899aabbccddeeff";
    let write = ["--write", "--login", secret, "--label", "s"];
    refused(
        gnutls(&program.home, "p11tool")
            .args(write)
            .arg("pkcs11:token=work"),
    );
    lists_nothing(&program, &["--list-all", "--login", "pkcs11:token=work"]);
}

#[test]
fn pins_are_set_and_a_token_is_made_anew() {
    let program = Program::with_key();
    let mut set = gnutls(&program.home, "p11tool");
    ok(set
        .args(["--initialize-pin", "pkcs11:token=work"])
        .env("GNUTLS_PIN", "another pin"));
    let list = ["--list-privkeys", "--login", "pkcs11:token=work"];
    refused(gnutls(&program.home, "p11tool").args(list));
    let mut with_new = gnutls(&program.home, "p11tool");
    let listed = ok(with_new.env("GNUTLS_PIN", "another pin").args(list));
    assert!(listed.contains("object=first"), "{listed}");

    let make = ["--initialize", "--label", "anew", "pkcs11:token=work"];
    let mut wrong = gnutls(&program.home, "p11tool");
    refused(wrong.env("GNUTLS_SO_PIN", "wrong so pin").args(make));
    assert!(p11tool(&program, &["--list-tokens"]).contains("Label: work"));
    p11tool(&program, &make);
    let tokens = p11tool(&program, &["--list-tokens"]);
    assert!(tokens.contains("Label: anew"), "{tokens}");
    lists_nothing(&program, &["--list-all", "pkcs11:token=anew"]);
}
