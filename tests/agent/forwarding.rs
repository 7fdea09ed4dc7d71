//! Agent forwarding, with a key that is for some hosts only.

use std::fs;

use testing::{Home, Sshd};

use super::served::Served;
use super::ssh_add::free;
use crate::program::{Outcome, text};

/// A server with the name `name`, in its own home.
struct Hop {
    name: &'static str,
    home: Home,
    sshd: Sshd,
}

impl Hop {
    fn start(name: &'static str, key: &str) -> Self {
        let home = Home::new();
        let sshd = Sshd::start(&home);
        fs::write(sshd.authorized_keys(), key).unwrap();
        Self { name, home, sshd }
    }

    /// The line of its host key under its name.
    fn known(&self) -> String {
        let path = self.home.path().join(".sshd/host_key.pub");
        format!("{} {}", self.name, fs::read_to_string(path).unwrap())
    }

    /// Arguments for `ssh` that reach it under its name.
    fn args(&self, known_hosts: &str) -> Vec<String> {
        let mut args = vec!["-F".to_owned(), "/dev/null".to_owned()];
        for option in [
            format!("Port={}", self.sshd.port()),
            format!("HostKeyAlias={}", self.name),
            format!("UserKnownHostsFile={known_hosts}"),
            "GlobalKnownHostsFile=/dev/null".to_owned(),
            "StrictHostKeyChecking=yes".to_owned(),
            "PreferredAuthentications=publickey".to_owned(),
            "IdentityFile=none".to_owned(),
        ] {
            args.extend(["-o".to_owned(), option]);
        }
        args.push(self.sshd.destination());
        args
    }
}

#[test]
fn a_constrained_key_goes_over_the_allowed_hops_and_no_other() {
    let program = free(&["one"]);
    let key = program.run(&["export"]).ok();
    let [jump, far, other] = ["jump", "far", "other"].map(|name| Hop::start(name, &key));
    let known_hosts = program.home.path().join("known");
    let lines = [&jump, &far, &other].map(Hop::known);
    fs::write(&known_hosts, lines.concat()).unwrap();
    let known_hosts = text(known_hosts);
    let agent = Served::start(&program);
    let login = |hop: &Hop, remote: &str| {
        let mut ssh = agent.client("ssh");
        ssh.arg("-A").args(hop.args(&known_hosts)).arg(remote);
        Outcome::of(&mut ssh)
    };
    // From one host to the next with the forwarded agent.
    let onwards = |hop: &Hop| format!("ssh {} echo in", hop.args(&known_hosts).join(" "));
    for hop in [&jump, &far, &other] {
        assert_eq!(login(hop, "echo in").ok(), "in\n", "a free key goes to all");
    }
    assert_eq!(login(&jump, &onwards(&far)).ok(), "in\n");

    let constrained = [
        "-H",
        &known_hosts,
        "-h",
        "jump",
        "-h",
        "jump>far",
        "-s",
        "tpmssh",
    ];
    assert_eq!(agent.add(&constrained).code, Some(0), "{}", agent.log());
    assert_eq!(login(&jump, "echo in").ok(), "in\n");
    assert_eq!(login(&jump, &onwards(&far)).ok(), "in\n", "{}", agent.log());
    assert_ne!(login(&jump, &onwards(&other)).code, Some(0));
    assert_ne!(login(&far, "echo in").code, Some(0));
    assert_ne!(login(&other, "echo in").code, Some(0));
    // The key is listed if it can be used, and a remote machine cannot manage the agent.
    assert_eq!(login(&jump, "ssh-add -l").code, Some(0));
    assert_ne!(login(&jump, "ssh-add -s tpmssh </dev/null").code, Some(0));
}
