//! `tpmssh ca`: an authority whose key is in the TPM, and servers and clients that trust it.

use std::fs;
use std::process::Output;

use serde_json::Value;
use testing::Sshd;

use crate::program::{Outcome, Program, text};

/// A program with an authority in its token.
pub(crate) fn with_authority() -> Program {
    let program = Program::with_token();
    program
        .run(&["ca", "init", "--pin-file", &program.pin])
        .ok();
    program
}

/// Makes a key with `ssh-keygen`; the path of its private half.
pub(crate) fn key_file(program: &Program, name: &str) -> String {
    let path = text(program.home.path().join(name));
    let args = ["-q", "-t", "ed25519", "-N", "", "-C", name, "-f", &path];
    Outcome::of(program.home.command("ssh-keygen").args(args)).ok();
    path
}

/// Runs `ca sign-user` or `sign-host` for the key at `path`, whose name becomes the key id; the
/// path of the certificate.
pub(crate) fn sign(program: &Program, command: &str, path: &str, options: &[&str]) -> String {
    let public = format!("{path}.pub");
    let name = path.rsplit('/').next().unwrap();
    let mut args = vec![
        "ca",
        command,
        &public,
        "-I",
        name,
        "--pin-file",
        &program.pin,
    ];
    args.extend(options);
    let line = program.run(&args).ok();
    let file = format!("{path}-cert.pub");
    fs::write(&file, line).unwrap();
    file
}

/// Runs `ssh-keygen`, which shows times as they are at the place that `TZ` names.
fn keygen(program: &Program, args: &[&str]) -> String {
    let mut command = program.home.command("ssh-keygen");
    Outcome::of(command.env("TZ", "UTC").args(args)).ok()
}

fn lines_of(text: &str, heading: &str) -> Vec<String> {
    let mut lines = text.lines().skip_while(|line| line.trim() != heading);
    let depth = lines
        .next()
        .map(|line| line.len() - line.trim_start().len());
    let deeper = |line: &&str| Some(line.len() - line.trim_start().len()) > depth;
    lines
        .take_while(deeper)
        .map(|line| line.trim().to_owned())
        .collect()
}

/// A server that trusts the authority for users, with further lines of configuration.
fn server(program: &Program, lines: &str) -> Sshd {
    let public = program.run(&["ca", "public-key"]).ok();
    let trusted = text(program.home.secret_file("trusted", &public));
    Sshd::with_config(
        &program.home,
        &format!("TrustedUserCAKeys {trusted}\n{lines}"),
    )
}

/// Logs in with a key file and a certificate for it.
fn login(program: &Program, sshd: &Sshd, key: &str, certificate: &str) -> Output {
    let certificate = format!("CertificateFile={certificate}");
    let options = ["-i", key, "-o", &certificate, "-o", "IdentitiesOnly=yes"];
    sshd.run(&program.home, &[], &options, "echo in")
}

