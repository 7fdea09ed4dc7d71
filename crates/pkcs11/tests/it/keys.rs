//! Keys: how they are made, what they are, and when they sign.

use cryptoki_sys::*;
use sha1::Sha1;
use sha2::Digest;
use tpm_core::{KeyType, Usage};

use crate::{
    isolated::isolated,
    loaded::{Module, done},
    stage::{RW, Stage, bytes, flag, number, plain},
    world::{LOCKED, OPEN, PIN, World},
};

pub(crate) const P256: &[u8] = b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
pub(crate) const P384: &[u8] = b"\x06\x05\x2b\x81\x04\x00\x22";
pub(crate) const P521: &[u8] = b"\x06\x05\x2b\x81\x04\x00\x23";

/// Signs with a key, in one call.
pub(crate) fn sign(
    s: Stage,
    mut mechanism: CK_MECHANISM,
    key: CK_OBJECT_HANDLE,
    data: &[u8],
) -> Vec<u8> {
    done!(s, C_SignInit(s.session, &raw mut mechanism, key));
    s.sign(data).unwrap()
}

#[test]
fn a_key_that_asks_each_time_signs_once_for_each_pin() {
    isolated(
        || World::new().token(LOCKED, &[]),
        || {
            let s = Stage::new(Module::load(), LOCKED);
            assert_eq!(s.login(CKU_USER, PIN), CKR_OK);
            for on_token in [true, false] {
                let (made, public, key) = s.key_pair(
                    CKM_EC_KEY_PAIR_GEN,
                    &[bytes(CKA_EC_PARAMS, P256)],
                    &[
                        flag(CKA_TOKEN, on_token),
                        flag(CKA_ALWAYS_AUTHENTICATE, true),
                    ],
                );
                assert_eq!(made, CKR_OK);
                assert_eq!(s.get(key, CKA_ALWAYS_AUTHENTICATE), Ok(vec![CK_TRUE]));
                let digest = [5; 32];
                let begin = || assert_eq!(s.sign_init(CKM_ECDSA, key), CKR_OK);
                let login = |pin| s.login(CKU_CONTEXT_SPECIFIC, pin);
                begin();
                assert_eq!(s.sign(&digest), Err(CKR_USER_NOT_LOGGED_IN));
                assert_eq!(login(PIN), CKR_OPERATION_NOT_INITIALIZED);
                for _ in 0..2 {
                    begin();
                    assert_eq!(login("incorrect horse"), CKR_PIN_INCORRECT);
                    assert_eq!(login(PIN), CKR_OK);
                    let signature = s.sign(&digest).unwrap();
                    let verified = s.verify(plain(CKM_ECDSA), public, &digest, &signature);
                    assert_eq!(verified, CKR_OK);
                }
                begin();
                assert_eq!(s.sign(&digest), Err(CKR_USER_NOT_LOGGED_IN));
            }
        },
    );
}

/// If nobody has to log in, nobody has to log in each time.
#[test]
fn a_key_that_asks_each_time_signs_on_a_token_without_a_pin() {
    isolated(
        || World::new().token(OPEN, &[]),
        || {
            let s = Stage::new(Module::load(), OPEN);
            let private = [flag(CKA_ALWAYS_AUTHENTICATE, true)];
            let public = [bytes(CKA_EC_PARAMS, P256)];
            let (made, _, key) = s.key_pair(CKM_EC_KEY_PAIR_GEN, &public, &private);
            assert_eq!(made, CKR_OK);
            assert_eq!(s.sign_init(CKM_ECDSA, key), CKR_OK);
            assert_eq!(s.login(CKU_CONTEXT_SPECIFIC, ""), CKR_OK);
            assert!(s.sign(&[5; 32]).is_ok());
        },
    );
}

/// NSS sends neither class nor label nor id, and hints that mean nothing here; it names both
/// halves afterwards.
#[test]
fn a_key_is_made_from_the_templates_of_nss() {
    isolated(
        || World::new().token(LOCKED, &[]),
        || {
            let s = Stage::new(Module::load(), LOCKED);
            assert_eq!(s.login(CKU_USER, PIN), CKR_OK);
            let public = [
                bytes(CKA_EC_PARAMS, P256),
                flag(CKA_TOKEN, true),
                flag(CKA_DERIVE, true),
                flag(CKA_WRAP, true),
                flag(CKA_VERIFY, true),
                flag(CKA_VERIFY_RECOVER, false),
                flag(CKA_ENCRYPT, true),
                flag(CKA_MODIFIABLE, true),
            ];
            let private = [
                flag(CKA_SENSITIVE, true),
                flag(CKA_EXTRACTABLE, false),
                flag(CKA_TOKEN, true),
                flag(CKA_PRIVATE, true),
                flag(CKA_DERIVE, true),
                flag(CKA_UNWRAP, true),
                flag(CKA_SIGN, true),
                flag(CKA_SIGN_RECOVER, false),
                flag(CKA_DECRYPT, true),
            ];
            let (made, a, b) = s.key_pair(CKM_EC_KEY_PAIR_GEN, &public, &private);
            assert_eq!(made, CKR_OK);
            let id = Sha1::digest(s.get(a, CKA_EC_POINT).unwrap());
            for half in [a, b] {
                let mut id = [bytes(CKA_ID, &id)];
                done!(s, C_SetAttributeValue(s.session, half, id.as_mut_ptr(), 1));
                assert_eq!(s.find(&mut [bytes(CKA_ID, &[]), id[0]]).len(), 0);
            }
            let mut both = s.find(&mut [bytes(CKA_ID, &id)]);
            both.sort_unstable();
            let mut expected = [a, b];
            expected.sort_unstable();
            assert_eq!(both, expected);
            // What the key can do is granted, what it cannot is not.
            for (kind, expected) in [
                (CKA_SIGN, CK_TRUE),
                (CKA_DERIVE, CK_TRUE),
                (CKA_DECRYPT, CK_FALSE),
                (CKA_UNWRAP, CK_FALSE),
            ] {
                assert_eq!(s.get(b, kind), Ok(vec![expected]), "{kind:#x}");
            }
            sign(s, plain(CKM_ECDSA), b, &[1; 32]);
        },
    );
}

