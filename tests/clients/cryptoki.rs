//! The `cryptoki` crate: a program in Rust, with the module in its own process.

use std::{env, process::Command, thread};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    error::{Error, RvError},
    mechanism::{
        Mechanism, MechanismType,
        rsa::{PkcsMgfType, PkcsPssParams},
    },
    object::{Attribute, AttributeType, ObjectClass, ObjectHandle},
    session::{Session, UserType},
    slot::Slot,
    types::AuthPin,
};
use testing::{assert_matches, module};

use super::ok;
use crate::program::{PIN, Program, SO_PIN};

/// Tells a test that it is the process which [`runs_alone`] started.
const ALONE: &str = "TPMSSH_TEST_RUNS_ALONE";

/// Whether this process runs this test alone, in the environment of a token. In the process that
/// runs all tests, this starts such a process and returns `false` when that has succeeded: the
/// module reads the environment, which all threads of a process share.
fn runs_alone(make: impl FnOnce() -> Program) -> bool {
    if env::var_os(ALONE).is_some() {
        return true;
    }
    let program = make();
    let name = thread::current().name().unwrap().to_owned();
    let mut test: Command = program.home.command(env::current_exe().unwrap());
    let printed = ok(test.args(["--exact", &name, "--nocapture"]).env(ALONE, "1"));
    assert!(printed.contains("1 passed"), "{printed}");
    false
}

/// The module, and the slot of its only token.
fn open() -> (Pkcs11, Slot) {
    let pkcs11 = Pkcs11::new(module()).unwrap();
    let locking = CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK);
    pkcs11.initialize(locking).unwrap();
    let slots = pkcs11.get_slots_with_token().unwrap();
    let [slot] = slots[..] else {
        panic!("{slots:?}");
    };
    (pkcs11, slot)
}

fn pin(text: &str) -> AuthPin {
    AuthPin::new(text.into())
}

fn find(session: &Session, class: ObjectClass) -> Vec<ObjectHandle> {
    session.find_objects(&[Attribute::Class(class)]).unwrap()
}

/// The DER of the name of P-256.
const P256: &[u8] = &[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];

#[test]
fn a_program_in_rust_makes_keys_signs_and_verifies() {
    if !runs_alone(Program::with_token) {
        return;
    }
    let (pkcs11, slot) = open();
    assert_eq!(pkcs11.get_token_info(slot).unwrap().label(), "work");
    let session = pkcs11.open_rw_session(slot).unwrap();
    session.login(UserType::User, Some(&pin(PIN))).unwrap();
    let named = |mut template: Vec<Attribute>, id: u8| {
        template.extend([Attribute::Token(true), Attribute::Id(vec![id])]);
        template
    };
    let make = |mechanism, public, id| {
        let private = vec![Attribute::Private(true), Attribute::Sensitive(true)];
        session
            .generate_key_pair(&mechanism, &named(public, id), &named(private, id))
            .unwrap()
    };
    let curve = vec![Attribute::EcParams(P256.into())];
    let (ec_public, ec_private) = make(Mechanism::EccKeyPairGen, curve, 1);
    let rsa = vec![
        Attribute::ModulusBits(2048.into()),
        Attribute::PublicExponent(vec![1, 0, 1]),
    ];
    let (rsa_public, rsa_private) = make(Mechanism::RsaPkcsKeyPairGen, rsa, 2);
    let pss = PkcsPssParams {
        hash_alg: MechanismType::SHA256,
        mgf: PkcsMgfType::MGF1_SHA256,
        s_len: 32.into(),
    };
    for (mechanism, public, private) in [
        (Mechanism::EcdsaSha256, ec_public, ec_private),
        (Mechanism::Sha256RsaPkcs, rsa_public, rsa_private),
        (Mechanism::Sha256RsaPkcsPss(pss), rsa_public, rsa_private),
    ] {
        let signature = session.sign(&mechanism, private, b"data").unwrap();
        session
            .verify(&mechanism, public, b"data", &signature)
            .unwrap();
        let refusal = session.verify(&mechanism, public, b"other", &signature);
        assert_matches!(refusal, Err(Error::Pkcs11(RvError::SignatureInvalid, _)));
    }
    let ec_signature = session
        .sign(&Mechanism::EcdsaSha256, ec_private, b"data")
        .unwrap();
    let asked = [
        AttributeType::Sensitive,
        AttributeType::NeverExtractable,
        AttributeType::Local,
    ];
    for private in [ec_private, rsa_private] {
        let found = session.get_attributes(private, &asked).unwrap();
        let wanted = [
            Attribute::Sensitive(true),
            Attribute::NeverExtractable(true),
            Attribute::Local(true),
        ];
        assert_eq!(found, wanted);
    }
    session.destroy_object(ec_private).unwrap();
    let left = find(&session, ObjectClass::PUBLIC_KEY);
    assert_eq!(left, [ec_public, rsa_public], "each half by itself");
    session
        .verify(&Mechanism::EcdsaSha256, ec_public, b"data", &ec_signature)
        .unwrap();
    session.destroy_object(ec_public).unwrap();
    assert_eq!(find(&session, ObjectClass::PUBLIC_KEY), [rsa_public]);
    session.logout().unwrap();
    assert_eq!(find(&session, ObjectClass::PRIVATE_KEY), []);
}