#[test]
fn ssh_keygen_reads_what_was_signed() {
    let program = with_authority();
    let key = key_file(&program, "anna");
    let options = [
        "-n",
        "anna,root",
        "-V",
        "20270101:20280101",
        "-O",
        "no-pty",
        "-O",
        "force-command=uptime -p",
        "-O",
        "source-address=192.0.2.0/24,::1",
        "-O",
        "extension:note@example.org=hello",
    ];
    let certificate = sign(&program, "sign-user", &key, &options);
    let shown = keygen(&program, &["-L", "-f", &certificate]);
    assert!(
        shown.contains("ssh-ed25519-cert-v01@openssh.com user certificate"),
        "{shown}"
    );
    assert!(shown.contains("Key ID: \"anna\""), "{shown}");
    assert!(shown.contains("(using ecdsa-sha2-nistp256)"), "{shown}");
    assert!(
        shown.contains("Valid: from 2027-01-01T00:00:00 to 2028-01-01T00:00:00"),
        "{shown}"
    );
    assert_eq!(lines_of(&shown, "Principals:"), ["anna", "root"]);
    assert_eq!(
        lines_of(&shown, "Critical Options:"),
        ["force-command uptime -p", "source-address 192.0.2.0/24,::1"]
    );
    let extensions = lines_of(&shown, "Extensions:");
    assert!(
        extensions.contains(&"permit-user-rc".to_owned()),
        "{extensions:?}"
    );
    assert!(
        !extensions.contains(&"permit-pty".to_owned()),
        "{extensions:?}"
    );
    // The comment of the key stays with its certificate, as with ssh-keygen.
    assert!(
        fs::read_to_string(&certificate)
            .unwrap()
            .ends_with(" anna\n")
    );

    let host = sign(
        &program,
        "sign-host",
        &key,
        &["-n", "host.example.org", "-V", "+1d"],
    );
    let shown = keygen(&program, &["-L", "-f", &host]);
    assert!(shown.contains(" host certificate"), "{shown}");
    assert!(shown.contains("Critical Options: (none)"), "{shown}");
    assert!(shown.contains("Extensions: (none)"), "{shown}");

    let listed: Value = serde_json::from_str(&program.run(&["ca", "list", "--json"]).ok()).unwrap();
    let listed = listed.as_array().unwrap();
    assert_eq!(listed.len(), 2);
    assert_ne!(listed[0]["serial"], listed[1]["serial"]);
    assert_eq!(listed[0]["state"], "not-yet-valid");
    assert_eq!(listed[0]["principals"], serde_json::json!(["anna", "root"]));
    assert_eq!(
        (&listed[1]["type"], &listed[1]["state"]),
        (&"host".into(), &"valid".into())
    );
    let shown = program.run(&["ca", "list", "--long"]).ok();
    assert!(
        shown.contains("  principals  host.example.org\n"),
        "{shown}"
    );
}

#[test]
fn a_user_logs_in_by_a_certificate_until_it_is_revoked() {
    let program = with_authority();
    let list = text(program.home.path().join("revoked"));
    program.run(&["ca", "krl", &list]).ok();
    let sshd = server(&program, &format!("RevokedKeys {list}"));
    let key = key_file(&program, "anna");
    let options = ["-n", sshd.user(), "-V", "+1h"];
    let certificate = sign(&program, "sign-user", &key, &options);
    let other = key_file(&program, "bert");
    let others = sign(&program, "sign-user", &other, &options);
    assert_eq!(fs::read_to_string(sshd.authorized_keys()).unwrap(), "");
    let output = login(&program, &sshd, &key, &certificate);
    assert_eq!(output.stdout, b"in\n", "{output:?}{}", sshd.log());

    let listed: Value = serde_json::from_str(&program.run(&["ca", "list", "--json"]).ok()).unwrap();
    let serial = listed[0]["serial"].as_str().unwrap();
    let revoked = program.run(&["ca", "revoke", "--serial", serial]);
    let told = revoked
        .stderr
        .replace("tpmssh: revoked: \"anna\", serial number ", "");
    assert!(
        told.starts_with(&format!("{serial}, valid until ")),
        "{told}"
    );
    assert!(
        told.ends_with("UTC\ntpmssh: give servers a new list: tpmssh ca krl FILE\n"),
        "{told}"
    );
    program.run(&["ca", "krl", &list]).ok();
    let output = login(&program, &sshd, &key, &certificate);
    assert_eq!(output.status.code(), Some(255), "{output:?}");
    assert!(sshd.log().contains("revoked by file"), "{}", sshd.log());
    let output = login(&program, &sshd, &other, &others);
    assert_eq!(output.stdout, b"in\n", "the other one stays: {output:?}");

    let query = program.run(&["ca", "read-krl", &list, &certificate, &others]);
    assert_eq!(query.code, Some(8), "{query:?}");
    assert_eq!(query.stderr, "tpmssh: 1 of 2 is revoked\n");
    assert!(
        query.stdout.contains(&format!("{certificate}: revoked\n")),
        "{query:?}"
    );
    assert!(
        query.stdout.contains(&format!("{others}: not revoked\n")),
        "{query:?}"
    );
    let theirs = program
        .home
        .command("ssh-keygen")
        .args(["-Q", "-f", &list, &certificate])
        .output();
    assert!(!theirs.unwrap().status.success());
    keygen(&program, &["-Q", "-f", &list, &others]);
    program
        .run(&["ca", "revoke", "--serial", serial])
        .fails(1, "tpmssh: that has been revoked before\n");
    let listed: Value = serde_json::from_str(&program.run(&["ca", "list", "--json"]).ok()).unwrap();
    assert_eq!(
        (&listed[0]["revoked"], &listed[1]["revoked"]),
        (&true.into(), &false.into())
    );
}

