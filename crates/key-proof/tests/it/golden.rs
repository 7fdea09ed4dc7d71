//! Files that an earlier version wrote. The meaning of their bytes must not change without a new number in `format`.
//!
//! The files were made by the software TPM of these tests, with the ticket key `[7; 32]` at the time [`NOW`].

use key_proof::{
    Anchors, Challenge, Kind, Mode, Policy, Proof, Request, Statement, TicketKey, Wall,
    check_request, verify,
};

use crate::software_tpm::NOW;

const REQUEST: &[u8] = include_bytes!("../data/request.json");
const CHALLENGE: &[u8] = include_bytes!("../data/challenge.json");
const PROOF: &[u8] = include_bytes!("../data/proof.json");
const ROOTS: &[u8] = include_bytes!("../data/roots.pem");

fn policy() -> Policy {
    let mut anchors = Anchors::new();
    anchors.add_file(ROOTS).unwrap();
    let mut policy = Policy::new(NOW);
    policy.anchors = Some(anchors);
    policy
}

#[test]
fn a_proof_of_an_earlier_version_is_read_and_passes() {
    let request = Request::from_json(REQUEST).unwrap();
    let checked = check_request(&request, &policy()).unwrap();
    let challenge = Challenge::from_json(CHALLENGE).unwrap();
    challenge.check_form(checked.ek()).unwrap();
    assert_eq!(challenge.request, request.transcript());
    let proof = Proof::from_json(PROOF).unwrap();
    assert_eq!(proof.request, request);
    assert_eq!(proof.ticket, challenge.ticket);
    let verified = verify(&proof, &policy(), &[TicketKey::new([7; 32])]).unwrap();
    assert_eq!(verified.mode, Mode::C);
    assert_eq!(verified.wall, Wall::Counter);
    assert_eq!(verified.kind, Kind::User);
    assert_eq!(verified.principals, ["anna"]);
    assert_eq!(verified.nonce, challenge.nonce);
    assert_eq!((verified.issued, verified.expires), (NOW, NOW + 120));
    let statement = Statement::new(&verified, NOW + 60).to_json();
    assert_eq!(
        Statement::from_json(statement.as_bytes())
            .unwrap()
            .to_json(),
        statement
    );
}

/// The bytes have to be the same, so that an earlier version can read the files of this one.
#[test]
fn what_was_read_is_written_as_it_was() {
    let text = |bytes| std::str::from_utf8(bytes).unwrap();
    assert_eq!(
        Request::from_json(REQUEST).unwrap().to_json(),
        text(REQUEST)
    );
    assert_eq!(
        Challenge::from_json(CHALLENGE).unwrap().to_json(),
        text(CHALLENGE)
    );
    assert_eq!(Proof::from_json(PROOF).unwrap().to_json(), text(PROOF));
}

/// The words in files, statements and JSON, which people and programs read.
#[test]
fn the_words_of_files_are_what_they_were() {
    use key_proof::{Check, Origin};
    let walls = [Wall::None, Wall::Lockout, Wall::Counter];
    assert_eq!(walls.map(Wall::name), ["none", "lockout", "counter"]);
    assert_eq!(
        walls.map(|it| it.to_string()),
        ["none", "lockout", "counter"]
    );
    let kinds = [Kind::None, Kind::User, Kind::Host];
    assert_eq!(kinds.map(Kind::name), ["none", "user", "host"]);
    assert_eq!(kinds.map(|it| it.to_string()), ["none", "user", "host"]);
    let modes = [Mode::A, Mode::B, Mode::C, Mode::D];
    assert_eq!(modes.map(Mode::name), ["A", "B", "C", "D"]);
    let origins = [Origin::BornHere, Origin::Imported, Origin::CanLeave];
    assert_eq!(
        origins.map(Origin::name),
        ["born-here", "imported", "can-leave"]
    );
    let checks = Check::ALL.iter().map(ToString::to_string);
    let numbered = (1..=13).map(|number| format!("V{number}"));
    assert!(checks.eq(numbered));
}
