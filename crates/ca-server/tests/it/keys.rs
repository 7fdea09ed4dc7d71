//! The authority's own keys: published, listed, signed and retired.

use std::fs;
use std::process::Command;

use serde_json::Value;
use ssh_format::{AnyKey, SshSig};

use crate::node::{Answer, Node, run, shown, write};

fn key(node: &Node, name: &str) -> AnyKey {
    let line = fs::read_to_string(node.at(name)).unwrap();
    AnyKey::from_line(line.trim()).unwrap().0
}

/// Makes a key pair that the agent of the node gets if `in_agent`.
pub(crate) fn another_key(node: &Node, name: &str, in_agent: bool) -> AnyKey {
    run(Command::new("ssh-keygen")
        .args(["-q", "-t", "ecdsa", "-N", "", "-f"])
        .arg(node.at(name)));
    if in_agent {
        run(Command::new("ssh-add")
            .arg("-q")
            .arg(node.at(name))
            .env("SSH_AUTH_SOCK", node.at("agent")));
    }
    key(node, &format!("{name}.pub"))
}

/// The list in an answer, and the keys that signed it.
pub(crate) fn signed_list(answer: &Answer) -> (String, Vec<AnyKey>) {
    let json = answer.json();
    let list = json["list"].as_str().unwrap().to_owned();
    let signer = |it: &Value| {
        let signature = SshSig::from_armored(it.as_str().unwrap()).unwrap();
        let digest = signature.hash().of(list.as_bytes()).unwrap();
        assert!(signature.verify("ca-keys@tpmssh", &digest).is_ok());
        signature.signer().key().clone()
    };
    let signers = json["signatures"].as_array().unwrap();
    let signers = signers.iter().map(signer).collect();
    (list, signers)
}

#[test]
fn the_list_of_keys_is_signed_by_each_host_key_that_the_node_can_use() {
    let mut node = Node::start();
    let first = node.get("/v1/ca-keys");
    let (list, signers) = signed_list(&first);
    let (user, host) = (key(&node, "user.pub"), key(&node, "host.pub"));
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!(
        lines[..2],
        ["tpmssh-ca-keys-v1", "audience https://ca.example/"]
    );
    assert_eq!(lines[2], "number 2");
    assert!(lines[3].starts_with("made "), "{list}");
    let keys = [
        format!("user {}", user.line("").trim_end()),
        format!("host {}", host.line("").trim_end()),
    ];
    assert_eq!(lines[4..], keys);
    assert_eq!(signers, std::slice::from_ref(&host));
    // The list is signed only once for many requests, and not sent to a client that has it.
    node.stop_agent();
    assert_eq!(node.get("/v1/ca-keys").body, first.body);
    assert!(first.head.contains("etag: \"2\""), "{}", first.head);
    let same = node.ask("GET", "/v1/ca-keys", "If-None-Match: \"2\"\r\n", b"");
    assert_eq!((same.status, same.body.len()), (304, 0));

    node.start_agent();
    let (here, away) = (
        another_key(&node, "here", true),
        another_key(&node, "away", false),
    );
    for name in ["here.pub", "away.pub"] {
        node.ok(&["ca", "add", "--host", node.at(name).to_str().unwrap()]);
    }
    let (list, signers) = signed_list(&node.get("/v1/ca-keys"));
    assert!(list.contains("\nnumber 4\n"), "{list}");
    for key in [&here, &away] {
        assert!(list.contains(&format!("\nhost {}\n", key.line("").trim_end())));
    }
    assert_eq!(signers, [host, here]);
    // The answer with a certificate has the same keys.
    let tpm = node.host("web1");
    let json = node.renew(&tpm).json();
    assert_eq!(json["ca_keys"]["number"], 4);
    let lengths = ["users", "hosts"].map(|it| json["ca_keys"][it].as_array().unwrap().len());
    assert_eq!(lengths, [1, 3]);
    assert!(json["krl_number"].is_u64(), "{json}");
}

