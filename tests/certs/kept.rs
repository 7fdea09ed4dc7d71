//! `tpmssh cert`: what is kept, how it is shown, and what is refused.

use std::fs;

use serde_json::Value;
use testing::{Sshd, assert_matches, module};

use super::keygen::Keygen;
use crate::agent::served::Served;
use crate::program::{Outcome, Program, text};

fn list(program: &Program) -> Vec<Value> {
    serde_json::from_str(&program.run(&["cert", "list", "--json"]).ok()).unwrap()
}

#[test]
fn a_certificate_is_kept_shown_exported_and_removed() {
    let program = Program::with_key();
    let public = program.run(&["export"]).ok();
    let authority = Keygen::new(&program.home);
    let options = [
        "-n",
        "anna,root",
        "-z",
        "18446744073709551615",
        "-V",
        "-1h:+1h",
    ];
    let file = authority.sign("anna", &public, &options);

    let added = program.run(&["cert", "add", &file]);
    assert_eq!(
        added.stderr,
        "tpmssh: certificate 1 of key \"first\" is kept: \"anna\" (valid)\n"
    );
    added.ok();
    // Adding it again changes nothing.
    program.run(&["cert", "add", &file]).ok();
    let all = list(&program);
    assert_eq!(all.len(), 1);
    assert_eq!(all[0]["state"], "valid");
    assert_eq!(all[0]["type"], "user");
    assert_eq!(all[0]["key_id"], "anna");
    assert_eq!(all[0]["serial"], "18446744073709551615");
    assert_eq!(all[0]["principals"], serde_json::json!(["anna", "root"]));
    assert_eq!(all[0]["key"], "first");

    let shown = program.run(&["cert", "list", "-l"]).ok();
    assert!(
        shown.starts_with("certificate 1 of key \"first\"\n"),
        "{shown}"
    );
    assert!(shown.contains("  principals  anna, root\n"), "{shown}");
    assert!(shown.contains("  extension   permit-pty\n"), "{shown}");

    let line = fs::read_to_string(&file).unwrap();
    assert_eq!(program.run(&["cert", "export", "anna"]).ok(), line);
    let removed = program.run(&["cert", "remove", "1"]);
    assert_eq!(
        removed.stderr,
        "tpmssh: certificate 1 of key \"first\" is removed\n"
    );
    let nothing = program.run(&["cert", "list"]);
    assert_eq!(nothing.stderr, "tpmssh: no certificates\n");
    program.run(&["cert", "export"]).fails(
        12,
        "tpmssh: there is no certificate yet\n\
         hint: add one that an authority made: tpmssh cert add FILE\n",
    );
}

#[test]
fn ssh_with_the_module_logs_in_by_a_certificate_file_and_no_authorized_keys() {
    let program = Program::with_key();
    let authority = Keygen::new(&program.home);
    let trusted = text(program.home.secret_file("trusted", &authority.public()));
    let sshd = Sshd::with_config(&program.home, &format!("TrustedUserCAKeys {trusted}"));
    let public = program.run(&["export"]).ok();
    let file = authority.sign("login", &public, &["-n", sshd.user()]);
    program.run(&["cert", "add", &file]).ok();
    let exported = program.run(&["cert", "export", "login"]).ok();
    let exported = text(program.home.secret_file("exported-cert.pub", &exported));

    let askpass = program.home.askpass(program.pin.as_ref());
    let module = text(module());
    let certificate = format!("CertificateFile={exported}");
    let login = |options: &[&str]| sshd.run(&program.home, &askpass, options, "echo in");
    let without = login(&["-I", &module]);
    assert!(!without.status.success(), "the key alone is not let in");
    let with = login(&["-I", &module, "-o", &certificate]);
    assert_eq!(with.stdout, b"in\n", "{with:?}{}", sshd.log());
}

/// `ssh-keygen` signed with SHA-1 by default until OpenSSH 8.2, if the authority's key is RSA.
#[test]
fn a_certificate_that_is_signed_with_sha_1_is_refused_for_this_reason() {
    let program = Program::with_key();
    let [authority, key] = ["rsa-ca", "key.pub"].map(|name| text(program.home.path().join(name)));
    fs::write(&key, program.run(&["export"]).ok()).unwrap();
    for args in [
        &["-q", "-t", "rsa", "-N", "", "-f", &authority][..],
        &[
            "-q", "-s", &authority, "-t", "ssh-rsa", "-I", "old", "-n", "a", &key,
        ],
    ] {
        let made = program.home.command("ssh-keygen").args(args).output();
        assert!(made.unwrap().status.success(), "{args:?}");
    }
    let certificate = key.replace(".pub", "-cert.pub");
    let outcome = program.run(&["cert", "add", &certificate]);
    let reason = "the signature is made with SHA-1, which is not secure any more";
    outcome.fails(2, &format!("tpmssh: {certificate}: {reason}\n"));
    assert!(list(&program).is_empty());
}

