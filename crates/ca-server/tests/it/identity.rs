//! People who identify themselves with an SSH key that they have already.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use key_proof::{IDENTITY_NAMESPACE, Identity, Kind};

use crate::node::{Node, host, run};
use crate::software_tpm::SoftwareTpm;

/// A key of `ssh-keygen`.
struct Key(PathBuf);

impl Key {
    fn new(node: &Node, name: &str) -> Self {
        let path = node.at(name);
        let mut keygen = Command::new("ssh-keygen");
        run(keygen
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(&path));
        Self(path)
    }

    /// The public key, as a line.
    fn line(&self) -> String {
        let text = fs::read_to_string(self.0.with_extension("pub")).unwrap();
        text.trim().to_owned()
    }

    /// Adds an identity to the request of `tpm`: a signature for `namespace`.
    fn vouch_for(&self, tpm: &mut SoftwareTpm, namespace: &str) {
        tpm.identity = Identity::Ssh(signed(
            &self.0,
            namespace,
            &tpm.request().without_identity(),
        ));
    }
}

fn signed(key: &Path, namespace: &str, message: &[u8]) -> String {
    let mut child = Command::new("ssh-keygen")
        .args(["-q", "-Y", "sign", "-n", namespace, "-f"])
        .arg(key)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(message).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A node whose role for users accepts the keys in the file `signers`.
fn node(signers: impl FnOnce(&Node) -> String) -> Node {
    node_with(signers, "")
}

/// As [`node`], with more in the rule for the identity.
fn node_with(signers: impl FnOnce(&Node) -> String, more: &str) -> Node {
    let mut node = Node::initialised();
    let file = node.at("signers");
    fs::write(&file, signers(&node)).unwrap();
    let rule = format!(
        "ttl = \"8h\"\nidentity = [{{ type = \"ssh\", allowed_signers = {:?}{more} }}]",
        file.to_str().unwrap()
    );
    node.change_policy("ttl = \"8h\"", &rule);
    node.change_policy("[\"{name}\"]\ndeny", "[\"{identity}\"]\ndeny");
    node.serve();
    node
}

/// A person's machine without a join token.
fn person(name: &str) -> SoftwareTpm {
    let mut tpm = host(name, "");
    tpm.kind = Kind::User;
    tpm.behind_lockout();
    tpm
}

fn no_identity() -> (u16, String, String) {
    let why = "no role takes this identity: its key is not expected here, or its signature is not over this request";
    (403, "identity".to_owned(), why.to_owned())
}

#[test]
fn a_person_enrols_with_the_ssh_key_that_she_has() {
    let node = node(|node| format!("anna {}\n", Key::new(node, "old").line()));
    let old = Key(node.at("old"));
    let mut tpm = person("anna");
    old.vouch_for(&mut tpm, IDENTITY_NAMESPACE);
    let certificate = node.enrol(&tpm).certificate();
    assert_eq!(certificate.principals(), ["anna"]);
    assert!(certificate.key_id().contains("role=user mode=D"));
    // The audit log names the key. The next certificate does not need it.
    let log = fs::read_to_string(node.own("audit.log")).unwrap();
    assert!(log.contains("\"identity\":\"ssh SHA256:"), "{log}");
    tpm.identity = Identity::None;
    node.renew(&tpm).certificate();
    // She proves the key again, as she has to after the policy became stricter.
    node.enrol(&tpm).certificate();
}

#[test]
fn an_unknown_signer_or_a_signature_over_something_else_is_refused() {
    let node = node(|node| {
        let (bert, late) = (Key::new(node, "bert").line(), Key::new(node, "late").line());
        let (early, git) = (Key::new(node, "early").line(), Key::new(node, "git").line());
        let ca = Key::new(node, "authority").line();
        format!(
            "bert {bert}\nanna valid-before=\"20200101Z\" {late}\nanna valid-after=\"20990101Z\" {early}\n\
             anna namespaces=\"git\" {git}\n* cert-authority {ca}\n"
        )
    });
    Key::new(&node, "stranger");
    // Keys for another name, time or purpose, and the key of an authority instead of a person's.
    for name in ["stranger", "late", "early", "git", "authority"] {
        let mut tpm = person("anna");
        Key(node.at(name)).vouch_for(&mut tpm, IDENTITY_NAMESPACE);
        assert_eq!(node.begin(&tpm).refused(), no_identity(), "{name}");
    }
    let bert = Key(node.at("bert"));
    let mut tpm = person("anna");
    bert.vouch_for(&mut tpm, IDENTITY_NAMESPACE);
    assert_eq!(node.begin(&tpm).refused().1, "V6", "another's name");
    let mut tpm = person("bert");
    bert.vouch_for(&mut tpm, "file");
    assert_eq!(node.begin(&tpm).refused(), no_identity(), "namespace");
    // A stolen signature is valid for one TPM, one key and one set of names.
    bert.vouch_for(&mut tpm, IDENTITY_NAMESPACE);
    let seen = tpm.identity.clone();
    let mut thief = person("bert");
    thief.identity = seen.clone();
    assert_eq!(node.begin(&thief).refused(), no_identity(), "another TPM");
    thief.ek = tpm.ek.clone();
    assert_eq!(node.begin(&thief).refused(), no_identity(), "another key");
    tpm.principals.push("bert".to_owned());
    assert_eq!(node.begin(&tpm).refused(), no_identity(), "other names");
    for nonsense in [
        "",
        "x",
        "-----BEGIN SSH SIGNATURE-----\n-----END SSH SIGNATURE-----\n",
    ] {
        tpm.identity = Identity::Ssh(nonsense.to_owned());
        assert_eq!(node.begin(&tpm).refused(), no_identity(), "{nonsense}");
    }
    // It is not valid for another kind of certificate.
    let mut host = host("bert", "");
    bert.vouch_for(&mut host, IDENTITY_NAMESPACE);
    assert_eq!(node.begin(&host).refused(), no_identity(), "a host");
    assert_eq!(node.rows("device"), 0);
}

#[test]
fn a_certificate_names_its_own_principals_alone() {
    let node = node_with(
        |node| {
            format!(
                "*@example.com cert-authority {}\n",
                Key::new(node, "authority").line()
            )
        },
        ", cut = \"@example.com\"",
    );
    for (name, principals) in [
        ("anna", "anna@example.com,carl@example.org"),
        ("machine", "anna@example.com"),
    ] {
        Key::new(&node, name);
        let mut sign = Command::new("ssh-keygen");
        sign.args(["-q", "-I", "x", "-n", principals, "-s"])
            .arg(node.at("authority"));
        if name == "machine" {
            sign.arg("-h");
        }
        run(sign.arg(node.at(&format!("{name}.pub"))));
    }
    let certificate = |name: &str, tpm: &mut SoftwareTpm| {
        let file = node.at(&format!("{name}-cert.pub"));
        let message = tpm.request().without_identity();
        tpm.identity = Identity::Ssh(signed(&file, IDENTITY_NAMESPACE, &message));
    };
    let mut tpm = person("anna");
    certificate("anna", &mut tpm);
    node.enrol(&tpm).certificate();
    for name in ["bert", "carl", "anna@example.com"] {
        let mut tpm = person(name);
        certificate("anna", &mut tpm);
        assert_eq!(node.begin(&tpm).refused().1, "V6", "{name}");
    }
    let mut tpm = person("anna");
    certificate("machine", &mut tpm);
    assert_eq!(node.begin(&tpm).refused(), no_identity());
}

#[test]
fn a_key_with_several_names_or_roles_has_to_name_one() {
    let node = node(|node| format!("anna,anna2 {}\nroot {0}\n", Key::new(node, "old").line()));
    let old = Key(node.at("old"));
    let mut tpm = person("anna2");
    old.vouch_for(&mut tpm, IDENTITY_NAMESPACE);
    node.enrol(&tpm).certificate();
    let mut tpm = person("root");
    old.vouch_for(&mut tpm, IDENTITY_NAMESPACE);
    assert_eq!(node.begin(&tpm).refused().1, "V6", "deny_principals");
    let mut node = node;
    assert_eq!(node.terminate(), Some(0));
    let policy = fs::read_to_string(node.own("policy.toml")).unwrap();
    let at = policy.find("[role.user]").unwrap();
    let second = policy[at..].replace("[role.user]", "[role.admin]");
    fs::write(node.own("policy.toml"), format!("{policy}\n{second}")).unwrap();
    node.serve();
    let mut tpm = person("anna");
    old.vouch_for(&mut tpm, IDENTITY_NAMESPACE);
    let why = "several roles are possible: name the one that is meant (--role)";
    let expected = (403, "role".to_owned(), why.to_owned());
    assert_eq!(node.begin(&tpm).refused(), expected);
    for role in ["admin", "user"] {
        tpm.role = Some(role.to_owned());
        old.vouch_for(&mut tpm, IDENTITY_NAMESPACE);
        let certificate = node.enrol(&tpm).certificate();
        let id = format!("role={role} ");
        assert!(certificate.key_id().contains(&id), "{certificate:?}");
    }
    tpm.role = Some("host".to_owned());
    old.vouch_for(&mut tpm, IDENTITY_NAMESPACE);
    assert_eq!(node.begin(&tpm).refused(), no_identity());
    // A role that the machine has already can be named as well, and a token is for its own role only.
    tpm.identity = Identity::None;
    tpm.role = None;
    assert_eq!(node.begin(&tpm).refused(), expected);
    tpm.role = Some("admin".to_owned());
    node.enrol(&tpm).certificate();
    let mut other = person("carl");
    other.identity = Identity::Join(node.token("user", "carl"));
    other.role = Some("admin".to_owned());
    let why = "it names another role than it can have";
    let expected = (403, "role".to_owned(), why.to_owned());
    assert_eq!(node.begin(&other).refused(), expected);
    other.role = Some("a".repeat(65));
    assert_eq!(node.begin(&other).refused(), expected);
    other.role = Some("user".to_owned());
    node.enrol(&other).certificate();
}

/// Otherwise everybody who can use the TPM could get a certificate for a key of his own in the person's name.
#[test]
fn a_new_key_of_a_known_machine_needs_the_identity_as_well() {
    let mut node = node(|node| format!("anna {}\n", Key::new(node, "old").line()));
    assert_eq!(node.terminate(), Some(0));
    let policy = fs::read_to_string(node.own("policy.toml")).unwrap();
    fs::write(
        node.own("policy.toml"),
        policy.replace("rebind = \"approve\"", "rebind = \"auto\""),
    )
    .unwrap();
    node.serve();
    let old = Key(node.at("old"));
    let mut first = person("anna");
    old.vouch_for(&mut first, IDENTITY_NAMESPACE);
    node.enrol(&first).certificate();
    let mut second = person("anna");
    second.ek = first.ek.clone();
    let why = "a key that is new to this role comes with an identity or a join token";
    let refused = (403, "identity".to_owned(), why.to_owned());
    assert_eq!(node.begin(&second).refused(), refused);
    old.vouch_for(&mut second, IDENTITY_NAMESPACE);
    node.enrol(&second).certificate();
    // The key that was replaced needs the identity as well to come back.
    let vouched = std::mem::replace(&mut first.identity, Identity::None);
    assert_eq!(node.begin(&first).refused(), refused);
    first.identity = vouched;
    node.enrol(&first).certificate();
    assert_eq!(node.renew(&second).refused().0, 410);
    // Another person cannot take the machine over.
    let mut third = person("bert");
    third.ek = first.ek.clone();
    third.identity = Identity::Join(node.token("user", "bert"));
    assert_eq!(node.enrol(&third).refused().1, "other-name");
}

#[test]
fn a_revoked_machine_learns_nothing_from_an_identity() {
    let node = node(|node| format!("anna {}\n", Key::new(node, "old").line()));
    let old = Key(node.at("old"));
    let mut tpm = person("anna");
    old.vouch_for(&mut tpm, IDENTITY_NAMESPACE);
    node.enrol(&tpm).certificate();
    node.ok(&["device", "revoke", "1"]);
    assert_eq!(node.begin(&tpm).refused().1, "V3");
}

/// `rebind = "old-key"`: the key that the machine has signs for the key that replaces it.
#[test]
fn the_old_key_lets_a_new_one_in_and_nobody_elses_does() {
    let mut node = Node::initialised();
    let policy = fs::read_to_string(node.own("policy.toml")).unwrap();
    fs::write(
        node.own("policy.toml"),
        policy.replace("rebind = \"approve\"", "rebind = \"old-key\""),
    )
    .unwrap();
    node.serve();
    let (first, elsewhere) = (node.host("web1"), node.host("web2"));
    let mut second = host("web1", "");
    second.ek = first.ek.clone();
    // Without a signature, or with one by a key of another machine.
    assert_eq!(node.enrol(&second).status, 202);
    vouch(&elsewhere, &mut second);
    assert_eq!(node.begin(&second).refused(), no_identity());
    vouch(&first, &mut second);
    let proof = node.proof(&second);
    let certificate = node.finish(&proof).certificate();
    // The answer was lost: the same proof gets the same certificate, and a new request is accepted with a signature by the same key.
    let rows = node.rows("issued");
    assert_eq!(node.finish(&proof).certificate().blob(), certificate.blob());
    assert_eq!(node.rows("issued"), rows);
    node.enrol(&second).certificate();
    // The first key cannot sign for another key.
    let mut third = host("web1", "");
    third.ek = first.ek.clone();
    vouch(&first, &mut third);
    assert_eq!(node.begin(&third).refused(), no_identity());
    let taken = node.renew(&first);
    assert_eq!(taken.status, 410);
    vouch(&second, &mut third);
    node.enrol(&third).certificate();
    // Not for a machine without a role, and not for another name.
    let mut stranger = host("web1", "");
    vouch(&third, &mut stranger);
    assert_eq!(node.begin(&stranger).refused(), no_identity());
    let mut fourth = host("web3", "");
    fourth.ek = first.ek.clone();
    vouch(&third, &mut fourth);
    assert_eq!(node.begin(&fourth).refused().1, "V6");
}

/// Adds a signature by the key of one machine to the request of another.
fn vouch(by: &SoftwareTpm, tpm: &mut SoftwareTpm) {
    let message = tpm.request().without_identity();
    tpm.identity =
        Identity::Ssh(by.own_signature(IDENTITY_NAMESPACE, ssh_format::SigHash::Sha512, &message));
}
