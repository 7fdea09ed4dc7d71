//! The authority's keys are changed: new keys are published, and the old ones are retired with all certificates that they signed.

use std::fs;
use std::sync::{Arc, Mutex};

use testing::{Sshd, Swtpm};

use super::between::Between;
use super::hosts::renew;
use super::people::enrol;
use super::{AUDIENCE, Authority};
use crate::agent::served::Served;
use crate::host::Machine;
use crate::program::{Program, text};

/// What the proxy does with the authority's answers about its keys.
#[derive(Default)]
struct Keys {
    /// It sends the first answer again.
    first: Option<Vec<u8>>,
    is_replayed: bool,
}

impl Keys {
    fn pass(&mut self, path: &str, answer: Vec<u8>) -> Vec<u8> {
        if path != "/v1/ca-keys" {
            return answer;
        }
        match &self.first {
            Some(first) if self.is_replayed => first.clone(),
            Some(_) => answer,
            None => self.first.insert(answer).clone(),
        }
    }
}

/// Whether a client that trusts the key in `ca`, and has the list of revoked keys, trusts the server.
fn is_believed(machine: &Machine, sshd: &Sshd, key: &str, ca: &str, revoked: &str) -> bool {
    let line = fs::read_to_string(ca).unwrap();
    fs::write(sshd.known_hosts(), format!("@cert-authority * {line}")).unwrap();
    let only = "HostKeyAlgorithms=ecdsa-sha2-nistp256-cert-v01@openssh.com";
    let revoked = format!("RevokedHostKeys={revoked}");
    let options = ["-i", key, "-o", only, "-o", &revoked];
    let output = sshd.run(&machine.program.home, &[], &options, "echo in");
    output.stdout == b"in\n"
}

#[test]
fn keys_of_the_authority_come_and_go_for_a_host_and_a_person() {
    let program = Program::with_tpm(Swtpm::manufactured());
    program.init("work");
    program.keygen("first");
    let machine = Machine::new(program);
    let program = &machine.program;
    let mut authority = Authority::start();
    let to = Arc::new(Mutex::new(authority.url.clone()));
    let keys = Arc::new(Mutex::new(Keys::default()));
    let passed = Arc::clone(&keys);
    let between = Between::passing_to(Arc::clone(&to), move |path, answer| {
        passed.lock().unwrap().pass(path, answer)
    });
    let token = authority.token("host", "127.0.0.1");
    let names = [
        "-n",
        "127.0.0.1",
        "--audience",
        AUDIENCE,
        "--join-token",
        &token,
    ];
    machine
        .setup(&[&["--enroll", between.url.as_str()], &names[..]].concat())
        .ok();
    let token = authority.token("user", "anna");
    enrol(program, &between.url, &["--join-token", &token]).ok();

    // The host accepts users by the file that its timer updates in /etc.
    let users = || machine.read("ssh/tpmssh_user_ca.pub");
    let principals = text(program.home.path().join("principals"));
    fs::write(&principals, "anna\n").unwrap();
    let (etc, list) = (
        &machine.etc,
        format!("{}/ssh/tpmssh_revoked_keys", machine.etc),
    );
    let for_users = Sshd::with_config(
        &program.home,
        &format!(
            "TrustedUserCAKeys {etc}/ssh/tpmssh_user_ca.pub\nAuthorizedPrincipalsFile {principals}\nRevokedKeys {list}\n"
        ),
    );
    let known = fs::read_to_string(for_users.known_hosts()).unwrap();
    let address = known.split(' ').next().unwrap();
    let agent = Served::start(program);
    program.run(&["unlock", "--pin-file", &program.pin]).ok();
    let logs_in = || {
        // The other server below replaces the host key, which is in the same directory. OpenSSH 9 reads it for each connection, OpenSSH 10 at the start.
        let key = fs::read_to_string(for_users.known_hosts().with_file_name("host_key.pub"));
        let lines = format!("{known}{address} {}", key.unwrap());
        fs::write(for_users.known_hosts(), lines).unwrap();
        let options = ["-o", "IdentitiesOnly=no"];
        let output = for_users.run(&program.home, &agent.env(), &options, "echo in");
        output.stdout == b"in\n"
    };
    assert!(logs_in(), "{}", for_users.log());
    let [old_ca, new_ca] = ["host.pub", "host2.pub"].map(|name| authority.file(name));

    // New keys are published. The host gets them with its timer, and the person with a renewal.
    for (kind, name) in [("--user", "user2"), ("--host", "host2")] {
        authority.make_key(name);
        let public = authority.file(&format!("{name}.pub"));
        authority.run(&["ca", "add", kind, &public]);
    }
    let line = |ca: &str| {
        let line = fs::read_to_string(ca).unwrap();
        line.split(' ').take(2).collect::<Vec<_>>().join(" ")
    };
    let said = renew(&machine, &[]);
    let new = format!(
        "tpmssh: the authority has a new key for hosts; known_hosts believes it with: @cert-authority * {}",
        line(&new_ca)
    );
    assert!(said.stderr.contains(&new), "{said:?}");
    assert_eq!(users().lines().count(), 2);
    let said = program.run(&["renew", "--all"]);
    assert!(said.stderr.contains(&new), "{said:?}");
    said.ok();

    // The node signs with the new keys, and the old ones are retired.
    for (old, new) in [("user.pub", "user2.pub"), ("host.pub", "host2.pub")] {
        let [old, new] = [old, new].map(|name| line(&authority.file(name)));
        authority.serve_with(&old, &new);
    }
    to.lock().unwrap().clone_from(&authority.url);
    let sshd_of = || {
        let (sshd, key) = machine.sshd();
        (sshd, key)
    };
    let host_agent = machine.serve();
    let (sshd, key) = sshd_of();
    assert!(
        is_believed(&machine, &sshd, &key, &old_ca, &list),
        "{}{}",
        sshd.log(),
        host_agent.log()
    );
    assert!(
        logs_in(),
        "the certificates of before are valid until then: {}{}",
        for_users.log(),
        agent.log()
    );
    for id in ["1", "2"] {
        authority.run(&["ca", "retire", id]);
    }
    let said = renew(&machine, &[]);
    let gone = format!(
        "tpmssh: the authority has retired a key for hosts; take it out of known_hosts: {}",
        line(&old_ca)
    );
    assert!(said.stderr.contains(&gone), "{said:?}");
    assert!(said.ok().contains(" of revoked keys is in place\n"));
    assert_eq!(users().lines().count(), 1);
    assert!(users().starts_with(&line(&authority.file("user2.pub"))));
    assert!(!logs_in(), "a certificate by a retired key");
    assert!(!is_believed(&machine, &sshd, &key, &old_ca, &list));

    // Renewed certificates are signed by the new keys.
    renew(&machine, &["--all"]).ok();
    program.run(&["renew", "--all"]).ok();
    assert!(logs_in(), "{}", for_users.log());
    drop(sshd);
    let (sshd, key) = sshd_of();
    assert!(
        is_believed(&machine, &sshd, &key, &new_ca, &list),
        "{}",
        sshd.log()
    );
    assert!(!is_believed(&machine, &sshd, &key, &old_ca, &list));

    // The old list does not bring the retired keys back.
    keys.lock().unwrap().is_replayed = true;
    let before = users();
    let outcome = renew(&machine, &[]);
    assert_eq!(outcome.code, Some(8), "{outcome:?}");
    let why = "tpmssh: the answer of the authority is refused: its list of keys is older than the one that was taken last\n";
    assert!(outcome.stderr.starts_with(why), "{outcome:?}");
    assert_eq!(users(), before);
}
