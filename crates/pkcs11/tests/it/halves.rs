//! Halves of a key pair that stand alone, and public keys that are none.

use cryptoki_sys::*;
use tpm_core::{KeyType, Usage};

use crate::{
    attributes::calls::{change, copy, create},
    isolated::isolated,
    keys::P256,
    loaded::{Module, call, done},
    stage::{Stage, bytes, constant, flag},
    world::{OPEN, World},
};

fn open() -> World {
    World::new().token(OPEN, &[(KeyType::Rsa2048, Usage::SIGN)])
}

/// Were it there twice, it would sign on after one of them was deleted.
#[test]
fn the_key_of_a_session_is_kept_in_the_token_once() {
    isolated(open, || {
        let s = Stage::new(Module::load(), OPEN);
        let public = [bytes(CKA_EC_PARAMS, P256)];
        let (returned, _, key) = s.key_pair(CKM_EC_KEY_PAIR_GEN, &public, &[]);
        assert_eq!(returned, CKR_OK);
        let keep = || copy(s, key, &mut [flag(CKA_TOKEN, true)]);
        let kept = keep().unwrap();
        assert_eq!(keep(), Err(CKR_ACTION_PROHIBITED));
        done!(s, C_DestroyObject(s.session, kept));
        assert!(keep().is_ok(), "it is there no more");
    });
}

/// What the public half of a key says of its uses.
fn uses(s: Stage, object: CK_OBJECT_HANDLE) -> [Result<Vec<u8>, CK_RV>; 4] {
    [CKA_VERIFY, CKA_ENCRYPT, CKA_DERIVE, CKA_ALLOWED_MECHANISMS].map(|kind| s.get(object, kind))
}

#[test]
fn a_public_key_that_stands_alone_keeps_its_uses() {
    isolated(open, || {
        let s = Stage::new(Module::load(), OPEN);
        let ec = || (CKM_EC_KEY_PAIR_GEN, bytes(CKA_EC_PARAMS, P256));
        let rsa = || {
            let bits = constant(CKA_MODULUS_BITS, 2048);
            (CKM_RSA_PKCS_KEY_PAIR_GEN, bits)
        };
        let (no, yes) = (|kind| flag(kind, false), |kind| flag(kind, true));
        for ((mechanism, size), private) in [
            (ec(), vec![]),
            (ec(), vec![yes(CKA_DERIVE)]),
            (ec(), vec![yes(CKA_DERIVE), no(CKA_SIGN)]),
            (rsa(), vec![]),
            (rsa(), vec![no(CKA_DECRYPT)]),
            (rsa(), vec![no(CKA_SIGN)]),
        ] {
            let public = [flag(CKA_TOKEN, true), size];
            let (returned, public, key) = s.key_pair(mechanism, &public, &private);
            assert_eq!(returned, CKR_OK);
            let before = uses(s, public);
            for on_token in [false, true] {
                let copied = copy(s, public, &mut [flag(CKA_TOKEN, on_token)]).unwrap();
                assert_eq!(uses(s, copied), before, "a copy");
            }
            done!(s, C_DestroyObject(s.session, key));
            assert_eq!(uses(s, public), before, "without the private half");
            if before[0] == Ok(vec![CK_FALSE]) {
                let kind = match mechanism {
                    CKM_EC_KEY_PAIR_GEN => CKM_ECDSA,
                    _ => CKM_SHA256_RSA_PKCS,
                };
                let mut mechanism = crate::stage::plain(kind);
                let list = before[3].as_ref().unwrap();
                let has =
                    |kind: CK_MECHANISM_TYPE| list.chunks(8).any(|one| one == kind.to_ne_bytes());
                assert!(!has(kind));
                let encrypts = kind != CKM_ECDSA && before[1] == Ok(vec![CK_TRUE]);
                assert_eq!(has(CKM_RSA_PKCS), encrypts);
                let verify = call!(s, C_VerifyInit(s.session, &raw mut mechanism, public));
                assert_eq!(verify, CKR_KEY_FUNCTION_NOT_PERMITTED);
            }
        }
    });
}

#[test]
fn a_template_changes_all_or_nothing() {
    isolated(open, || {
        let s = Stage::new(Module::load(), OPEN);
        let key = s.object(CKO_PRIVATE_KEY, "rsa2048");
        for bad in [bytes(CKA_ID, &[7; 200]), bytes(CKA_SUBJECT, &[7; 70_000])] {
            let label = bytes(CKA_LABEL, b"changed");
            assert_eq!(
                change(s, key, &mut [label, bad]),
                Err(CKR_ATTRIBUTE_VALUE_INVALID)
            );
            assert_eq!(s.get(key, CKA_LABEL).unwrap(), b"rsa2048");
        }
        let both = [bytes(CKA_LABEL, b"new"), bytes(CKA_ID, b"8")];
        change(s, key, &mut both.to_vec()).unwrap();
        assert_eq!(s.get(key, CKA_LABEL).unwrap(), b"new");
        assert_eq!(s.get(key, CKA_ID).unwrap(), b"8");
    });
}

/// With the exponent 1 a message would be its own encryption.
#[test]
fn a_public_key_that_encrypts_nothing_is_refused() {
    isolated(open, || {
        let s = Stage::new(Module::load(), OPEN);
        let (odd, mut even) = ([0xc3; 256], [0xc3; 256]);
        even[255] = 0xc2;
        let long = [0xc3; 513];
        let key = |n: &[u8], e: &[u8]| {
            let mut template = [
                constant(CKA_CLASS, CKO_PUBLIC_KEY),
                constant(CKA_KEY_TYPE, CKK_RSA),
                bytes(CKA_MODULUS, n),
                bytes(CKA_PUBLIC_EXPONENT, e),
            ];
            create(s, &mut template)
        };
        for (n, e) in [
            (&odd[..], &[][..]),
            (&odd, &[0]),
            (&odd, &[1]),
            (&odd, &[0, 1]),
            (&odd, &[2]),
            (&odd, &[1, 0, 0]),
            (&even, &[1, 0, 1]),
            (&long, &[1, 0, 1]),
        ] {
            let refused = key(n, e);
            assert_eq!(refused, Err(CKR_ATTRIBUTE_VALUE_INVALID), "{e:?}");
        }
        assert!(key(&odd, &[3]).is_ok());
    });
}

#[test]
fn either_half_of_a_template_names_the_exponent() {
    isolated(open, || {
        let s = Stage::new(Module::load(), OPEN);
        let bits = || constant(CKA_MODULUS_BITS, 2048);
        let made = |public: &[u8], private: &[u8]| {
            let public = [bits(), bytes(CKA_PUBLIC_EXPONENT, public)];
            let private = [bytes(CKA_PUBLIC_EXPONENT, private)];
            s.generate(CKM_RSA_PKCS_KEY_PAIR_GEN, &public, &private)
        };
        assert_eq!(made(&[1, 0, 1], &[0, 1, 0, 1]), CKR_OK);
        assert_eq!(made(&[1, 0, 1], &[3]), CKR_ATTRIBUTE_VALUE_INVALID);
        let three = [bytes(CKA_PUBLIC_EXPONENT, &[3])];
        assert_eq!(
            s.generate(CKM_RSA_PKCS_KEY_PAIR_GEN, &[bits()], &three),
            CKR_ATTRIBUTE_VALUE_INVALID
        );
    });
}