#[test]
fn session_keys_sign_and_are_gone_with_their_session() {
    isolated(
        || World::new().token(LOCKED, &[]),
        || {
            let s = Stage::new(Module::load(), LOCKED);
            let public = |params| [bytes(CKA_EC_PARAMS, params)];
            assert_eq!(
                s.generate(CKM_EC_KEY_PAIR_GEN, &public(P256), &[]),
                CKR_USER_NOT_LOGGED_IN
            );
            assert_eq!(s.login(CKU_USER, PIN), CKR_OK);
            let other = s.another(RW);
            for params in [P256, P384, P521] {
                let private = [bytes(CKA_LABEL, b"mine"), flag(CKA_TOKEN, false)];
                let (made, a, b) = s.key_pair(CKM_EC_KEY_PAIR_GEN, &public(params), &private);
                assert_eq!(made, CKR_OK);
                assert_eq!(other.get(b, CKA_TOKEN), Ok(vec![CK_FALSE]));
                assert_eq!(other.get(b, CKA_EXTRACTABLE), Ok(vec![CK_FALSE]));
                assert_eq!(other.get(b, CKA_LOCAL), Ok(vec![CK_TRUE]));
                // Session objects are seen by all sessions of the token.
                let signature = sign(other, plain(CKM_ECDSA), b, &[1; 32]);
                let verified = other.verify(plain(CKM_ECDSA), a, &[1; 32], &signature);
                assert_eq!(verified, CKR_OK);
            }
            assert_eq!(other.find(&mut [bytes(CKA_LABEL, b"mine")]).len(), 6);
            done!(s, C_CloseSession(s.session));
            assert_eq!(other.find(&mut [bytes(CKA_LABEL, b"mine")]), [0; 0]);
        },
    );
}

/// What callers read of a private key, and what it has to be.
#[test]
fn a_private_key_says_what_it_is() {
    isolated(
        || World::new().token(LOCKED, &[(KeyType::EccP256, Usage::SIGN)]),
        || {
            let s = Stage::new(Module::load(), LOCKED);
            assert_eq!(s.login(CKU_USER, PIN), CKR_OK);
            let key = s.object(CKO_PRIVATE_KEY, "ecdsa-p256");
            let public = s.object(CKO_PUBLIC_KEY, "ecdsa-p256");
            let is = |kind, expected: &[u8]| {
                assert_eq!(s.get(key, kind).as_deref(), Ok(expected), "{kind:#x}");
            };
            for kind in [
                CKA_TOKEN,
                CKA_PRIVATE,
                CKA_SIGN,
                CKA_SENSITIVE,
                CKA_ALWAYS_SENSITIVE,
                CKA_NEVER_EXTRACTABLE,
                CKA_LOCAL,
                CKA_MODIFIABLE,
                CKA_DESTROYABLE,
            ] {
                is(kind, &[CK_TRUE]);
            }
            for kind in [
                CKA_EXTRACTABLE,
                CKA_DECRYPT,
                CKA_UNWRAP,
                CKA_DERIVE,
                CKA_SIGN_RECOVER,
                CKA_WRAP_WITH_TRUSTED,
                CKA_ALWAYS_AUTHENTICATE,
                CKA_COPYABLE,
            ] {
                is(kind, &[CK_FALSE]);
            }
            is(CKA_ID, &256_u16.to_be_bytes());
            is(CKA_LABEL, b"ecdsa-p256");
            is(CKA_SUBJECT, b"");
            is(CKA_EC_PARAMS, P256);
            is(CKA_KEY_TYPE, &CKK_EC.to_ne_bytes());
            is(CKA_KEY_GEN_MECHANISM, &CKM_EC_KEY_PAIR_GEN.to_ne_bytes());
            for kind in [CKA_EC_POINT, CKA_PUBLIC_KEY_INFO] {
                let value = s.get(public, kind).unwrap();
                is(kind, &value);
            }
            assert_ne!(s.get(key, CKA_UNIQUE_ID), s.get(public, CKA_UNIQUE_ID));
            let allowed = s.get(key, CKA_ALLOWED_MECHANISMS).unwrap();
            assert_eq!(allowed[..8], CKM_ECDSA.to_ne_bytes());
            for kind in [CKA_MODULUS, CKA_WRAP, CKA_TRUSTED, CKA_CERTIFICATE_CATEGORY] {
                assert_eq!(s.get(key, kind), Err(CKR_ATTRIBUTE_TYPE_INVALID));
            }
            // A search by every attribute at once, as a careful caller makes it.
            let mut class = CKO_PRIVATE_KEY;
            let found = s.find(&mut [
                number(CKA_CLASS, &mut class),
                bytes(CKA_ID, &256_u16.to_be_bytes()),
                flag(CKA_SIGN, true),
                flag(CKA_TOKEN, true),
            ]);
            assert_eq!(found, [key]);
        },
    );
}
