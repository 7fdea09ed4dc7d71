//! A registry is restored from a backup, while machines and servers have newer certificates and lists.

use std::fs;
use std::process::Command;

use testing::Postgres;

use crate::cluster;
use crate::keys::another_key;
use crate::node::{Node, host, shown, ssh_key};
use crate::software_tpm::{SoftwareTpm, ek_name};

/// The kind of registry, and how it is backed up and restored.
enum Place {
    File,
    Database(Postgres),
}

impl Place {
    /// Makes a backup. The node has to be stopped.
    fn dump(&self, node: &Node) -> Vec<u8> {
        match self {
            Self::File => fs::read(node.own("registry.db")).unwrap(),
            Self::Database(database) => database.dump("postgres"),
        }
    }

    fn restore(&self, node: &Node, backup: &[u8]) {
        match self {
            Self::File => {
                for name in ["registry.db-wal", "registry.db-shm"] {
                    let _ = fs::remove_file(node.own(name));
                }
                fs::write(node.own("registry.db"), backup).unwrap();
            }
            Self::Database(database) => {
                let empty = "DROP SCHEMA public CASCADE; CREATE SCHEMA public";
                let _ = database.sql("postgres", empty);
                let file = node.at("dump.sql");
                fs::write(&file, backup).unwrap();
                crate::node::run(database.psql("postgres").arg("-f").arg(&file));
            }
        }
    }
}

#[test]
fn a_file_from_a_backup_is_made_safe_before_a_node_uses_it() {
    before_and_after(Node::start(), &Place::File);
}

#[test]
fn a_database_from_a_backup_is_made_safe_before_a_node_uses_it() {
    let database = Postgres::start();
    before_and_after(cluster::node(&database), &Place::Database(database));
}

/// The number of the list of revoked keys, and whether the list has the key of a machine.
fn list(node: &Node, of: &SoftwareTpm) -> (u64, bool) {
    let answer = node.get("/v1/krl");
    let number = answer.head.split("etag: \"").nth(1).unwrap();
    let number = number.split('"').next().unwrap().parse().unwrap();
    let (list, key) = (node.at("krl"), node.at("key.pub"));
    fs::write(&list, &answer.body).unwrap();
    fs::write(&key, ssh_key(of).line("") + "\n").unwrap();
    let mut ask = Command::new("ssh-keygen");
    let output = ask.arg("-Qf").arg(list).arg(key).output().unwrap();
    (number, shown(&output).0 == 1)
}

/// The message of a node that does not start.
fn does_not_start(node: &Node) -> String {
    let mut command = Command::new("timeout");
    command.args(["20", env!("CARGO_BIN_EXE_tpmssh-ca"), "--dir"]);
    let (code, _, said) = shown(&command.arg(node.at("ca")).arg("serve").output().unwrap());
    assert_eq!(code, 1, "{said}");
    said
}

fn before_and_after(mut node: Node, place: &Place) {
    let (kept, stolen, moved) = (node.host("web1"), node.host("web2"), node.host("web6"));
    let token = node.token("host", "web3");
    let ca = another_key(&node, "second", false)
        .fingerprint()
        .to_string();
    let path = node.at("second.pub");
    node.ok(&["ca", "add", "--host", path.to_str().unwrap()]);
    assert_eq!(node.terminate(), Some(0));
    let backup = place.dump(&node);
    node.serve();

    // The hour after the backup: a token is used; two machines are stolen, one of them new; another machine is new; and one machine
    // gets a new key.
    let new_and_stolen = host("web3", &token);
    node.enrol(&new_and_stolen).certificate();
    let new = node.host("web4");
    node.renew(&kept).certificate();
    let mut with_new_key = host("web6", &node.token("host", "web6"));
    with_new_key.ek = moved.ek.clone();
    node.enrol(&with_new_key).certificate();
    for device in ["2", "4"] {
        node.ok(&["device", "revoke", device, "--reason", "stolen"]);
    }
    node.ok(&["ca", "retire", "3"]);
    let (number, is_listed) = list(&node, &stolen);
    assert!(is_listed);
    let waiting = node.token("host", "web5");
    assert_eq!(node.terminate(), Some(0));
    place.restore(&node, &backup);

    let said = does_not_start(&node);
    let older = format!(
        "tpmssh-ca: the registry is older than the audit log, which has the revocation of TPM {} of 20",
        ek_name(&new_and_stolen)
    );
    assert!(said.starts_with(&older), "{said}");
    let hint = " UTC: after a restore, stop all nodes and run tpmssh-ca database restored\n";
    assert!(said.ends_with(hint), "{said}");
    let said = node.ok(&["database", "restored"]);
    let mut lines = said.lines();
    let first = lines.next().unwrap();
    // In the backup, the token of web3 is valid again, and that of web5 does not exist.
    let says = "revoked again: 2 machines; join tokens ended: 1; the next list of revoked keys has a number above ";
    assert!(first.starts_with(says), "{said}");
    let rest: Vec<&str> = lines.collect();
    let expected = [
        format!("revoked: TPM {}", ek_name(&stolen)),
        format!("revoked: TPM {}", ek_name(&new_and_stolen)),
        format!(
            "revoked by its fingerprint, for the registry does not know it: key {}",
            ssh_key(&new_and_stolen).fingerprint()
        ),
        format!("retired again: key 3 of the authority, {ca}"),
        "4 certificates of the time after the backup are not in the registry; each is good until it ends by itself".to_owned(),
    ];
    assert_eq!(rest[..5], expected, "{said}");
    let lost = [
        ("web3", &new_and_stolen),
        ("web4", &new),
        ("web6", &with_new_key),
    ];
    let mut again = lost.map(|(name, tpm)| {
        let ek = ek_name(tpm);
        let line = format!("has to enrol again, with a new join token: host {name}, TPM {ek}");
        (ek.to_string(), line)
    });
    again.sort();
    // The revoked machine cannot enrol again.
    let again: Vec<String> = again
        .into_iter()
        .map(|(_, line)| line)
        .filter(|it| !it.contains("web3"))
        .collect();
    assert_eq!(rest[5..], again, "{said}");

    node.serve();
    let keys: serde_json::Value =
        serde_json::from_str(&node.ok(&["ca", "list", "--json"])).unwrap();
    assert_eq!(keys["keys"][2]["state"], "retired", "{keys}");
    let (after, is_listed) = list(&node, &stolen);
    assert!(after > number && is_listed, "{after} {number}");
    assert!(list(&node, &new_and_stolen).1, "its key was in no backup");
    node.renew(&kept).certificate();
    assert_eq!(node.renew(&stolen).refused().0, 410);
    assert_eq!(node.begin(&new_and_stolen).refused().1, "V3");
    for token in [&token, &waiting] {
        let anybody = host("web3", token);
        assert_eq!(node.begin(&anybody).refused().1, "join-token");
    }
    assert_eq!(node.renew(&new).refused().0, 410);
    assert_eq!(node.renew(&with_new_key).refused().0, 410);
    let mut comes_again = new;
    comes_again.identity = key_proof::Identity::Join(node.token("host", "web4"));
    node.enrol(&comes_again).certificate();

    // The node starts now. A second restore on the same day leads to a still higher number.
    assert_eq!(node.terminate(), Some(0));
    place.restore(&node, &backup);
    let said = does_not_start(&node);
    assert!(said.contains("which has certificate "), "{said}");
    // The new number depends on the time in seconds.
    std::thread::sleep(std::time::Duration::from_secs(1));
    node.ok(&["database", "restored"]);
    node.serve();
    assert!(list(&node, &stolen).0 > after);
    let runs = node.run(&["database", "restored"]);
    let why = format!(
        "tpmssh-ca: another node runs here: {}\n",
        node.own("admin.sock").display()
    );
    assert_eq!(runs, (1, String::new(), why));
    let said = node.ok(&["audit", "verify"]);
    assert!(said.contains(" lines, each follows"), "{said}");
}

