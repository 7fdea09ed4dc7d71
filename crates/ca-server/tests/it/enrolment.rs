//! First enrolments of machines, and attacks on them.

use std::fs;

use base64ct::{Base64, Encoding};
use key_proof::Identity;
use ssh_format::CertificateKind;

use crate::der::{Authority as Maker, Draft, ek_usage, seq, tlv};
use crate::node::{Node, host, run, ssh_key};

const NOT_EXPECTED: &str = "this TPM is not one of those that are expected";

fn refused(status: u16, code: &str, why: &str) -> (u16, String, String) {
    (status, code.to_owned(), why.to_owned())
}

#[test]
fn a_host_with_a_join_token_gets_a_certificate_that_openssh_reads() {
    let node = Node::start();
    let tpm = host("web1.example.com", &node.token("host", "web1.example.com"));
    let answer = node.enrol(&tpm);
    let certificate = answer.certificate();
    assert_eq!(certificate.kind(), CertificateKind::Host);
    assert_eq!(certificate.principals(), ["web1.example.com"]);
    assert_eq!(certificate.key().blob(), ssh_key(&tpm).blob());
    assert!(certificate.verify().is_ok());
    let file = node.at("host-cert.pub");
    std::fs::write(&file, certificate.line("") + "\n").unwrap();
    let shown = run(std::process::Command::new("ssh-keygen")
        .args(["-L", "-f"])
        .arg(&file));
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(
        shown.contains("role=host mode=D wall=none host=web1.example.com"),
        "{shown}"
    );
    let json = answer.json();
    let (after, before) = (json["renew_after"].as_u64(), json["valid_before"].as_u64());
    assert!(after < before);
    assert!(
        json["ca_keys"]["hosts"][0]
            .as_str()
            .unwrap()
            .starts_with("ecdsa-")
    );
}

#[test]
fn a_user_needs_a_wall_as_strong_as_the_role_asks_for() {
    let node = Node::start();
    let mut tpm = host("anna", &node.token("user", "anna"));
    tpm.kind = key_proof::Kind::User;
    assert_eq!(node.begin(&tpm).refused().1, "V5");
    tpm.behind_lockout();
    let certificate = node.enrol(&tpm).certificate();
    assert_eq!(certificate.kind(), CertificateKind::User);
    let names: Vec<&str> = certificate
        .extensions()
        .iter()
        .map(ssh_format::CertOption::name)
        .collect();
    assert!(
        names.contains(&"permit-pty") && names.contains(&"ek@tpmssh"),
        "{names:?}"
    );
}

/// The same answer is sent again because the reply was lost: it gets the same certificate, with one row. Any other answer is refused.
#[test]
fn v7_a_challenge_is_answered_once() {
    let node = Node::start();
    let tpm = host("web1", &node.token("host", "web1"));
    let proof = node.proof(&tpm);
    let first = node.finish(&proof).certificate();
    let again = node.finish(&proof).certificate();
    assert_eq!(first.blob(), again.blob());
    assert_eq!(node.rows("issued"), 1);
    let other = format!("{}\n", proof.to_json());
    let answer = node.post("/v1/enroll/finish", other.as_bytes());
    assert_eq!(
        answer.refused(),
        refused(403, "V7", "its challenge was answered before")
    );
    assert_eq!(node.rows("issued"), 1);
}

#[test]
fn v7_nothing_can_be_changed_between_begin_and_finish() {
    let node = Node::start();
    let tpm = host("web1", &node.token("host", "web1"));
    let mut proof = node.proof(&tpm);
    proof.request.identity = Identity::Join(node.token("host", "web2"));
    proof.request.principals = vec!["web2".to_owned()];
    assert_eq!(node.finish(&proof).refused().1, "V7");
    assert_eq!(node.rows("issued"), 0);
}

#[test]
fn v6_names_and_audience_are_those_of_the_token_and_the_authority() {
    let node = Node::start();
    let token = node.token("host", "web1");
    for names in [vec![], vec!["web2"], vec!["web1", "web2"], vec!["*"]] {
        let mut tpm = host("web1", &token);
        tpm.principals = names.iter().map(|&it| it.to_owned()).collect();
        assert_eq!(node.begin(&tpm).refused().1, "V6", "{names:?}");
    }
    let mut tpm = host("web1", &token);
    tpm.audience = "https://other.example/".to_owned();
    assert_eq!(node.begin(&tpm).refused().1, "V6");
    // The token of a host is refused for a user.
    let mut tpm = host("web1", &token);
    tpm.kind = key_proof::Kind::User;
    assert_eq!(node.begin(&tpm).refused().1, "V6");
}

