//! The key of an authority certifies through the agent, and is no login.

use std::fs;

use testing::Sshd;

use super::served::{Served, eventually};
use super::ssh_add::{free, public_key};
use crate::program::{Outcome, text};

#[test]
fn the_key_of_an_authority_is_not_offered_as_a_login_and_still_certifies() {
    let program = free(&["one", "other"]);
    let agent = Served::start(&program);
    let listed = || agent.ssh_add(&["-L"]).ok();
    let other = public_key(&program, "other");
    let line = fs::read_to_string(&other).unwrap();
    let sshd = Sshd::start(&program.home);
    fs::write(sshd.authorized_keys(), &line).unwrap();
    let login = || sshd.run(&program.home, &agent.env(), &[], "echo in");
    assert_eq!(login().stdout, b"in\n", "it is a login: {}", sshd.log());
    assert!(listed().contains(&line));

    program.run(&["ca", "init", "--key", "other"]).ok();
    eventually(|| !listed().contains(&line));
    assert!(listed().contains(" one\n"), "{}", listed());
    assert!(!login().status.success(), "{}", sshd.log());

    // ssh-keygen signs a certificate with the authority's key in the agent.
    let user = text(program.home.path().join("user"));
    let mut keygen = program.home.command("ssh-keygen");
    keygen.args(["-q", "-t", "ed25519", "-N", "", "-f", &user]);
    Outcome::of(&mut keygen).ok();
    let mut certify = agent.client("ssh-keygen");
    certify.args(["-q", "-Us", &other, "-I", "anna", "-n", sshd.user()]);
    certify.args(["-V", "-1m:+1h", &format!("{user}.pub")]);
    Outcome::of(&mut certify).ok();
    let trusted = format!("cert-authority {line}");
    fs::write(sshd.authorized_keys(), trusted).unwrap();
    let certificate = format!("CertificateFile={user}-cert.pub");
    let with = ["-i", &user, "-o", &certificate];
    let login = sshd.run(&program.home, &[], &with, "echo in");
    assert_eq!(login.stdout, b"in\n", "{}", sshd.log());
}

#[test]
fn a_forwarded_agent_hides_it_from_every_program() {
    let program = free(&["one", "ca"]);
    program.run(&["ca", "init", "--key", "ca"]).ok();
    let agent = Served::start(&program);
    let ca = public_key(&program, "ca");
    let sshd = Sshd::with_config(&program.home, "AllowAgentForwarding yes\n");
    let one = fs::read_to_string(public_key(&program, "one")).unwrap();
    fs::write(sshd.authorized_keys(), one).unwrap();
    let user = text(program.home.path().join("user"));
    let mut keygen = program.home.command("ssh-keygen");
    keygen.args(["-q", "-t", "ed25519", "-N", "", "-f", &user]);
    Outcome::of(&mut keygen).ok();
    let certify = format!("ssh-add -L; ssh-keygen -q -Us {ca} -I a -n a -V +1h {user}.pub 2>&1");
    let run = sshd.run(&program.home, &agent.env(), &["-A"], &certify);
    let said = String::from_utf8(run.stdout).unwrap();
    assert!(said.contains(" one\n"), "{said}{}", sshd.log());
    assert!(said.contains("not found in agent"), "{said}");
    assert!(!run.status.success());
}