#[test]
fn what_is_of_no_use_is_refused_unless_it_is_forced() {
    let program = Program::with_key();
    let public = program.run(&["export"]).ok();
    let authority = Keygen::new(&program.home);
    let sign = |name, options: &[&str]| authority.sign(name, &public, options);

    let expired = sign("old", &["-n", "a", "-V", "20200101000000Z:20200102000000Z"]);
    program.run(&["cert", "add", &expired]).fails(
        8,
        "tpmssh: the certificate expired at 2020-01-02 00:00:00 UTC\n\
         hint: get a new one; --force keeps it anyway\n",
    );
    // After 2106, where 32 bits of seconds end.
    let early = sign(
        "early",
        &["-n", "a", "-V", "21700101000000Z:21800101000000Z"],
    );
    program.run(&["cert", "add", &early]).fails(
        8,
        "tpmssh: the certificate is not valid before 2170-01-01 00:00:00 UTC\n\
         hint: see with date whether the clock is right; --force keeps it anyway\n",
    );
    let nobody = sign("nobody", &[]);
    program.run(&["cert", "add", &nobody]).fails(
        8,
        "tpmssh: the certificate has no principals, and servers refuse such a certificate\n\
         hint: have it signed again with ssh-keygen -n NAMES; --force keeps it anyway\n",
    );
    assert!(list(&program).is_empty());
    program.run(&["cert", "add", "--force", &expired]).ok();
    program.run(&["cert", "add", "--force", &early]).ok();
    program
        .run(&["cert", "add", &sign("ever", &["-n", "a"])])
        .ok();
    let states: Vec<Value> = list(&program)
        .iter()
        .map(|it| it["state"].clone())
        .collect();
    assert_eq!(states, ["expired", "not-yet-valid", "valid"]);
    let shown = program.run(&["cert", "list", "-l"]).ok();
    assert!(shown.contains("  valid       always\n"), "{shown}");
    assert!(
        shown.contains("from 2170-01-01 00:00:00 UTC to 2180-01-01 00:00:00 UTC"),
        "{shown}"
    );
}

#[test]
fn what_is_not_for_a_key_of_the_tpm_or_not_understood_is_refused() {
    let program = Program::with_key();
    let public = program.run(&["export"]).ok();
    let authority = Keygen::new(&program.home);

    let other = authority.sign("other", &authority.public(), &["-n", "a"]);
    let list = program
        .home
        .command("ssh-keygen")
        .args(["-l", "-f", &other])
        .output()
        .unwrap();
    let list = String::from_utf8(list.stdout).unwrap();
    let fingerprint = list.split(' ').nth(1).unwrap();
    program.run(&["cert", "add", &other]).fails(
        8,
        &format!(
            "tpmssh: the certificate is for another key: {fingerprint} is not in the TPM\n\
             hint: tpmssh export --all shows the keys to have certified\n"
        ),
    );
    let strange = authority.sign(
        "strange",
        &public,
        &["-n", "a", "-O", "critical:only-on-sundays@example.org"],
    );
    program.run(&["cert", "add", &strange]).fails(
        8,
        &format!(
            "tpmssh: {strange}: the certificate has the critical option \
             only-on-sundays@example.org, which is not known\n"
        ),
    );
}