#[test]
fn a_revocation_that_matches_nothing_fails() {
    let program = with_authority();
    for (option, value, what) in [
        ("--key-id", "typo", "key id"),
        ("--serial", "7", "serial number"),
    ] {
        let hint = "hint: tpmssh ca list shows what was signed; --force revokes it anyway\n";
        program.run(&["ca", "revoke", option, value]).fails(
            12,
            &format!("tpmssh: this authority signed no certificate with this {what}\n{hint}"),
        );
        program
            .run(&["ca", "revoke", "--force", option, value])
            .ok();
    }
    let list = text(program.home.path().join("revoked"));
    assert!(
        program
            .run(&["ca", "krl", &list])
            .stderr
            .ends_with(": 2 revocations by serial number or key id, 0 keys revoked\n")
    );
}

#[test]
fn keys_and_key_ids_are_revoked_too() {
    let program = with_authority();
    let list = text(program.home.path().join("revoked"));
    let [anna, bert, carl] = ["anna", "bert", "carl"].map(|name| {
        let key = key_file(&program, name);
        sign(&program, "sign-user", &key, &["-n", name, "-V", "+1h"])
    });
    program.run(&["ca", "revoke", "--key-id", "anna"]).ok();
    // The key file has a comment of its own line before the key, which ssh-keygen takes.
    let key = bert.replace("-cert.pub", ".pub");
    let public = fs::read_to_string(&key).unwrap();
    fs::write(&key, format!("# of bert\n\n{public}")).unwrap();
    let by_certificate = program.run(&["ca", "revoke", "--key", &bert]);
    assert!(
        by_certificate.stderr.contains(&format!(
            "{bert} is a certificate: its key is meant, with every certificate for it; for this one \
             alone: tpmssh ca revoke --serial "
        )),
        "{by_certificate:?}"
    );
    by_certificate.ok();
    program
        .run(&["ca", "revoke", "--key", &key])
        .fails(1, "tpmssh: that has been revoked before\n");
    program.run(&["ca", "krl", &list]).ok();
    for (file, revoked) in [(&anna, true), (&bert, true), (&key, true), (&carl, false)] {
        let theirs = program
            .home
            .command("ssh-keygen")
            .args(["-Q", "-f", &list, file])
            .output();
        assert_eq!(!theirs.unwrap().status.success(), revoked, "{file}");
        let ours = program.run(&["ca", "read-krl", &list, file]);
        assert_eq!(ours.code, Some(if revoked { 8 } else { 0 }), "{ours:?}");
    }
    // With another last digit of the signature, no authority signed the certificate.
    let line = fs::read_to_string(&carl).unwrap();
    let mut words = line.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let at = words[1].trim_end_matches('=').len() - 4;
    let other = if words[1].as_bytes()[at] == b'A' {
        "B"
    } else {
        "A"
    };
    words[1].replace_range(at..=at, other);
    let forged = program.secret("forged-cert.pub", &words.join(" "));
    let ours = program.run(&["ca", "read-krl", &list, &forged]);
    assert_eq!((ours.code, ours.stdout.as_str()), (Some(8), ""), "{ours:?}");
    assert!(
        ours.stderr.contains("the signature does not match"),
        "{ours:?}"
    );
    let json = program
        .run(&["ca", "read-krl", "--json", &list, &carl])
        .ok();
    let json: Value = serde_json::from_str(&json).unwrap();
    let year_2026 = 1_767_225_600;
    assert!(json["number"].as_u64() > Some(year_2026), "{json}");
    assert_eq!(json["comment"], "ca");
    assert_eq!(json["asked"][0]["revoked"], false);
}