/// As other modules do, the empty store has one slot, with a token to be initialised.
#[test]
fn a_program_in_rust_makes_the_first_token() {
    if !runs_alone(Program::new) {
        return;
    }
    let (pkcs11, slot) = open();
    assert!(!pkcs11.get_token_info(slot).unwrap().token_initialized());
    pkcs11
        .init_token(slot, &pin(SO_PIN), "made in Rust")
        .unwrap();
    let info = pkcs11.get_token_info(slot).unwrap();
    assert_eq!(info.label(), "made in Rust");
    assert!(info.token_initialized() && !info.user_pin_initialized());
    assert_eq!(pkcs11.get_slots_with_token().unwrap(), [slot]);
    let session = pkcs11.open_rw_session(slot).unwrap();
    session.login(UserType::So, Some(&pin(SO_PIN))).unwrap();
    session.init_pin(&pin(PIN)).unwrap();
    session.logout().unwrap();
    session.login(UserType::User, Some(&pin(PIN))).unwrap();
    assert_eq!(find(&session, ObjectClass::PRIVATE_KEY), []);
}

#[test]
fn its_threads_sign_at_the_same_time() {
    if !runs_alone(Program::with_key) {
        return;
    }
    let (pkcs11, slot) = open();
    let session = pkcs11.open_ro_session(slot).unwrap();
    session.login(UserType::User, Some(&pin(PIN))).unwrap();
    thread::scope(|scope| {
        for number in 0..4_u8 {
            let pkcs11 = &pkcs11;
            scope.spawn(move || {
                let session = pkcs11.open_ro_session(slot).unwrap();
                let [private] = find(&session, ObjectClass::PRIVATE_KEY)[..] else {
                    panic!("one key");
                };
                let [public] = find(&session, ObjectClass::PUBLIC_KEY)[..] else {
                    panic!("one key");
                };
                for round in 0..25_u8 {
                    let data = [number, round];
                    let signature = session.sign(&Mechanism::EcdsaSha256, private, &data);
                    session
                        .verify(&Mechanism::EcdsaSha256, public, &data, &signature.unwrap())
                        .unwrap();
                }
            });
        }
    });
}

#[test]
fn a_wrong_pin_has_its_own_error_and_the_flags_tell_of_it() {
    if !runs_alone(Program::with_key) {
        return;
    }
    let (pkcs11, slot) = open();
    let session = pkcs11.open_ro_session(slot).unwrap();
    let refusal = session.login(UserType::User, Some(&pin("incorrect horse")));
    assert_matches!(refusal, Err(Error::Pkcs11(RvError::PinIncorrect, _)));
    assert!(pkcs11.get_token_info(slot).unwrap().user_pin_count_low());
    session.login(UserType::User, Some(&pin(PIN))).unwrap();
    assert!(!pkcs11.get_token_info(slot).unwrap().user_pin_count_low());
}
