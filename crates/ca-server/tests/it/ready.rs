//! Whether a node can certify.

use std::process::Command;

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
    let said = std::fs::read_to_string(node.at("stderr")).unwrap();
    let socket = node.at("agent");
    let says = format!(
        "tpmssh-ca: not ready, signer: the authority's key does not sign: the agent at {} does not answer: ",
        socket.display()
    );
    assert!(
        said.starts_with(&says) && said.lines().count() == 1,
        "{said}"
    );
    node.start_agent();
    wait(|| missing(&node).is_empty());
    // The agent is there, and one of the two keys is not.
    run(Command::new("ssh-add")
        .arg("-qd")
        .arg(node.at("user"))
        .env("SSH_AUTH_SOCK", &socket));
    wait(|| missing(&node) == "missing: signer");
}

/// As a key whose PIN is missing: the agent lists it, and does not sign.
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
    // The agent asks for each signature, and there is nobody to say yes.
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
