//! Clients of an authority with two nodes and PostgreSQL, behind a balancer without session state.

use std::sync::{Arc, Mutex};

use testing::{Postgres, Swtpm};

use super::between::Between;
use super::hosts::{is_believed, machine, renew};
use super::people::{certificates, enrol, server};
use super::{AUDIENCE, Authority};
use crate::agent::served::Served;
use crate::program::{Program, text};

/// The node that has answered the last request for `path`.
fn last(passed: &Mutex<Vec<(String, usize)>>, path: &str) -> usize {
    let passed = passed.lock().unwrap();
    let found = passed.iter().rev().find(|(it, _)| it == path);
    found.unwrap_or_else(|| panic!("{path}: {passed:?}")).1
}

#[test]
fn a_host_enrols_at_two_nodes_renews_and_goes_on_with_one() {
    let database = Postgres::start();
    let [mut first, second] = Authority::pair(&database);
    let nodes = Arc::new(Mutex::new(vec![first.url.clone(), second.url.clone()]));
    let (between, passed) = Between::in_turn(&nodes);
    let machine = machine();
    let token = first.token("host", "127.0.0.1");
    let place = ["--enroll", &between.url, "-n", "127.0.0.1"];
    let how = ["--audience", AUDIENCE, "--join-token", &token];
    machine.setup(&[place, how].concat()).ok();
    let [begun, finished] =
        ["/v1/enroll/begin", "/v1/enroll/finish"].map(|path| last(&passed, path));
    assert_ne!(begun, finished, "{passed:?}");
    let logs = [first.log(), second.log()];
    assert!(logs[finished].contains("\"event\":\"enrol\""), "{logs:?}");

    let agent = machine.serve();
    let (sshd, key) = machine.sshd();
    assert!(
        is_believed(&machine, &second, &sshd, &key),
        "{}{}",
        sshd.log(),
        agent.log()
    );
    let certificate = || machine.read("ssh/ssh_host_tpm_ecdsa_key-cert.pub");
    let before = certificate();
    renew(&machine, &["--all"]).ok();
    assert_ne!(certificate(), before);
    assert_ne!(last(&passed, "/v1/nonce"), last(&passed, "/v1/renew"));

    // One node dies. The balancer sends all requests to the other, and the machine does not notice.
    first.stop();
    *nodes.lock().unwrap() = vec![second.url.clone(), second.url.clone()];
    let before = certificate();
    renew(&machine, &["--all"]).ok();
    assert_ne!(certificate(), before);

    // Revoked at the remaining node. The other node knows it as soon as it is back.
    second.run(&["device", "revoke", "1"]);
    first.serve();
    *nodes.lock().unwrap() = vec![first.url.clone(), first.url.clone()];
    let said = renew(&machine, &[]).ok();
    assert!(said.ends_with("of revoked keys is in place\n"), "{said}");
    assert_eq!(renew(&machine, &["--all"]).code, Some(8));
}

#[test]
fn a_person_who_is_revoked_at_one_node_is_refused_by_sshd() {
    let database = Postgres::start();
    let [first, second] = Authority::pair(&database);
    let nodes = Arc::new(Mutex::new(vec![first.url.clone(), second.url.clone()]));
    let (between, passed) = Between::in_turn(&nodes);
    let program = Program::with_tpm(Swtpm::manufactured());
    program.init("work");
    program.keygen("first");
    let token = second.token("user", "anna");
    enrol(&program, &between.url, &["--join-token", &token]).ok();
    let [begun, finished] =
        ["/v1/enroll/begin", "/v1/enroll/finish"].map(|path| last(&passed, path));
    assert_ne!(begun, finished, "{passed:?}");
    let agent = Served::start(&program);
    program.run(&["unlock", "--pin-file", &program.pin]).ok();
    let before = certificates(&program);
    program.run(&["renew", "--all"]).ok();
    assert_ne!(certificates(&program), before);

    let sshd = server(&program, &first);
    let logs_in = || {
        let options = ["-o", "IdentitiesOnly=no"];
        let output = sshd.run(&program.home, &agent.env(), &options, "echo in");
        output.stdout == b"in\n"
    };
    assert!(logs_in(), "{}{}", sshd.log(), agent.log());
    second.run(&["device", "revoke", "1", "--reason", "stolen"]);
    // The list of the other node has the key.
    let revoked = text(program.home.path().join("revoked"));
    first.run(&["krl", "publish", "-o", &revoked]);
    assert!(!logs_in(), "sshd has the list");
    assert_eq!(program.run(&["renew", "--all"]).code, Some(8));
}