#[test]
fn a_key_is_added_and_retired_with_warnings() {
    let node = Node::start();
    let new = another_key(&node, "new", false);
    let path = node.at("new.pub");
    let add = |kind: &str| node.run(&["ca", "add", kind, path.to_str().unwrap()]);
    let said = "key 3 for hosts is published: machines trust it after they have asked again\n";
    assert_eq!(add("--host"), (0, said.to_owned(), String::new()));
    assert_eq!(add("--host").1, said, "again");
    let (code, _, said) = add("--user");
    let other_kind = format!(
        "tpmssh-ca: the key in {} is not published: the authority's key does not sign: it is known as the key that certifies a host\n",
        path.display()
    );
    assert_eq!((code, said), (1, other_kind));
    let (code, _, said) = node.run(&[
        "ca",
        "add",
        "--host",
        node.own("policy.toml").to_str().unwrap(),
    ]);
    assert_eq!(code, 1);
    assert!(said.contains("policy.toml is not published: "), "{said}");

    let list = node.ok(&["ca", "list"]);
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!(lines.len(), 4, "{list}");
    assert!(
        lines[0].starts_with("key  for    state   in     node"),
        "{list}"
    );
    assert!(
        lines[1].starts_with("1    users  active  agent  "),
        "{list}"
    );
    assert!(lines[1].contains(" (this node)  SHA256:"), "{list}");
    assert!(
        lines[3].starts_with("3    hosts  active  -      -"),
        "{list}"
    );
    let json: Value = serde_json::from_str(&node.ok(&["ca", "list", "--json"])).unwrap();
    assert_eq!(json["number"], 3);
    assert_eq!(
        json["keys"][2]["fingerprint"],
        new.fingerprint().to_string()
    );

    let retire = |args: &[&str]| node.run(&[&["ca", "retire"], args].concat());
    for (args, why) in [
        (&["9"][..], "there is no key 9"),
        (
            &["2"],
            "this node signs with key 2: give it another one first (policy.toml, then restart it); with --force it is retired now, and this node signs nothing until then",
        ),
    ] {
        assert_eq!(
            retire(args),
            (1, String::new(), format!("tpmssh-ca: {why}\n"))
        );
    }
    let said = "retired: list 1 of revoked keys has key 3\n\
                every certificate of a host that it has signed is refused from then on: they renew (tpmssh renew, tpmssh host renew --all)\n";
    assert_eq!(retire(&["3"]), (0, said.to_owned(), String::new()));
    let why = "tpmssh-ca: key 3 is retired already\n";
    assert_eq!(retire(&["3"]).2, why);
    assert!(add("--host").2.ends_with("it is retired, for good\n"));
    let (list, _) = signed_list(&node.get("/v1/ca-keys"));
    assert!(
        list.contains("\nnumber 4\n") && list.matches("\nhost ").count() == 1,
        "{list}"
    );
    write(&node.at("krl"), &node.get("/v1/krl").body);
    let output = Command::new("ssh-keygen")
        .arg("-Qf")
        .args([node.at("krl"), path.clone()])
        .output();
    assert_eq!(shown(&output.unwrap()).0, 1, "it is revoked");
    let log = fs::read_to_string(node.own("audit.log")).unwrap();
    assert!(
        log.contains("\"ca-add\"") && log.contains("\"ca-retire\""),
        "{log}"
    );
}

/// A node whose key is retired issues nothing until it has another key.
#[test]
fn with_a_key_that_is_retired_a_node_signs_nothing() {
    let mut node = Node::start();
    let tpm = node.host("web1");
    let new = another_key(&node, "new", true);
    let path = node.at("new.pub");
    node.ok(&["ca", "add", "--host", path.to_str().unwrap()]);
    let said = node.ok(&["ca", "retire", "2", "--force"]);
    assert!(
        said.starts_with("retired: this node has no key any more"),
        "{said}"
    );
    for answer in [
        node.renew(&tpm),
        node.get("/v1/krl"),
        node.get("/v1/ca-keys"),
    ] {
        assert_eq!(answer.refused().0, 503);
    }
    assert_eq!(node.terminate(), Some(0));
    let (code, _, said) = node.run(&["serve"]);
    assert_eq!(code, 1);
    assert!(
        said.ends_with("the authority's key does not sign: it is retired, for good\n"),
        "{said}"
    );
    let old = key(&node, "host.pub");
    node.change_policy(old.line("").trim_end(), new.line("").trim_end());
    node.serve();
    let certificate = node.renew(&tpm).certificate();
    assert_eq!(certificate.authority(), &new);
    // The list revokes the old certificate.
    write(&node.at("krl"), &node.get("/v1/krl").body);
    let krl = ssh_format::Krl::from_bytes(&fs::read(node.at("krl")).unwrap()).unwrap();
    assert!(krl.revokes_key(&old) && !krl.revokes_certificate(&certificate));
}