#[test]
fn what_is_no_certificate_is_refused() {
    let program = Program::with_key();
    let public = program.run(&["export"]).ok();
    let authority = Keygen::new(&program.home);
    let good = fs::read_to_string(authority.sign("good", &public, &["-n", "a"])).unwrap();
    let base64 = good.split(' ').nth(1).unwrap();
    let cut = good.replace(base64, &base64[..base64.len() / 8 * 4]);
    let middle = base64.len() / 2;
    let other = if &base64[middle..=middle] == "A" {
        "B"
    } else {
        "A"
    };
    let changed = good.replace(
        base64,
        &format!("{}{other}{}", &base64[..middle], &base64[middle + 1..]),
    );
    for (name, content, code, why) in [
        (
            "key",
            public.as_str(),
            2,
            "certificates of type ecdsa-sha2-nistp256 cannot be read",
        ),
        ("cut", &cut, 2, "the certificate is cut short"),
        (
            "long",
            &"x".repeat((1 << 20) + 1),
            2,
            "the certificate is malformed: its line is too long",
        ),
        (
            "crlf",
            &format!("{}\r\n", "a b"),
            2,
            "the certificate is malformed: its base64 part is damaged",
        ),
    ] {
        let file = program.secret(name, content);
        let expected = format!("tpmssh: {file}: {why}\n");
        program.run(&["cert", "add", &file]).fails(code, &expected);
    }
    let empty = program.secret("empty", "");
    program.run(&["cert", "add", &empty]).fails(
        2,
        &format!("tpmssh: unusable {empty}: it has neither a key nor a certificate\n"),
    );
    // Which check fails first, and so the exit code, depends on the byte that was changed.
    let file = program.secret("changed", &changed);
    let outcome = program.run(&["cert", "add", &file]);
    assert_matches!(outcome.code, Some(2 | 8), "{outcome:?}");
    let endless = program.secret("endless", &"x".repeat(1 << 22));
    program.run(&["cert", "add", &endless]).fails(
        2,
        &format!("tpmssh: too much to read from {endless}: at most 1 MiB are taken\n"),
    );
    program.run(&["cert", "add", "/nowhere"]).fails(
        1,
        "tpmssh: cannot read /nowhere: No such file or directory (os error 2)\n",
    );
    program.run(&["cert", "remove", "7"]).fails(
        12,
        "tpmssh: no certificate \"7\"\nhint: tpmssh cert list shows what there is\n",
    );
    // With the line ending of another system it is the same certificate.
    let windows = program.secret("windows", &good.replace('\n', "\r\n"));
    program.run(&["cert", "add", &windows]).ok();
}

/// Appends a field as the wire has it: its length, then its bytes (RFC 4251 section 5).
fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
    out.extend(bytes);
}

/// `ssh-keygen` makes none with more than 256 principals, so this one is made by hand.
#[test]
fn a_certificate_with_sixty_five_thousand_principals_is_refused() {
    let program = Program::with_key();
    let mut principals = Vec::new();
    for number in 0..65_000 {
        put(&mut principals, format!("u{number}").as_bytes());
    }
    let name = "ssh-ed25519-cert-v01@openssh.com";
    let mut blob = Vec::new();
    for field in [name.as_bytes(), b"nonce", &[1; 32]] {
        put(&mut blob, field);
    }
    blob.extend([0; 8]); // serial
    blob.extend([0, 0, 0, 1]); // a user's
    put(&mut blob, b"id");
    put(&mut blob, &principals);
    let made = program.home.path().join("crowd.blob");
    fs::write(&made, &blob).unwrap();
    let mut base64 = program.home.command("base64");
    let base64 = Outcome::of(base64.arg("-w0").arg(made)).ok();
    let file = program.secret("crowd", &format!("{name} {base64} anna"));
    program.run(&["cert", "add", &file]).fails(
        2,
        &format!("tpmssh: {file}: the certificate is malformed: it has more than 256 principals\n"),
    );
}

#[test]
fn a_login_with_a_kept_certificate_needs_no_file_where_the_agent_runs() {
    let program = Program::with_key();
    let authority = Keygen::new(&program.home);
    let trusted = text(program.home.secret_file("trusted", &authority.public()));
    let sshd = Sshd::with_config(&program.home, &format!("TrustedUserCAKeys {trusted}"));
    let public = program.run(&["export"]).ok();
    let agent = Served::start(&program);
    program.run(&["unlock", "--pin-file", &program.pin]).ok();
    let login = || sshd.run(&program.home, &agent.env(), &[], "echo in");
    assert!(!login().status.success(), "the key alone is not let in");
    let file = authority.sign("login", &public, &["-n", sshd.user()]);
    program.run(&["cert", "add", &file]).ok();
    let output = login();
    assert_eq!(
        output.stdout,
        b"in\n",
        "{output:?}{}{}",
        agent.log(),
        sshd.log()
    );
    program.run(&["cert", "remove", "login"]).ok();
    assert!(!login().status.success(), "it is offered no longer");
}
