//! The SSH server lets in whom it should, and the agent holds keys: with an ordinary software key.

use std::{fs, path::Path, process::Command};

use testing::{Home, SshAgent, Sshd};

/// Makes an ordinary key in `home`; returns its path.
fn software_key(home: &Home) -> String {
    let path = home.path().join(".ssh/id").display().to_string();
    let status = home
        .command("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f", &path])
        .status()
        .expect("ssh-keygen runs");
    assert!(status.success());
    path
}

#[test]
fn a_key_that_is_authorized_gets_in_and_no_other_way_does() {
    let home = Home::new();
    let sshd = Sshd::start(&home);
    let key = software_key(&home);
    let args = ["-i", key.as_str()];

    let refused = sshd.run(&home, &[], &args, "echo in");
    assert_eq!(refused.status.code(), Some(255));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("Permission denied (publickey)"));

    fs::copy(format!("{key}.pub"), sshd.authorized_keys()).expect("ours");
    let output = sshd.run(&home, &[], &args, "echo in");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.stdout, b"in\n");

    let without = sshd.run(&home, &[], &[], "echo in");
    assert_eq!(without.status.code(), Some(255));
    assert!(sshd.log().contains("Accepted publickey for"));
}

#[test]
fn an_agent_logs_in_with_what_it_holds() {
    let home = Home::new();
    let sshd = Sshd::start(&home);
    let agent = SshAgent::start(&home, "/none", &[]);
    let key = software_key(&home);
    fs::copy(format!("{key}.pub"), sshd.authorized_keys()).expect("ours");

    let add = |args: &[&str]| {
        home.command("ssh-add")
            .args(args)
            .envs(agent.env())
            .output()
            .expect("ssh-add runs")
    };
    assert_eq!(add(&["-l"]).stdout, b"The agent has no identities.\n");
    assert!(!sshd.run(&home, &agent.env(), &[], "true").status.success());
    assert!(add(&["-q", &key]).status.success());
    assert!(sshd.run(&home, &agent.env(), &[], "true").status.success());
}

#[test]
fn a_dropped_server_and_agent_are_gone() {
    let home = Home::new();
    let (sshd, agent) = (Sshd::start(&home), SshAgent::start(&home, "/none", &[]));
    let processes = [sshd.pid(), agent.pid()].map(|pid| format!("/proc/{pid}"));
    assert!(processes.iter().all(|process| Path::new(process).exists()));
    drop((sshd, agent));
    assert!(processes.iter().all(|process| !Path::new(process).exists()));
}

#[test]
fn the_login_user_is_the_one_who_runs_the_test() {
    let home = Home::new();
    let sshd = Sshd::start(&home);
    let output = Command::new("id").arg("-un").output().expect("id runs");
    assert_eq!(format!("{}\n", sshd.user()).as_bytes(), output.stdout);
    assert_eq!(sshd.destination(), format!("{}@127.0.0.1", sshd.user()));
}