/// Each node has an audit log of its own, from which `database restored` repeats the revocations.
#[test]
fn each_node_brings_its_own_revocations_back() {
    let database = Postgres::start();
    let mut first = cluster::node(&database);
    let mut second = cluster::second(&first, &database);
    let place = Place::Database(database);
    let (web1, web2) = (first.host("web1"), second.host("web2"));
    let backup = place.dump(&first);
    // The log of the second node has only the revocation of this machine.
    let tpms = [web1, web2, first.host("web3")];
    first.ok(&["device", "revoke", "1"]);
    second.ok(&["device", "revoke", "2"]);
    second.ok(&["device", "revoke", "3"]);
    for node in [&mut first, &mut second] {
        assert_eq!(node.terminate(), Some(0));
    }
    place.restore(&first, &backup);
    let (mut nodes, mut known) = ([first, second], Vec::new());
    for node in &nodes {
        assert!(does_not_start(node).contains("which has the revocation of TPM"));
        let json: serde_json::Value =
            serde_json::from_str(&node.ok(&["database", "restored", "--json"])).unwrap();
        known.push(json["revoked"].as_array().unwrap().len());
    }
    assert_eq!(known, [1, 2]);
    nodes.iter_mut().for_each(Node::serve);
    for tpm in &tpms {
        for node in &nodes {
            assert_eq!(node.renew(tpm).refused().0, 410);
            assert!(list(node, tpm).1);
        }
    }
}

/// No certificate was issued and nothing was revoked since the backup.
#[test]
fn a_withdrawn_token_and_a_key_that_waits_show_a_backup_as_well() {
    let (mut node, place) = (Node::start(), Place::File);
    let known = node.host("web1");
    let _ = node.token("host", "web2");
    let lost = |node: &mut Node, act: &dyn Fn(&Node) -> String| {
        assert_eq!(node.terminate(), Some(0));
        let backup = place.dump(node);
        node.serve();
        let says = act(node);
        assert_eq!(node.terminate(), Some(0));
        // Unchanged, the registry has everything in the log.
        node.serve();
        assert_eq!(node.terminate(), Some(0));
        place.restore(node, &backup);
        let said = does_not_start(node);
        assert!(said.contains(&says), "{said}");
        node.ok(&["database", "restored"]);
        node.serve();
    };
    lost(&mut node, &|node| {
        let json = node.ok(&["join-token", "list", "--json"]);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let token = json[0]["id"].as_str().unwrap();
        node.ok(&["join-token", "revoke", token]);
        format!("which has the withdrawal of join token {token} of 20")
    });
    lost(&mut node, &|node| {
        let mut new = host("web1", "");
        new.ek = known.ek.clone();
        assert_eq!(node.enrol(&new).status, 202);
        let ek = ek_name(&known);
        format!("which has a key that waits for approval, of TPM {ek} of 20")
    });
}
