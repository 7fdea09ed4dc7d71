//! Names of hosts: each belongs to one machine, at the first certificate and at every later one.

use crate::node::{Node, host};
use crate::software_tpm::SoftwareTpm;

const TWO: &str = "principals = [\"{name}\", \"www.example.com\"]\nttl = \"24h\"";
const ONE: &str = "principals = [\"{name}\"]\nttl = \"24h\"";

fn taken() -> (u16, String, String) {
    let why = "another machine has one of these names";
    (409, "name-taken".to_owned(), why.to_owned())
}

/// Another machine with a token for the same name.
fn rival(node: &Node, name: &str) -> SoftwareTpm {
    host(name, &node.token("host", name))
}

#[test]
fn a_key_that_was_approved_has_the_names_of_the_one_before_at_once() {
    let node = Node::start();
    let old = node.host("web1");
    let mut new = host("web1", "");
    new.ek = old.ek.clone();
    assert_eq!(node.enrol(&new).status, 202);
    node.ok(&["device", "approve", "2"]);
    assert_eq!(node.enrol(&rival(&node, "web1")).refused(), taken());
    node.renew(&new).certificate();
    assert_eq!(node.enrol(&rival(&node, "web1")).refused(), taken());
    node.renew(&new).certificate();
}

#[test]
fn the_first_certificate_after_an_approval_takes_the_name_or_is_refused() {
    let node = Node::start_with("first = \"auto\"", "first = \"approve\"");
    let (first, second) = (rival(&node, "web1"), rival(&node, "web1"));
    for (tpm, number) in [(&first, "1"), (&second, "2")] {
        assert_eq!(node.enrol(tpm).status, 202);
        node.ok(&["device", "approve", number]);
    }
    node.renew(&first).certificate();
    assert_eq!(node.renew(&second).refused(), taken());
    assert_eq!(node.enrol(&second).refused(), taken());
    node.renew(&first).certificate();
    assert_eq!(node.rows("issued"), 2);
}

#[test]
fn a_renewal_takes_no_name_of_another_host() {
    let node = Node::start_with(ONE, TWO);
    let mut first = node.host("web1");
    let mut second = rival(&node, "web2");
    second.principals.push("www.example.com".to_owned());
    node.enrol(&second).certificate();
    first.principals.push("www.example.com".to_owned());
    assert_eq!(node.renew(&first).refused(), taken());
    assert_eq!(node.enrol(&first).refused(), taken());
    first.principals.pop();
    node.renew(&first).certificate();
}

/// A certificate with the name may still be valid.
#[test]
fn a_name_stays_reserved_if_the_host_later_asks_for_fewer_names() {
    let node = Node::start_with(ONE, TWO);
    let mut first = node.host("web1");
    first.principals.push("www.example.com".to_owned());
    node.renew(&first).certificate();
    first.principals.pop();
    node.enrol(&first).certificate();
    let mut second = rival(&node, "web2");
    second.principals.push("www.example.com".to_owned());
    assert_eq!(node.enrol(&second).refused(), taken());
    // The name also stays reserved when the machine changes its key.
    let mut new = rival(&node, "web1");
    new.ek = first.ek.clone();
    node.enrol(&new).certificate();
    assert_eq!(node.enrol(&second).refused(), taken());
    node.ok(&["device", "revoke", "1"]);
    node.enrol(&second).certificate();
}

#[test]
fn a_name_that_is_asked_for_twice_is_no_name_of_another_machine() {
    let node = Node::start();
    let mut tpm = rival(&node, "web1");
    tpm.principals.push("web1".to_owned());
    node.enrol(&tpm).certificate();
    node.renew(&tpm).certificate();
}
