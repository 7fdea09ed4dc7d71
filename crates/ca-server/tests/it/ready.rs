//! `/readyz`: whether a node can issue certificates.

use std::os::unix::net::UnixListener;
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use crate::node::{Node, run, wait};

fn missing(node: &Node) -> String {
    let answer = node.get("/readyz");
    assert_eq!(node.get("/healthz").status, 200, "it is alive");
    if answer.status == 200 {
        assert_eq!(answer.body, b"{\"status\":\"ready\"}\n");
        return String::new();
    }
    assert!(answer.head.contains("retry-after: 5"), "{}", answer.head);
    let (status, code, detail) = answer.refused();
    assert_eq!((status, code.as_str()), (503, "not-ready"));
    detail
}

#[test]
fn a_node_without_its_agent_is_not_ready_and_says_why() {
    let mut node = Node::start();
    assert_eq!(missing(&node), "");
    node.stop_agent();
    wait(|| missing(&node) == "missing: signer");
    let socket = node.at("agent");
    let says = format!(
        "tpmssh-ca: not ready, signer: the authority's key does not sign: the agent at {} does not answer: ",
        socket.display()
    );
    node.wait_until_printed(&says);
    let said = node.printed();
    assert!(
        said.starts_with(&says) && said.lines().count() == 1,
        "{said}"
    );
    node.start_agent();
    wait(|| missing(&node).is_empty());
    // The agent answers, but lacks one of the two keys.
    run(Command::new("ssh-add")
        .arg("-qd")
        .arg(node.at("user"))
        .env("SSH_AUTH_SOCK", &socket));
    wait(|| missing(&node) == "missing: signer");
}

/// The agent lists the key but does not sign with it, like a key whose PIN is missing.
#[test]
fn a_node_whose_key_is_there_and_does_not_sign_is_not_ready_until_it_does() {
    let node = Node::start();
    let tpm = node.host("web1");
    let add = |options: &[&str]| {
        let agent = ("SSH_AUTH_SOCK", node.at("agent"));
        let add = || {
            let mut command = Command::new("ssh-add");
            command.env(agent.0, &agent.1);
            command
        };
        run(add().arg("-qD"));
        for key in ["user", "host"] {
            run(add().arg("-q").args(options).arg(node.at(key)));
        }
    };
    // The agent asks for confirmation of each signature, and nobody confirms.
    add(&["-c"]);
    assert_eq!(node.renew(&tpm).status, 503);
    wait(|| missing(&node) == "missing: signer");
    add(&[]);
    wait(|| missing(&node).is_empty());
    node.renew(&tpm).certificate();
}

#[test]
fn a_node_that_cannot_write_its_registry_is_not_ready() {
    let node = Node::start();
    let other = rusqlite::Connection::open(node.own("registry.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(missing(&node), "missing: registry");
    other.execute_batch("ROLLBACK").unwrap();
    wait(|| missing(&node).is_empty());
}

/// Nobody confirms signatures with the key for users. So the node is not ready, although hosts get certificates.
#[test]
fn each_of_the_two_keys_has_to_sign() {
    let node = Node::start();
    let agent = node.at("agent");
    let add = |options: &[&str], key: &str| {
        let mut command = Command::new("ssh-add");
        command.env("SSH_AUTH_SOCK", &agent);
        run(command.arg("-q").args(options).arg(node.at(key)));
    };
    add(&["-d"], "user");
    add(&["-c"], "user");
    let tpm = node.host("web1");
    assert_eq!(missing(&node), "missing: signer");
    node.renew(&tpm).certificate();
    // Longer than an answer is reused.
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(800));
        node.renew(&tpm).certificate();
        assert_eq!(missing(&node), "missing: signer");
    }
}

/// The agent reads each request and answers none. While one request waits for it, the others get the previous answer.
#[test]
fn a_hanging_agent_keeps_one_request_waiting_and_no_other() {
    let mut node = Node::start();
    node.host("web1");
    assert_eq!(missing(&node), "");
    let list = node.get("/v1/krl");
    assert_eq!(list.status, 200);
    node.stop_agent();
    let socket = node.at("agent");
    let _ = std::fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket).unwrap();
    let (asked, was_asked) = mpsc::channel();
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for stream in listener.incoming() {
            held.push(stream);
            let _ = asked.send(());
        }
    });
    let was_asked = || was_asked.recv_timeout(Duration::from_secs(60)).unwrap();
    std::thread::scope(|scope| {
        let node = &node;
        let revoke = scope.spawn(|| node.run(&["device", "revoke", "1"]));
        was_asked();
        let now = node.get("/v1/krl");
        assert_eq!((now.status, &now.body), (200, &list.body));
        // An answer is reused for two seconds.
        std::thread::sleep(Duration::from_millis(2100));
        let slow = scope.spawn(|| node.get("/readyz").status);
        was_asked();
        assert_eq!(missing(node), "");
        // The node waits ten seconds for the agent.
        assert_eq!(slow.join().unwrap(), 503);
        let (code, _, said) = revoke.join().unwrap();
        let says = "device 1 is revoked, but the list of revoked keys cannot be made now";
        assert!(code == 1 && said.contains(says), "{said}");
    });
    assert_eq!(missing(&node), "missing: signer");
    node.start_agent();
    wait(|| missing(&node).is_empty());
    assert_ne!(node.get("/v1/krl").body, list.body);
}
