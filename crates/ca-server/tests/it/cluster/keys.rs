//! Each node has keys of its own.

use std::io::Write;
use std::process::Stdio;

use ssh_format::AnyKey;
use testing::Postgres;

use super::{node, rows};
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
    // Each node publishes all keys, after some seconds at most.
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

    // The second node is stolen. Its keys are 3 and 4.
    for id in ["3", "4"] {
        first.ok(&["ca", "retire", id]);
    }
    assert_eq!(all(&first).matches("\nhost ").count(), 1);
    let krl = ssh_format::Krl::from_bytes(&first.get("/v1/krl").body).unwrap();
    assert!(
        krl.revokes_key(&key(&second, "host.pub")) && krl.revokes_key(&key(&second, "user.pub"))
    );
    assert!(!krl.revokes_certificate(&first.renew(&tpm).certificate()));
    // The stolen node stops as well, if it still asks the database.
    wait(|| second.renew(&tpm).status == 503);
    assert_eq!(second.get("/v1/krl").status, 503);
}

/// Two nodes have both read that there are two keys for hosts, and each retires one. Only SERIALIZABLE transactions detect that the other has
/// changed what was read. The test plays the first node.
#[test]
fn two_nodes_that_each_retire_one_of_two_keys_leave_one() {
    let database = Postgres::start();
    let first = node(&database);
    drop(with_its_own_keys(&first, &database));
    let mut psql = database.psql("postgres");
    let mut other = psql
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut says = other.stdin.take().unwrap();
    let begin = "BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT * FROM ca_key; \
                 UPDATE ca_key SET state = 'retired' WHERE kind = 'host' AND id < 3;\n";
    says.write_all(begin.as_bytes()).unwrap();
    let waits = "pg_stat_activity WHERE state = 'idle in transaction' AND usename = 'owner'";
    wait(|| rows(&database, waits) == 1);
    let here = first.run(&["ca", "retire", "4"]).0 == 0;
    says.write_all(b"COMMIT;\n").unwrap();
    drop(says);
    let there = other.wait().unwrap().success();
    assert!(here || there);
    let active = rows(&database, "ca_key WHERE kind = 'host' AND state = 'active'");
    assert_eq!((here && there, active), (false, 1), "{here} {there}");
}
