//! OpenSSH's agent behind this one.

use testing::{SshAgent, Sshd};

use super::served::Served;
use super::ssh_add::free;
use crate::program::text;

#[test]
fn a_software_key_goes_to_the_other_agent_and_logs_in_from_there() {
    let program = free(&["one"]);
    let other = SshAgent::start(&program.home, "none", &[]);
    let socket = text(other.env()[0].1.clone().into());
    let agent = Served::with(&program.home, &["--proxy", &socket], &[]);
    let key = text(program.home.path().join("software"));
    let mut keygen = program.home.command("ssh-keygen");
    keygen.args([
        "-q", "-t", "ed25519", "-N", "", "-C", "software", "-f", &key,
    ]);
    assert!(keygen.status().unwrap().success());
    assert_eq!(agent.ssh_add(&[&key]).code, Some(0));
    let listed = agent.ssh_add(&["-l"]).ok();
    assert!(listed.contains(" one (ECDSA)\n") && listed.contains(" software (ED25519)\n"));
    assert_eq!(agent.ssh_add(&["-T", &format!("{key}.pub")]).code, Some(0));

    let sshd = Sshd::start(&program.home);
    std::fs::copy(format!("{key}.pub"), sshd.authorized_keys()).unwrap();
    let login = || sshd.run(&program.home, &agent.env(), &[], "echo in");
    assert_eq!(login().stdout, b"in\n", "{}", agent.log());

    // It may come and go.
    drop(other);
    assert!(!login().status.success());
    assert_eq!(agent.ssh_add(&["-L"]).ok().lines().count(), 1);
    let _other = SshAgent::start(&program.home, "none", &[]);
    assert_eq!(agent.ssh_add(&[&key]).code, Some(0));
    assert_eq!(login().stdout, b"in\n", "{}", agent.log());
    assert_eq!(agent.ssh_add(&["-D"]).code, Some(0));
    assert_eq!(agent.ssh_add(&["-l"]).code, Some(1));
}