/// An old copy of the store has fewer records.
#[test]
fn a_revocation_is_not_taken_back_by_an_old_store() {
    let program = with_authority();
    let list = text(program.home.path().join("revoked"));
    let revoke = |id: &str| {
        program
            .run(&["ca", "revoke", "--force", "--key-id", id])
            .ok()
    };
    let write = |options: &[&str]| program.run(&[&["ca", "krl", &list], options].concat());
    revoke("anna");
    let copy = fs::read(program.home.store().join("store.db")).unwrap();
    revoke("bert");
    write(&[]).ok();
    write(&[]).ok(); // the same once more
    let before = fs::read(&list).unwrap();

    fs::write(program.home.store().join("store.db"), &copy).unwrap();
    let hint = "hint: the store may be an old copy: revoke again what is missing \
                (tpmssh ca revoke), or add --force\n";
    let forgets = format!("tpmssh: the list in {list} revokes what this store does not\n{hint}");
    write(&[]).fails(1, &forgets);
    revoke("carl");
    write(&[]).fails(1, &forgets);
    assert_eq!(fs::read(&list).unwrap(), before);
    revoke("bert");
    write(&[]).ok();

    // A list that revokes nothing more has only a higher number.
    fs::write(program.home.store().join("store.db"), &copy).unwrap();
    revoke("bert");
    revoke("carl");
    let public = program.run(&["ca", "public-key"]).ok();
    let ca = text(program.home.secret_file("ca.pub", &public));
    let spec = text(program.home.secret_file("spec", "id: anna\n"));
    let number = "18446744073709551615";
    let args = ["-k", "-q", "-f", &list, "-s", &ca, "-z", number, &spec];
    Outcome::of(program.home.command("ssh-keygen").args(args)).ok();
    let outcome = write(&[]);
    let back =
        format!("tpmssh: the list in {list} has number {number}, and the new one would have ");
    assert!(outcome.stderr.starts_with(&back), "{outcome:?}");
    assert!(outcome.stderr.ends_with(hint), "{outcome:?}");
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(1), ""));
    write(&["--force"]).ok();
    write(&[]).ok();

    // sshd takes a list of keys as text as well.
    fs::write(&list, "ssh-ed25519 AAAA revoked@example.org\n").unwrap();
    write(&[]).fails(
        1,
        &format!(
            "tpmssh: {list} is not replaced: the revocation list is malformed: \
             it does not begin as one\n\
             hint: name another file, or replace it anyway with --force\n"
        ),
    );
    write(&["--force"]).ok();
    // An empty one revokes nothing.
    fs::write(&list, "").unwrap();
    write(&[]).ok();
}

#[test]
fn sshd_refuses_what_is_not_valid_for_the_login() {
    let program = with_authority();
    let sshd = server(&program, "");
    let key = key_file(&program, "anna");
    let user = sshd.user();
    let strange = "critical:only-on-sundays@example.org";
    for (options, why) in [
        (
            vec!["-n", user, "-V", "20200101:20200102"],
            "Certificate invalid: expired",
        ),
        (
            vec!["-n", user, "-V", "21700101:21800101"],
            "Certificate invalid: not yet valid",
        ),
        (
            vec!["-n", "nobody-else", "-V", "+1h"],
            "Certificate invalid: name is not a listed principal",
        ),
        (
            vec!["-n", user, "-V", "+1h", "-O", strange],
            "critical option \"only-on-sundays@example.org\" is not supported",
        ),
        (
            vec!["-n", user, "-V", "+1h", "-O", "source-address=192.0.2.1"],
            "not from a permitted source address",
        ),
    ] {
        let certificate = sign(&program, "sign-user", &key, &options);
        let output = login(&program, &sshd, &key, &certificate);
        assert_eq!(output.status.code(), Some(255), "{why}: {output:?}");
        let log = sshd.log();
        assert!(
            log.to_lowercase().contains(&why.to_lowercase()),
            "{why}: {log}"
        );
    }
    let options = [
        "-n",
        user,
        "-V",
        "+1h",
        "-O",
        "force-command=echo forced",
        "-O",
        "source-address=127.0.0.0/8",
    ];
    let certificate = sign(&program, "sign-user", &key, &options);
    let output = login(&program, &sshd, &key, &certificate);
    assert_eq!(output.stdout, b"forced\n", "{output:?}{}", sshd.log());
    // Another key with this certificate is not let in: the certificate is not for it.
    let other = key_file(&program, "other");
    let output = login(&program, &sshd, &other, &certificate);
    assert_eq!(output.status.code(), Some(255), "{output:?}");
}