#[test]
fn v4_a_software_attestation_key_gets_no_challenge() {
    let node = Node::start();
    let mut tpm = host("web1", &node.token("host", "web1"));
    tpm.ak.attributes &= !(1 << 16);
    assert_eq!(node.begin(&tpm).refused().1, "V4");
}

#[test]
fn v8_a_challenge_for_one_tpm_is_not_answered_by_another() {
    let node = Node::start();
    let tpm = host("web1", &node.token("host", "web1"));
    let answer = node.begin(&tpm);
    let challenge = key_proof::Challenge::from_json(&answer.body).unwrap();
    // The other TPM has everything of the machine except its endorsement key, which is needed to decrypt the secret.
    let mut other = host("web1", "");
    other.ak = tpm.ak.clone();
    other.srk = tpm.srk.clone();
    other.parent = tpm.parent.clone();
    other.key = tpm.key.clone();
    other.identity = tpm.identity.clone();
    let own = other.answer(&challenge);
    assert_eq!(node.finish(&own).refused().1, "V7", "another request");
    let mut relayed = own;
    relayed.request = tpm.request();
    assert_eq!(node.finish(&relayed).refused().1, "V8");
    node.finish(&tpm.answer(&challenge)).certificate();
}

#[test]
fn a_stranger_and_a_used_token_are_refused() {
    let node = Node::start();
    assert_eq!(
        node.begin(&host("web1", "")).refused(),
        refused(403, "V3", NOT_EXPECTED)
    );
    let no_token = refused(
        403,
        "join-token",
        "the join token is unknown, was used or has expired",
    );
    assert_eq!(node.begin(&host("web1", "0123")).refused(), no_token);
    let token = node.token("host", "web1");
    node.enrol(&host("web1", &token)).certificate();
    assert_eq!(node.begin(&host("web1", &token)).refused(), no_token);
}

/// Fifty machines use the same token at the same time: one of them enrols.
#[test]
fn a_token_lets_in_one_of_many_that_show_it_at_once() {
    let node = Node::start();
    let token = node.token("host", "web1");
    let proofs: Vec<_> = (0..50).map(|_| node.proof(&host("web1", &token))).collect();
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let all: Vec<_> = proofs
            .iter()
            .map(|proof| scope.spawn(|| node.finish(proof).status))
            .collect();
        all.into_iter().map(|it| it.join().unwrap()).collect()
    });
    assert_eq!(
        statuses.iter().filter(|&&it| it == 200).count(),
        1,
        "{statuses:?}"
    );
    assert!(
        statuses.iter().all(|it| [200, 403, 409, 503].contains(it)),
        "{statuses:?}"
    );
    assert_eq!(
        (
            node.rows("issued"),
            node.rows("principal"),
            node.rows("device")
        ),
        (1, 1, 1)
    );
}

#[test]
fn a_name_that_another_host_has_is_not_given_away() {
    let node = Node::start();
    let first = node.host("web1");
    let second = host("web1", &node.token("host", "web1"));
    let taken = refused(409, "name-taken", "another machine has one of these names");
    assert_eq!(node.enrol(&second).refused(), taken);
    assert_eq!((node.rows("device"), node.rows("issued")), (1, 1));
    node.renew(&first).certificate();
    // The refused token is still valid when the name becomes free.
    node.ok(&["device", "revoke", "1"]);
    node.enrol(&second).certificate();
}

