//! Revocation of stolen machines.

use std::process::Command;

use crate::node::{Node, host, shown, ssh_key, write};

#[test]
fn a_revoked_machine_gets_nothing_more_and_openssh_refuses_its_key() {
    let node = Node::start();
    let (stolen, other) = (node.host("web1"), node.host("web2"));
    let before = node.get("/v1/krl");
    let said = node.ok(&["device", "revoke", "1", "--reason", "stolen"]);
    assert_eq!(
        said,
        "revoked: list 2 of revoked keys has the keys of device 1\n"
    );
    assert_eq!(node.renew(&stolen).refused().0, 410);
    let not_expected = "this TPM is not one of those that are expected";
    assert_eq!(node.begin(&stolen).refused().2, not_expected);
    node.renew(&other).certificate();

    let list = node.get("/v1/krl");
    assert_ne!(list.body, before.body);
    let file = node.at("krl");
    write(&file, &list.body);
    for (tpm, code) in [(&stolen, 1), (&other, 0)] {
        let key = node.at("key.pub");
        write(&key, (ssh_key(tpm).line("") + "\n").as_bytes());
        let output = Command::new("ssh-keygen")
            .arg("-Qf")
            .arg(&file)
            .arg(&key)
            .output();
        assert_eq!(shown(&output.unwrap()).0, code);
    }
}

/// A revoked machine cannot enrol with another endorsement key of the same chip, nor its key with the endorsement key of another chip.
#[test]
fn a_revoked_machine_does_not_come_back_as_another_one() {
    let node = Node::start();
    let stolen = node.host("web1");
    node.ok(&["device", "revoke", "1"]);
    let token = node.token("host", "web9");
    let mut same_chip = host("web9", &token);
    same_chip.ak = stolen.ak.clone();
    same_chip.srk = stolen.srk.clone();
    assert_eq!(node.enrol(&same_chip).refused().1, "V3");
    let mut same_key = host("web9", &token);
    same_key.key = stolen.key.clone();
    assert_eq!(node.enrol(&same_key).refused().1, "V3");
    node.enrol(&host("web9", &token)).certificate();
}

/// A chip has two endorsement keys, and its key was enrolled with both of them, each time with a token.
#[test]
fn a_key_that_came_with_two_endorsement_keys_is_revoked_with_either() {
    let node = Node::start();
    let first = node.host("web1");
    let mut second = host("web2", &node.token("host", "web2"));
    second.key = first.key.clone();
    node.enrol(&second).certificate();
    node.renew(&second).certificate();
    node.ok(&["device", "revoke", "1"]);
    assert_eq!(node.renew(&second).refused().0, 410);
    assert_eq!(node.enrol(&second).refused().1, "V3");
    assert_eq!((node.rows("revocation"), node.rows("principal")), (1, 0));
}

#[test]
fn without_the_agent_a_machine_is_revoked_and_the_list_comes_later() {
    let mut node = Node::start();
    let tpm = node.host("web1");
    node.stop_agent();
    let (code, out, said) = node.run(&["device", "revoke", "1"]);
    assert_eq!((code, out.as_str()), (1, ""));
    let says = "tpmssh-ca: device 1 is revoked, but the list of revoked keys cannot be made now: \
                the authority's key does not sign: ";
    assert!(said.starts_with(says), "{said}");
    assert_eq!(node.renew(&tpm).refused().0, 410);
    node.start_agent();
    let file = node.at("krl");
    node.ok(&["krl", "publish", "-o", file.to_str().unwrap()]);
    assert_eq!(node.rows("revocation"), 1);
}

/// A stranger gets the same answer in both cases. The audit log has the real reason.
#[test]
fn a_stranger_cannot_tell_a_revoked_machine_from_an_unknown_one() {
    let mut node = Node::start();
    let revoked = node.host("web1");
    node.ok(&["device", "revoke", "1"]);
    for token in ["", "0123"] {
        let unknown = host("web1", token);
        let mut known = host("web1", token);
        known.ek = revoked.ek.clone();
        assert_eq!(node.begin(&known).refused(), node.begin(&unknown).refused());
        let mut proof = unknown.answer(&unknown.challenge());
        let answer = node.finish(&proof).refused();
        proof.request = known.request();
        assert_eq!(node.finish(&proof).refused(), answer);
    }
    // A client with a token is not a stranger, and a refused machine does not use up its token.
    let token = node.token("host", "web9");
    let mut known = host("web9", &token);
    known.ek = revoked.ek.clone();
    assert_eq!(node.begin(&known).refused().1, "V3");
    node.enrol(&host("web9", &token)).certificate();
    assert_eq!(node.terminate(), Some(0));
    let log = std::fs::read_to_string(node.own("audit.log")).unwrap();
    let ek = crate::software_tpm::ek_name(&revoked).to_string();
    let said = |line: &&str| line.contains("\"refused\"") && line.contains(&ek);
    let named: Vec<&str> = log.lines().filter(said).collect();
    assert_eq!(named.len(), 5, "{log}");
    assert!(
        named.iter().all(|it| it.contains("\"device\":\"revoked\"")),
        "{log}"
    );
}

#[test]
fn the_list_is_signed_numbered_and_not_sent_twice() {
    let mut node = Node::start();
    let list = node.get("/v1/krl");
    let header = |name: &str| {
        let start = format!("{name}: ");
        let line = list
            .head
            .lines()
            .find_map(|line| line.strip_prefix(start.as_str()));
        line.unwrap().to_owned()
    };
    assert_eq!(header("etag"), "\"1\"");
    let same = node.ask("GET", "/v1/krl", "If-None-Match: \"1\"\r\n", b"");
    assert_eq!((same.status, same.body.len()), (304, 0));
    let file = node.at("krl");
    let said = node.ok(&["krl", "publish", "-o", file.to_str().unwrap()]);
    assert_eq!(said, format!("list 1 is in {}\n", file.display()));
    assert_eq!(std::fs::read(&file).unwrap(), list.body);
    let signers = node.at("signers");
    let key = std::fs::read_to_string(node.at("host.pub")).unwrap();
    write(&signers, format!("ca {key}").as_bytes());
    let verify = |message: &[u8]| {
        write(&node.at("message"), message);
        let output = Command::new("ssh-keygen")
            .args(["-Y", "verify", "-I", "ca", "-n", "krl@tpmssh", "-f"])
            .arg(&signers)
            .arg("-s")
            .arg(node.at("krl.sig"))
            .stdin(std::fs::File::open(node.at("message")).unwrap())
            .output();
        output.unwrap().status.success()
    };
    assert!(verify(&list.body));
    let mut forged = list.body.clone();
    *forged.last_mut().unwrap() ^= 1;
    assert!(!verify(&forged));
    // The list is the same after a restart of the node.
    assert_eq!(node.terminate(), Some(0));
    node.serve();
    let same = node.get("/v1/krl");
    assert!(same.head.contains("etag: \"1\""));
    assert_eq!(same.body, list.body);
}