#[test]
fn a_client_that_trusts_the_authority_alone_believes_a_host_by_its_certificate() {
    let program = with_authority();
    let host_key = key_file(&program, "host");
    let certificate = sign(
        &program,
        "sign-host",
        &host_key,
        &["-n", "127.0.0.1", "-V", "+1h"],
    );
    let configuration = format!("HostKey {host_key}\nHostCertificate {certificate}");
    let sshd = Sshd::with_config(&program.home, &configuration);
    let key = key_file(&program, "anna");
    fs::copy(format!("{key}.pub"), sshd.authorized_keys()).unwrap();
    let line = program
        .run(&["ca", "public-key", "--known-hosts", "*"])
        .ok();
    assert!(
        line.starts_with("@cert-authority * ecdsa-sha2-nistp256 "),
        "{line}"
    );
    fs::write(sshd.known_hosts(), &line).unwrap();
    let enter = || sshd.run(&program.home, &[], &["-i", &key], "echo in");
    let output = enter();
    assert_eq!(output.stdout, b"in\n", "{output:?}{}", sshd.log());

    // One that is trusted for other hosts only, or nobody at all.
    for known in [line.replace(" * ", " *.example.org "), String::new()] {
        fs::write(sshd.known_hosts(), known).unwrap();
        let output = enter();
        assert_eq!(output.status.code(), Some(255), "{output:?}");
    }
    // For another name it is no certificate of this host; the server reads it at its start.
    sign(
        &program,
        "sign-host",
        &host_key,
        &["-n", "elsewhere.example.org", "-V", "+1h"],
    );
    let sshd = Sshd::with_config(&program.home, &configuration);
    fs::copy(format!("{key}.pub"), sshd.authorized_keys()).unwrap();
    fs::write(sshd.known_hosts(), &line).unwrap();
    let output = sshd.run(&program.home, &[], &["-i", &key], "echo in");
    assert_eq!(output.status.code(), Some(255), "{output:?}");
}

#[test]
fn authorities_that_are_not_there_or_not_told_apart() {
    let program = Program::with_key();
    let key = key_file(&program, "anna");
    let public = format!("{key}.pub");
    let sign = |more: &[&str]| {
        let mut args = vec![
            "ca",
            "sign-user",
            &public,
            "-I",
            "i",
            "-n",
            "anna",
            "-V",
            "+1h",
        ];
        args.extend(["--pin-file", &program.pin]);
        args.extend(more);
        program.run(&args)
    };
    sign(&[]).fails(
        12,
        "tpmssh: there is no certificate authority yet\n\
         hint: make one first: tpmssh ca init\n",
    );
    sign(&["--ca", "first"]).fails(
        2,
        "tpmssh: key \"first\" is no certificate authority\n\
         hint: to make it one: tpmssh ca init --key LABEL\n",
    );
    sign(&["--ca", "nothing"]).fails(
        12,
        "tpmssh: no key \"nothing\"\nhint: tpmssh list shows what there is\n",
    );
    // A key that is there becomes one without a PIN; a new one is made with it.
    program.run(&["ca", "init", "--key", "first"]).ok();
    sign(&[]).ok();
    program
        .run(&[
            "ca",
            "init",
            "--label",
            "second",
            "--pin-file",
            &program.pin,
        ])
        .ok();
    sign(&[]).fails(
        2,
        "tpmssh: there are several certificate authorities: \"first\" and \"second\"\n\
         hint: say which one with --ca LABEL\n",
    );
    sign(&["--ca", "second"]).ok();
    let signed = |ca: &str| -> usize {
        let list = program.run(&["ca", "list", "--json", "--ca", ca]).ok();
        serde_json::from_str::<Vec<Value>>(&list).unwrap().len()
    };
    assert_eq!((signed("first"), signed("second")), (1, 1));
}