/// Everybody who can use the TPM can make keys in it, so another key waits for an administrator.
#[test]
fn another_key_of_a_known_machine_waits_for_approval() {
    let node = Node::start();
    let old = node.host("web1");
    let mut new = host("web1", "");
    new.ek = old.ek.clone();
    let answer = node.enrol(&new);
    assert_eq!(
        (answer.status, answer.json()["pending"].as_i64()),
        (202, Some(2))
    );
    assert_eq!(node.enrol(&new).status, 202);
    assert_eq!(node.renew(&new).refused().0, 410);
    node.renew(&old).certificate();
    // A second waiting key, which the administrator does not know: the list shows which is which.
    let mut unknown = host("web1", "");
    unknown.ek = old.ek.clone();
    assert_eq!(node.enrol(&unknown).json()["pending"], 3);
    let list = node.ok(&["device", "list"]);
    let prints = [&new, &unknown].map(|tpm| ssh_key(tpm).fingerprint().to_string());
    for (number, print) in ["2", "3"].into_iter().zip(&prints) {
        let row: Vec<Vec<&str>> = list
            .lines()
            .map(|line| line.split_whitespace().collect())
            .filter(|row: &Vec<&str>| row.last() == Some(&print.as_str()))
            .collect();
        assert_eq!(row.len(), 1, "{list}");
        assert_eq!(
            row[0][..5],
            ["1", "host", "web1", "active", number],
            "{list}"
        );
    }
    let json: serde_json::Value =
        serde_json::from_str(&node.ok(&["device", "list", "--json"])).unwrap();
    assert_eq!(json[1]["pending_key"], prints[1]);
    assert_eq!(
        node.ok(&["device", "approve", "2"]),
        format!(
            "approved: {} gets its certificate when the machine asks again\n",
            prints[0]
        )
    );
    let log = std::fs::read_to_string(node.own("audit.log")).unwrap();
    let noted = log.lines().last().unwrap();
    assert!(
        noted.contains("approve") && noted.contains(&prints[0]),
        "{noted}"
    );
    node.enrol(&new).certificate();
    node.renew(&new).certificate();
    assert_eq!(node.renew(&old).refused().0, 410);
}

#[test]
fn a_machine_that_comes_with_a_new_token_needs_no_approval() {
    let node = Node::start();
    let old = node.host("web1");
    let mut new = host("web1", &node.token("host", "web1"));
    new.ek = old.ek.clone();
    node.enrol(&new).certificate();
    assert_eq!(node.renew(&old).refused().0, 410);
    let mut other_name = host("web2", &node.token("host", "web2"));
    other_name.ek = old.ek.clone();
    let other = refused(
        409,
        "other-name",
        "this TPM has this role under another name",
    );
    assert_eq!(node.enrol(&other_name).refused(), other);
}

/// The answer was lost when the node was killed. The machine is known by then, and enrols again with the same token.
#[test]
fn a_machine_whose_answer_was_lost_comes_again() {
    let mut node = Node::start();
    let tpm = host("web1", &node.token("host", "web1"));
    let proof = node.proof(&tpm);
    let lost = node.finish(&proof).certificate();
    node.kill();
    node.serve();
    assert_eq!(node.finish(&proof).refused().1, "V7");
    let again = node.enrol(&tpm).certificate();
    assert_ne!(lost.serial(), again.serial());
}

#[test]
fn a_machine_that_is_expected_needs_no_token() {
    let node = Node::start_with("mode = \"D\"", "mode = \"B\"");
    let tpm = host("web1", "");
    assert_eq!(node.begin(&tpm).refused(), refused(403, "V3", NOT_EXPECTED));
    // In mode B, a TPM that is not expected is refused even with a token.
    let with_token = host("web1", &node.token("host", "web1"));
    assert_eq!(
        node.begin(&with_token).refused(),
        refused(403, "V3", NOT_EXPECTED)
    );
    node.import(&tpm, "web1");
    let certificate = node.enrol(&tpm).certificate();
    assert!(
        certificate.key_id().contains("mode=B"),
        "{}",
        certificate.key_id()
    );
}

