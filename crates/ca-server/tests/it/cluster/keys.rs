//! A key for each node.

use ssh_format::AnyKey;
use testing::Postgres;

use super::node;
use crate::keys::signed_list;
use crate::node::{Node, wait};

fn key(node: &Node, name: &str) -> AnyKey {
    let line = std::fs::read_to_string(node.at(name)).unwrap();
    AnyKey::from_line(line.trim()).unwrap().0
}

/// A second node of the same authority, with keys of its own.
fn with_its_own_keys(first: &Node, database: &Postgres) -> Node {
    let mut node = Node::initialised_with(&["--database", &database.url("node", "postgres")]);
    std::fs::copy(first.own("ticket-keys"), node.own("ticket-keys")).unwrap();
    node.serve();
    node
}

#[test]
fn each_node_has_its_key_and_a_lost_one_is_retired_at_another() {
    let database = Postgres::start();
    let first = node(&database);
    let second = with_its_own_keys(&first, &database);
    let tpm = first.host("web1");
    assert_eq!(
        second.renew(&tpm).certificate().authority(),
        &key(&second, "host.pub")
    );
    // All keys are published at each node, some seconds later at most.
    let all = |node: &Node| signed_list(&node.get("/v1/ca-keys")).0;
    wait(|| all(&first).matches("\nhost ").count() == 2);
    let without_time = |list: String| {
        let lines = list.lines().filter(|it| !it.starts_with("made "));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(without_time(all(&first)), without_time(all(&second)));
    assert_eq!(
        signed_list(&first.get("/v1/ca-keys")).1,
        [key(&first, "host.pub")]
    );

    // The second one is stolen: its keys are 3 and 4.
    for id in ["3", "4"] {
        first.ok(&["ca", "retire", id]);
    }
    assert_eq!(all(&first).matches("\nhost ").count(), 1);
    let krl = ssh_format::Krl::from_bytes(&first.get("/v1/krl").body).unwrap();
    assert!(
        krl.revokes_key(&key(&second, "host.pub")) && krl.revokes_key(&key(&second, "user.pub"))
    );
    assert!(!krl.revokes_certificate(&first.renew(&tpm).certificate()));
    // It is told so itself, if it still asks the database.
    wait(|| second.renew(&tpm).status == 503);
    assert_eq!(second.get("/v1/krl").status, 503);
}
