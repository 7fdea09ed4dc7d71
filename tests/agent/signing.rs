//! Other uses of an agent's keys: files, git, certificates.

use std::fs;

use testing::Sshd;

use super::served::{Served, eventually};
use super::ssh_add::{free, public_key};
use crate::program::{Outcome, Program, text};

fn allowed_signers(program: &Program) -> String {
    let line = program.run(&["export"]).ok();
    let path = program.home.path().join("allowed");
    fs::write(&path, format!("anna@example.org {line}")).unwrap();
    text(path)
}

#[test]
fn a_commit_is_signed_and_verified_by_git() {
    let program = free(&["one"]);
    let agent = Served::start(&program);
    let key = public_key(&program, "one");
    let allowed = allowed_signers(&program);
    let repository = text(program.home.path().join("repository"));
    let git = |args: &[&str]| Outcome::of(agent.client("git").args(["-C", &repository]).args(args));
    fs::create_dir(&repository).unwrap();
    git(&["init", "-q"]).ok();
    for (name, value) in [
        ("user.name", "Anna"),
        ("user.email", "anna@example.org"),
        ("gpg.format", "ssh"),
        ("user.signingkey", &key),
        ("gpg.ssh.allowedSignersFile", &allowed),
    ] {
        git(&["config", name, value]).ok();
    }
    git(&["commit", "-q", "--allow-empty", "-S", "-m", "signed"]).ok();
    let verified = git(&["verify-commit", "HEAD"]);
    assert_eq!(verified.code, Some(0), "{verified:?}");
    assert!(verified.stderr.contains("Good \"git\" signature"));
    let log = || program.run(&["agent", "log"]).ok();
    eventually(|| log().contains("to sign for \"git\""));
}

/// With files of 0 and of 250 KiB.
#[test]
fn a_file_is_signed_and_verified_by_ssh_keygen() {
    let program = free(&["one"]);
    let agent = Served::start(&program);
    let key = public_key(&program, "one");
    let allowed = allowed_signers(&program);
    for (name, len) in [("empty", 0), ("large", 250 * 1024)] {
        let file = text(program.home.path().join(name));
        let content = vec![7; len];
        fs::write(&file, &content).unwrap();
        let mut sign = agent.client("ssh-keygen");
        sign.args(["-Y", "sign", "-q", "-n", "file", "-f", &key, &file]);
        Outcome::of(&mut sign).ok();
        let signature = format!("{file}.sig");
        let mut verify = agent.client("ssh-keygen");
        verify.args(["-Y", "verify", "-n", "file", "-I", "anna@example.org"]);
        verify.args(["-f", &allowed, "-s", &signature]);
        let verified = Outcome::with_input(&mut verify, &content);
        assert!(verified.ok().starts_with("Good \"file\" signature"));
    }
}

#[test]
fn a_certificate_is_signed_by_an_authority_in_the_agent() {
    let program = free(&["authority"]);
    let agent = Served::start(&program);
    let authority = public_key(&program, "authority");
    let user = text(program.home.path().join("user"));
    let mut keygen = program.home.command("ssh-keygen");
    keygen.args(["-q", "-t", "ed25519", "-N", "", "-f", &user]);
    Outcome::of(&mut keygen).ok();
    let sshd = Sshd::start(&program.home);
    let mut certify = agent.client("ssh-keygen");
    certify.args(["-q", "-Us", &authority, "-I", "anna", "-n", sshd.user()]);
    certify.args(["-V", "-1m:+1h", &format!("{user}.pub")]);
    Outcome::of(&mut certify).ok();

    let line = fs::read_to_string(&authority).unwrap();
    fs::write(sshd.authorized_keys(), format!("cert-authority {line}")).unwrap();
    let certificate = format!("CertificateFile={user}-cert.pub");
    let arguments = ["-i", &user, "-o", &certificate];
    let login = |arguments: &[&str]| sshd.run(&program.home, &[], arguments, "echo in");
    assert_eq!(login(&arguments).stdout, b"in\n", "{}", sshd.log());
    fs::remove_file(format!("{user}-cert.pub")).unwrap();
    assert!(!login(&["-i", &user]).status.success(), "the key alone");
}

/// The server knows no key of the user, only the key of the authority.
#[test]
fn a_certificate_beside_a_key_logs_in() {
    let program = free(&["one"]);
    let agent = Served::start(&program);
    let key = public_key(&program, "one");
    let authority = text(program.home.path().join("authority"));
    let ssh_keygen = |args: &[&str]| {
        let mut command = program.home.command("ssh-keygen");
        Outcome::of(command.arg("-q").args(args)).ok()
    };
    ssh_keygen(&["-t", "ed25519", "-N", "", "-f", &authority]);
    let sshd = Sshd::start(&program.home);
    let line = fs::read_to_string(format!("{authority}.pub")).unwrap();
    fs::write(sshd.authorized_keys(), format!("cert-authority {line}")).unwrap();
    let login = || sshd.run(&program.home, &agent.env(), &[], "echo in");
    assert!(!login().status.success(), "there is no certificate yet");

    ssh_keygen(&["-s", &authority, "-I", "anna", "-n", sshd.user(), &key]);
    let certificate = key.replace(".pub", "-cert.pub");
    program.run(&["cert", "add", &certificate]).ok();
    assert_eq!(login().stdout, b"in\n", "{}{}", agent.log(), sshd.log());
    let listed = agent.ssh_add(&["-l"]).ok();
    assert!(
        listed.contains("(ECDSA)\n") && listed.contains("(ECDSA-CERT)\n"),
        "{listed}"
    );
}