#[test]
fn what_cannot_be_certified_or_revoked_is_refused_before_a_pin_is_asked_for() {
    let program = with_authority();
    let key = key_file(&program, "anna");
    let public = format!("{key}.pub");
    let certificate = sign(&program, "sign-user", &key, &["-n", "anna", "-V", "+1h"]);
    // Without a PIN file and without a terminal: asking would be an error of its own.
    let sign = |file: &str, options: &[&str]| {
        let mut args = vec!["ca", "sign-user", file, "-I", "i"];
        args.extend(options);
        program.run(&args)
    };
    let usual = ["-n", "anna", "-V", "+1h"];
    sign(&public, &["-n", "", "-V", "+1h"]).fails(
        2,
        "tpmssh: a certificate cannot have a principal that is empty, or has a comma or a line \
         feed in it\n",
    );
    let missing = sign(&public, &["-V", "+1h"]);
    assert_eq!(missing.code, Some(2));
    assert!(
        missing.stderr.contains("--principals <NAMES>"),
        "{missing:?}"
    );
    let missing = sign(&public, &["-n", "anna"]);
    assert!(missing.stderr.contains("--validity <SPAN>"), "{missing:?}");
    let endless = sign(&public, &["-n", "anna", "-V", "always:forever"]);
    assert_eq!(endless.code, Some(2), "{endless:?}");
    sign(&certificate, &usual).fails(
        2,
        &format!("tpmssh: {certificate}: it is a certificate and not a key\n"),
    );
    sign(&public, &[&usual[..], &["-O", "no-such"]].concat())
        .fails(2, "tpmssh: \"no-such\" is not an option of certificates\n");
    let twice = ["-O", "force-command=true", "-O", "force-command=false"];
    sign(&public, &[&usual[..], &twice].concat())
        .fails(2, "tpmssh: \"force-command\" is given twice\n");
    sign(&key, &usual).fails(
        2,
        &format!(
            "tpmssh: unusable {key}: it is a private key; the public one is in the file that ends in .pub\n"
        ),
    );
    let newer = program.secret("newer", "ssh-mldsa-65 AAAADHNzaC1tbGRzYS02NQ==");
    sign(&newer, &usual).fails(
        2,
        &format!("tpmssh: {newer}: keys of type ssh-mldsa-65 are not known here\n"),
    );
    program.run(&["ca", "revoke", "--serial", "0"]).fails(
        2,
        "tpmssh: a certificate without a serial number cannot be revoked by it\n",
    );
    let pattern = program.run(&["ca", "public-key", "--known-hosts", "a b"]);
    pattern.fails(2, "tpmssh: a pattern of hosts is one word\n");
}

#[test]
fn a_revocation_list_that_is_cut_or_none_is_refused() {
    let program = with_authority();
    let revoke = ["ca", "revoke", "--force", "--key-id", "anna"];
    program.run(&revoke).ok();
    let list = text(program.home.path().join("revoked"));
    program.run(&["ca", "krl", &list]).ok();
    let whole = fs::read(&list).unwrap();
    let cut = text(program.home.path().join("cut"));
    fs::write(&cut, &whole[..whole.len() - 3]).unwrap();
    program.run(&["ca", "read-krl", &cut]).fails(
        2,
        &format!("tpmssh: {cut}: the revocation list is cut short\n"),
    );
    let text_file = program.secret("text", "this is text\n");
    program.run(&["ca", "read-krl", &text_file]).fails(
        2,
        &format!(
            "tpmssh: {text_file}: the revocation list is malformed: it does not begin as one\n"
        ),
    );
    program.run(&["ca", "krl", "/nowhere/list"]).fails(
        11,
        "tpmssh: cannot write /nowhere/list: No such file or directory (os error 2)\n",
    );
    program.run(&["ca", "krl", &list]).ok();
    assert_eq!(fs::read(&list).unwrap().len(), whole.len());
}
