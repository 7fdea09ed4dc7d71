//! What a key does besides signing, and what pkcs11-tool tries by itself.

use std::fs;

use super::{PIN, Program, ok, signing::public_key};
use crate::clients::{file, openssl, write};

const LOGIN: [&str; 3] = ["--login", "--pin", PIN];

fn generate(kind: &str, more: &[&str]) -> Program {
    let program = Program::with_token();
    let make = ["--keypairgen", "--key-type", kind, "--id", "01"];
    ok(&program, &[&LOGIN[..], &make, more].concat());
    program
}

#[test]
fn a_secret_is_agreed_upon() {
    let program = generate("EC:prime256v1", &["--usage-derive"]);
    let home = &program.home;
    let [other, other_public, ours, theirs] =
        ["other.pem", "other.der", "ours", "theirs"].map(|name| file(home, name));
    let curve = ["-pkeyopt", "ec_paramgen_curve:P-256", "-out", &other];
    openssl(
        home,
        &[&["genpkey", "-algorithm", "EC"], &curve[..]].concat(),
    );
    let convert = ["pkey", "-in", &other, "-pubout", "-outform", "DER"];
    openssl(home, &[&convert[..], &["-out", &other_public]].concat());
    let derive = ["--derive", "--mechanism", "ECDH1-DERIVE", "--id", "01"];
    let files = ["--input-file", &other_public, "--output-file", &ours];
    ok(&program, &[&LOGIN[..], &derive, &files].concat());
    let public = public_key(&program, "01");
    let derive = ["pkeyutl", "-derive", "-inkey", &other, "-peerkey", &public];
    openssl(home, &[&derive[..], &["-out", &theirs]].concat());
    assert_eq!(fs::read(ours).unwrap(), fs::read(theirs).unwrap());
}

#[test]
fn messages_are_decrypted() {
    let program = generate("rsa:2048", &["--usage-decrypt", "--usage-sign"]);
    let home = &program.home;
    let public = public_key(&program, "01");
    let data = write(home, "data", "a secret");
    let [message, back] = ["message", "back"].map(|name| file(home, name));
    let sha256 = ["rsa_oaep_md:sha256", "rsa_mgf1_md:sha256"];
    let oaep = ["--hash-algorithm", "SHA256", "--mgf", "MGF1-SHA256"];
    for (mechanism, padding, options, parameters) in [
        ("RSA-PKCS", "rsa_padding_mode:pkcs1", &[][..], &[][..]),
        ("RSA-PKCS-OAEP", "rsa_padding_mode:oaep", &sha256, &oaep),
    ] {
        let encrypt = ["pkeyutl", "-encrypt", "-pubin", "-inkey", &public];
        let files = ["-in", &data, "-out", &message, "-pkeyopt", padding];
        let mut command = home.command("openssl");
        command.args(encrypt).args(files);
        for option in options {
            command.args(["-pkeyopt", option]);
        }
        crate::clients::ok(&mut command);
        let decrypt = ["--decrypt", "--mechanism", mechanism, "--id", "01"];
        let files = ["--input-file", &message, "--output-file", &back];
        ok(
            &program,
            &[&LOGIN[..], &decrypt, parameters, &files].concat(),
        );
        assert_eq!(fs::read(&back).unwrap(), b"a secret");
    }
}

/// pkcs11-tool sees the attribute and logs in once more for the signature.
#[test]
fn a_key_that_always_asks_signs() {
    let program = generate("EC:prime256v1", &["--always-auth"]);
    let home = &program.home;
    let objects = ok(&program, &[&["-O"], &LOGIN[..]].concat());
    assert!(objects.contains("always authenticate"), "{objects}");
    let data = write(home, "data", "to be signed");
    let signature = file(home, "signature");
    let sign = ["--sign", "--mechanism", "ECDSA-SHA256", "--id", "01"];
    let format = ["--signature-format", "openssl"];
    let files = ["--input-file", &data, "--output-file", &signature];
    ok(&program, &[&LOGIN[..], &sign, &format, &files].concat());
    let public = public_key(&program, "01");
    let verify = ["dgst", "-sha256", "-verify", &public, "-signature"];
    openssl(home, &[&verify[..], &[&signature, &data]].concat());
}

#[test]
fn a_forked_child_initializes_the_module_again() {
    let program = generate("EC:prime256v1", &[]);
    let printed = ok(&program, &[&LOGIN[..], &["--test-fork", "-O"]].concat());
    assert!(printed.contains("in forked child process"), "{printed}");
    assert!(printed.contains("Private Key Object"), "{printed}");
}

#[test]
fn digests_and_random_numbers_need_no_login() {
    let program = Program::with_token();
    let home = &program.home;
    let data = write(home, "data", "abc");
    let [ours, theirs, random] = ["ours", "theirs", "random"].map(|name| file(home, name));
    for (mechanism, hash) in [
        ("SHA-1", "-sha1"),
        ("SHA256", "-sha256"),
        ("SHA512", "-sha512"),
    ] {
        let digest = ["--hash", "--mechanism", mechanism];
        let files = ["--input-file", &data, "--output-file", &ours];
        ok(&program, &[&digest[..], &files].concat());
        openssl(home, &["dgst", hash, "-binary", "-out", &theirs, &data]);
        assert_eq!(fs::read(&ours).unwrap(), fs::read(&theirs).unwrap());
    }
    let mut seen = Vec::new();
    for _ in 0..2 {
        ok(
            &program,
            &["--generate-random", "64", "--output-file", &random],
        );
        seen.push(fs::read(&random).unwrap());
    }
    assert!(seen[0].len() == 64 && seen[0] != seen[1]);
}