#[test]
fn a_machine_is_expected_by_its_makers_certificate() {
    let node = Node::start_with("mode = \"D\"", "mode = \"B\"");
    let maker = Maker::root("Maker");
    let draft = Draft::new("TPM", vec![ek_usage()]);
    let machines = ["web1", "web2", "web3", "web4"].map(|name| host(name, ""));
    let [one, two, three, stranger] = &machines;
    for (tpm, file) in machines.iter().zip(["1.der", "2.der", "3.der", "4.der"]) {
        fs::write(node.at(file), maker.certify(&draft, &tpm.ek.key)).unwrap();
    }
    let at = |name: &str| node.at(name).to_str().unwrap().to_owned();
    let by = |file: &str, name: &str, more: &[&str]| {
        let file = at(file);
        let options = ["--ek-certificate", &file, "--role", "host", "--name", name];
        node.run(&[&["device", "import"], &options[..], more].concat())
    };
    let expected = "1 machines are expected\n".to_owned();
    assert_eq!(by("1.der", "web1", &[]), (0, expected, String::new()));
    // The paths in a list are relative to its directory.
    let pem = "-----BEGIN CERTIFICATE-----\n";
    let base64 = Base64::encode_string(&fs::read(node.at("2.der")).unwrap());
    let pem = format!("about web2\n{pem}{base64}\n-----END CERTIFICATE-----\n");
    fs::write(node.at("2.pem"), &pem).unwrap();
    fs::write(
        node.at("list.csv"),
        "name,role,ek_certificate\nweb2,host,2.pem\n",
    )
    .unwrap();
    node.ok(&["device", "import", &at("list.csv")]);
    // The other template gives another Name.
    assert_eq!(by("3.der", "web3", &["--ek-range", "high"]).0, 0);
    for tpm in [one, two] {
        node.enrol(tpm).certificate();
    }
    for tpm in [three, stranger] {
        assert_eq!(node.begin(tpm).refused(), refused(403, "V3", NOT_EXPECTED));
    }

    // Files that cannot be used.
    let rsa_1024 = [&seq(&[
        &tlv(2, &[&[0][..], &[0xff; 128]].concat()),
        &[2, 3, 1, 0, 1],
    ])[..]]
    .concat();
    let id = seq(&[
        &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1],
        &[5, 0],
    ]);
    let spki = seq(&[&id, &tlv(3, &[&[0][..], &rsa_1024].concat())]);
    for (name, content) in [
        ("short", maker.certify_spki(&draft, &spki)),
        (
            "server",
            maker.certify(&Draft::new("x", vec![]), &one.ek.key),
        ),
        ("maker", maker.der.clone()),
        ("text", b"no certificate".to_vec()),
        ("two", format!("{pem}{pem}").into_bytes()),
        ("long", vec![0; 65 * 1024]),
    ] {
        fs::write(node.at(name), content).unwrap();
    }
    for (file, says) in [
        (
            "short",
            "malformed certificate: no template of the TCG's is for its key: RSA of 2048 or 3072 bits, or ECC on P-256 or P-384\n",
        ),
        (
            "server",
            "the certificate is not one for an endorsement key\n",
        ),
        (
            "maker",
            "the certificate is that of an authority and not of a TPM\n",
        ),
        ("text", "malformed certificate: "),
        (
            "two",
            "malformed certificate: the file has several, and one is needed\n",
        ),
    ] {
        let (code, _, said) = by(file, "web5", &[]);
        let says = format!("tpmssh-ca: nothing is imported: {}: {says}", at(file));
        assert!(code == 1 && said.starts_with(&says), "{said}");
    }
    let (code, _, said) = by("long", "web5", &[]);
    let says = format!(
        "tpmssh-ca: nothing is imported: {} is longer than 65536 bytes\n",
        at("long")
    );
    assert_eq!((code, said), (1, says));
    let (code, _, said) = by("none", "web5", &[]);
    let says = format!(
        "tpmssh-ca: nothing is imported: cannot read {}: ",
        at("none")
    );
    assert!(code == 1 && said.starts_with(&says), "{said}");
    fs::write(
        node.at("list.csv"),
        "ek_certificate,name,role\ntext,web5,host\n",
    )
    .unwrap();
    let (code, _, said) = node.run(&["device", "import", &at("list.csv")]);
    let says = format!(
        "tpmssh-ca: nothing is imported: line 2: {}: malformed certificate: ",
        at("text")
    );
    assert!(code == 1 && said.starts_with(&says), "{said}");
    assert_eq!(node.run(&["device", "import"]).0, 2);
    assert_eq!(node.rows("device"), 3);
}

#[test]
fn in_mode_d_an_administrator_can_approve_the_first_key() {
    let node = Node::start_with("first = \"auto\"", "first = \"approve\"");
    let tpm = host("web1", &node.token("host", "web1"));
    let proof = node.proof(&tpm);
    assert_eq!(node.finish(&proof).status, 202);
    assert_eq!(node.finish(&proof).status, 202);
    assert_eq!(node.rows("issued"), 0);
    node.ok(&["device", "approve", "1"]);
    node.enrol(&tpm).certificate();
}
