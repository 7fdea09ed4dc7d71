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
pub(super) fn keygen(program: &Program, args: &[&str]) -> String {
    let mut command = program.home.command("ssh-keygen");
    Outcome::of(command.env("TZ", "UTC").args(args)).ok()
}

pub(super) fn lines_of(text: &str, heading: &str) -> Vec<String> {
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
pub(super) fn server(program: &Program, lines: &str) -> Sshd {
    let public = program.run(&["ca", "public-key"]).ok();
    let trusted = text(program.home.secret_file("trusted", &public));
    Sshd::with_config(
        &program.home,
        &format!("TrustedUserCAKeys {trusted}\n{lines}"),
    )
}

/// Logs in with a key file and a certificate for it.
pub(super) fn login(program: &Program, sshd: &Sshd, key: &str, certificate: &str) -> Output {
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

    // An authority that is trusted for other hosts only, or none.
    for known in [line.replace(" * ", " *.example.org "), String::new()] {
        fs::write(sshd.known_hosts(), known).unwrap();
        let output = enter();
        assert_eq!(output.status.code(), Some(255), "{output:?}");
    }
    // A certificate for another name is refused. A new server is started, because sshd reads its
    // certificate at the start.
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
