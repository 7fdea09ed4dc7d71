//! The policy has become stricter since a machine got its first certificate.

use crate::der::{Authority, Draft, authority, ek_usage, maker, usage};
use crate::node::{Node, host, write};

const D: &str = "mode = \"D\"";
const B: &str = "mode = \"B\"";

/// A line of the policy with a maker's certificate that does not vouch for the chips of these tests.
fn roots(node: &Node) -> String {
    let mut command = std::process::Command::new("openssl");
    command.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
    ]);
    command.args(["-nodes", "-subj", "/CN=Maker", "-days", "2", "-keyout"]);
    command.arg(node.at("maker.key")).arg("-out");
    crate::node::run(command.arg(node.at("maker.pem")));
    format!("roots = [{:?}]", node.at("maker.pem"))
}

#[test]
fn a_machine_whose_chip_nobody_vouches_for_does_not_renew_for_ever() {
    let mut node = Node::start();
    let tpm = node.host("web1");
    node.restart_with(D, "mode = \"D\"  # again");
    node.renew(&tpm).certificate();
    for mode in ["A", "C"] {
        let from = std::fs::read_to_string(node.own("policy.toml")).unwrap();
        assert_eq!(node.terminate(), Some(0));
        if from.contains("roots = []") {
            node.change_policy("roots = []", &roots(&node));
        }
        let was = if mode == "A" {
            "mode = \"D\""
        } else {
            "mode = \"A\""
        };
        node.change_policy(was, &format!("mode = \"{mode}\""));
        node.serve();
        let refused = node.renew(&tpm).refused();
        assert_eq!(
            (refused.0, refused.1.as_str()),
            (410, "enrol-again"),
            "{mode}"
        );
        assert_eq!(node.begin(&tpm).status, 403);
    }
    assert_eq!(node.rows("issued"), 2);
}

/// If a root is no longer trusted, or a maker no longer accepted, its machines cannot renew.
#[test]
fn a_machine_whose_maker_is_trusted_no_more_does_not_renew() {
    let mut node = Node::initialised();
    let leaf = Draft::new(
        "TPM",
        vec![authority(false, None), ek_usage(), maker(), usage(0x08)],
    );
    let mut machines = Vec::new();
    for name in ["web1", "web2"] {
        let root = Authority::root(name);
        write(&node.at(name), &root.der);
        let mut tpm = host(name, "");
        tpm.certificate = Some(root.certify(&leaf, &tpm.ek.key));
        machines.push(tpm);
    }
    let (one, other) = (node.at("web1"), node.at("web2"));
    let (both, first) = (
        format!("roots = [{one:?}, {other:?}]"),
        format!("roots = [{one:?}]"),
    );
    node.change_policy("roots = []", &both);
    node.change_policy(D, "mode = \"C\"");
    node.serve();
    for (tpm, name) in machines.iter_mut().zip(["web1", "web2"]) {
        tpm.identity = key_proof::Identity::Join(node.token("host", name));
        node.enrol(tpm).certificate();
        node.renew(tpm).certificate();
    }
    node.restart_with(&both, &first);
    node.renew(&machines[0]).certificate();
    let refused = node.renew(&machines[1]).refused();
    assert_eq!((refused.0, refused.1.as_str()), (410, "enrol-again"));
    assert_eq!(node.begin(&machines[1]).refused().1, "V1");
    let (all, infineon) = ("manufacturers = []", "manufacturers = [\"IFX\"]");
    node.restart_with(all, infineon);
    assert_eq!(node.renew(&machines[0]).refused().0, 410);
    node.restart_with(infineon, "manufacturers = [\"NTC\"]");
    node.renew(&machines[0]).certificate();
    assert_eq!(node.renew(&machines[1]).refused().0, 410);
    // The machine can renew again when its root is trusted again.
    node.restart_with(&first, &both);
    node.renew(&machines[1]).certificate();
}

/// The machine is told to enrol again and does so. Its next renewal succeeds, so it is not told again.
#[test]
fn a_machine_that_is_imported_later_enrols_once_more_and_renews() {
    let mut node = Node::start();
    let tpm = node.host("web1");
    node.restart_with(D, B);
    assert_eq!(node.renew(&tpm).refused().0, 410);
    // An earlier join token, and the assignment that it made, do not count as an import.
    let not_expected = "this TPM is not one of those that are expected";
    assert_eq!(node.begin(&tpm).refused().2, not_expected);
    let again = host("web1", "");
    let mut known = host("web1", "");
    known.ek = tpm.ek.clone();
    for one in [&again, &known] {
        assert_eq!(node.begin(one).refused().2, not_expected);
    }
    node.import(&tpm, "web1");
    let certificate = node.enrol(&tpm).certificate();
    assert!(
        certificate.key_id().contains("mode=B"),
        "{}",
        certificate.key_id()
    );
    let certificate = node.renew(&tpm).certificate();
    assert!(
        certificate.key_id().contains("mode=B"),
        "{}",
        certificate.key_id()
    );
}

/// An import is an approval: a waiting machine that is imported needs no other.
#[test]
fn a_machine_that_waits_and_is_imported_waits_no_more() {
    let node = Node::start_with("first = \"auto\"", "first = \"approve\"");
    let tpm = host("web1", &node.token("host", "web1"));
    assert_eq!(node.enrol(&tpm).status, 202);
    node.import(&tpm, "web1");
    node.enrol(&tpm).certificate();
}

/// A key with two roles renews in each of them, and only with the names of that role.
#[test]
fn a_key_with_two_roles_renews_both() {
    let mut node = Node::initialised();
    let path = node.own("policy.toml");
    let policy = std::fs::read_to_string(&path).unwrap();
    let www = "[role.www]\nkind = \"host\"\nmode = \"D\"\nprincipals = [\"www.{name}\"]\n\
               ttl = \"1h\"\nfirst = \"auto\"\n";
    write(&path, format!("{policy}\n{www}").as_bytes());
    node.serve();
    let mut tpm = node.host("web1");
    let mut www = tpm_with(&tpm, &node.token("www", "web1"));
    www.principals = vec!["www.web1".to_owned()];
    node.enrol(&www).certificate();
    for (names, role) in [(["web1"], "role=host"), (["www.web1"], "role=www")] {
        tpm.principals = names.map(str::to_owned).to_vec();
        let certificate = node.renew(&tpm).certificate();
        assert!(
            certificate.key_id().contains(role),
            "{}",
            certificate.key_id()
        );
        assert_eq!(certificate.principals(), names);
    }
    tpm.principals = vec!["web1".to_owned(), "www.web1".to_owned()];
    assert_eq!(node.renew(&tpm).refused().1, "V6");
}

/// The same TPM with a join token.
fn tpm_with(
    tpm: &crate::software_tpm::SoftwareTpm,
    token: &str,
) -> crate::software_tpm::SoftwareTpm {
    let mut same = host("web1", token);
    same.ek = tpm.ek.clone();
    same.ak = tpm.ak.clone();
    same.srk = tpm.srk.clone();
    same.parent = tpm.parent.clone();
    same.key = tpm.key.clone();
    same
}
