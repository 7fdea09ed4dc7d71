//! What the owner of a key or an object lets nobody do with it.

use std::ptr;

use cryptoki_sys::*;
use tpm_core::{KeyType, Usage};

use crate::{
    attributes::calls::{change, copy, create, derive},
    isolated::isolated,
    keys::{P256, sign},
    loaded::{Module, call, done},
    stage::{RW, Stage, bytes, constant, flag, plain, with},
    world::{LOCKED, OPEN, PIN, World},
};

/// The value of `CKA_ALLOWED_MECHANISMS`.
fn mechanisms(list: &[CK_MECHANISM_TYPE]) -> Vec<u8> {
    list.iter().flat_map(|kind| kind.to_ne_bytes()).collect()
}

/// What `C_VerifyInit` or `C_DecryptInit` returns; the operation is ended.
fn init(s: Stage, purpose: CK_ATTRIBUTE_TYPE, kind: CK_MECHANISM_TYPE, key: u64) -> CK_RV {
    let mut mechanism = plain(kind);
    let place = &raw mut mechanism;
    let null = ptr::null_mut();
    if purpose == CKA_VERIFY {
        let returned = call!(s, C_VerifyInit(s.session, place, key));
        done!(s, C_VerifyInit(s.session, null, key));
        returned
    } else {
        let returned = call!(s, C_DecryptInit(s.session, place, key));
        done!(s, C_DecryptInit(s.session, null, key));
        returned
    }
}

/// A key for one mechanism does that and nothing else, as long as it is there, and so does its
/// copy.
#[test]
fn a_key_is_used_with_its_allowed_mechanisms_alone() {
    isolated(
        || World::new().token(OPEN, &[]),
        || {
            let s = Stage::new(Module::load(), OPEN);
            let allowed = mechanisms(&[CKM_ECDSA_SHA256]);
            let allowed = bytes(CKA_ALLOWED_MECHANISMS, &allowed);
            for on_token in [false, true] {
                let (made, public, private) = s.key_pair(
                    CKM_EC_KEY_PAIR_GEN,
                    &[bytes(CKA_EC_PARAMS, P256), allowed],
                    &[
                        allowed,
                        flag(CKA_TOKEN, on_token),
                        flag(CKA_DERIVE, true),
                        bytes(CKA_LABEL, b"mine"),
                    ],
                );
                assert_eq!(made, CKR_OK);
                let mut keys = vec![private];
                if !on_token {
                    let label = bytes(CKA_LABEL, b"kept");
                    keys.push(copy(s, private, &mut [flag(CKA_TOKEN, true), label]).unwrap());
                    keys.push(copy(s, private, &mut []).unwrap());
                }
                for key in keys {
                    let given = mechanisms(&[CKM_ECDSA_SHA256]);
                    assert_eq!(s.get(key, CKA_ALLOWED_MECHANISMS), Ok(given));
                    assert_eq!(s.sign_init(CKM_ECDSA, key), CKR_MECHANISM_INVALID);
                    assert_eq!(s.sign_init(CKM_ECDSA_SHA384, key), CKR_MECHANISM_INVALID);
                    let signature = sign(s, plain(CKM_ECDSA_SHA256), key, b"data");
                    let verified = s.verify(plain(CKM_ECDSA_SHA256), public, b"data", &signature);
                    assert_eq!(verified, CKR_OK);
                    let refused = derived(s, key);
                    assert_eq!(refused, CKR_MECHANISM_INVALID, "it is for signing");
                    let widened = mechanisms(&[CKM_ECDSA]);
                    let refused = change(s, key, &mut [bytes(CKA_ALLOWED_MECHANISMS, &widened)]);
                    assert_eq!(refused, Err(CKR_ATTRIBUTE_READ_ONLY));
                    if s.get(key, CKA_COPYABLE) == Ok(vec![CK_TRUE]) {
                        let refused = copy(s, key, &mut [bytes(CKA_ALLOWED_MECHANISMS, &widened)]);
                        assert_eq!(refused, Err(CKR_ATTRIBUTE_READ_ONLY));
                    }
                }
                let refused = init(s, CKA_VERIFY, CKM_ECDSA, public);
                assert_eq!(refused, CKR_MECHANISM_INVALID);
            }
        },
    );
}

/// What `C_DeriveKey` returns for a key and its own point.
fn derived(s: Stage, key: CK_OBJECT_HANDLE) -> CK_RV {
    derive(s, key, &[]).err().unwrap_or(CKR_OK)
}

#[test]
fn an_rsa_key_that_is_for_pss_signs_nothing_else() {
    isolated(
        || World::new().token(OPEN, &[]),
        || {
            let s = Stage::new(Module::load(), OPEN);
            let allowed = mechanisms(&[CKM_RSA_PKCS_PSS, CKM_SHA256_RSA_PKCS_PSS]);
            let private = [bytes(CKA_ALLOWED_MECHANISMS, &allowed)];
            let public = [constant(CKA_MODULUS_BITS, 2048)];
            let (made, _, key) = s.key_pair(CKM_RSA_PKCS_KEY_PAIR_GEN, &public, &private);
            assert_eq!(made, CKR_OK);
            for kind in [
                CKM_RSA_PKCS,
                CKM_RSA_X_509,
                CKM_SHA256_RSA_PKCS,
                CKM_SHA512_RSA_PKCS,
            ] {
                assert_eq!(s.sign_init(kind, key), CKR_MECHANISM_INVALID, "{kind:#x}");
            }
            let refused = init(s, CKA_DECRYPT, CKM_RSA_PKCS, key);
            assert_eq!(refused, CKR_MECHANISM_INVALID);
            let mut parameter = CK_RSA_PKCS_PSS_PARAMS {
                hashAlg: CKM_SHA256,
                mgf: CKG_MGF1_SHA256,
                sLen: 32,
            };
            let pss = with(CKM_SHA256_RSA_PKCS_PSS, &mut parameter);
            sign(s, pss, key, b"data");
        },
    );
}

/// The flags that say what a key is for, and what an operation returns if they say no.
#[test]
fn a_key_is_used_for_what_it_is_for_alone() {
    isolated(
        || World::new().token(OPEN, &[]),
        || {
            let s = Stage::new(Module::load(), OPEN);
            let no = CKR_KEY_FUNCTION_NOT_PERMITTED;
            // An RSA key whose template says nothing decrypts and signs, as in other modules.
            let bits = constant(CKA_MODULUS_BITS, 2048);
            for (private, signs, decrypts) in [
                (vec![], CKR_OK, CKR_OK),
                (vec![flag(CKA_SIGN, false)], no, CKR_OK),
                (vec![flag(CKA_DECRYPT, false)], CKR_OK, no),
            ] {
                let made = s.key_pair(CKM_RSA_PKCS_KEY_PAIR_GEN, &[bits], &private);
                let (CKR_OK, public, key) = made else {
                    panic!("{made:?}")
                };
                let yes = |returned| vec![CK_BBOOL::from(returned == CKR_OK)];
                for (object, kind, expected) in [
                    (key, CKA_SIGN, signs),
                    (key, CKA_DECRYPT, decrypts),
                    (public, CKA_VERIFY, signs),
                    (public, CKA_ENCRYPT, decrypts),
                ] {
                    assert_eq!(s.get(object, kind), Ok(yes(expected)), "{kind:#x}");
                }
                assert_eq!(s.sign_init(CKM_RSA_PKCS, key), signs);
                if signs == CKR_OK {
                    // Any data, whether it decrypts or not: the padding is that of signatures.
                    let data = [3; 36];
                    let signature = s.sign(&data).unwrap();
                    let verified = s.verify(plain(CKM_RSA_PKCS), public, &data, &signature);
                    assert_eq!(verified, CKR_OK);
                }
                assert_eq!(init(s, CKA_DECRYPT, CKM_RSA_PKCS, key), decrypts);
                assert_eq!(init(s, CKA_VERIFY, CKM_RSA_PKCS, public), signs);
            }
            let curve = bytes(CKA_EC_PARAMS, P256);
            for (private, signs, derives) in [
                (vec![], CKR_OK, no),
                (
                    vec![flag(CKA_SIGN, false), flag(CKA_DERIVE, true)],
                    no,
                    CKR_OK,
                ),
            ] {
                let made = s.key_pair(CKM_EC_KEY_PAIR_GEN, &[curve], &private);
                let (CKR_OK, public, key) = made else {
                    panic!("{made:?}")
                };
                assert_eq!(s.sign_init(CKM_ECDSA, key), signs);
                done!(s, C_SignInit(s.session, ptr::null_mut(), key));
                assert_eq!(derived(s, key), derives);
                assert_eq!(init(s, CKA_VERIFY, CKM_ECDSA, public), signs);
            }
        },
    );
}

/// Java's keytool makes a key pair in a session, signs a certificate with it, and copies the
/// private key into the token.
#[test]
fn the_key_of_a_session_is_kept_by_a_copy() {
    isolated(
        || World::new().token(LOCKED, &[]),
        || {
            let s = Stage::new(Module::load(), LOCKED);
            assert_eq!(s.login(CKU_USER, PIN), CKR_OK);
            let maker = s.another(RW);
            let (made, public, private) = maker.key_pair(
                CKM_EC_KEY_PAIR_GEN,
                &[bytes(CKA_EC_PARAMS, P256)],
                &[
                    flag(CKA_ALWAYS_AUTHENTICATE, true),
                    bytes(CKA_END_DATE, b"20301231"),
                ],
            );
            assert_eq!(made, CKR_OK);
            let mut template = [
                flag(CKA_TOKEN, true),
                bytes(CKA_ID, b"java"),
                bytes(CKA_LABEL, b"mykey"),
            ];
            let reader = s.another(CKF_SERIAL_SESSION);
            let refused = copy(reader, private, &mut template);
            assert_eq!(refused, Err(CKR_SESSION_READ_ONLY));
            let refused = copy(maker, private, &mut [flag(CKA_PRIVATE, false)]);
            assert_eq!(refused, Err(CKR_TEMPLATE_INCONSISTENT));
            let kept = copy(maker, private, &mut template).unwrap();
            copy(maker, public, &mut template).unwrap();
            done!(maker, C_CloseSession(maker.session));

            let key = s.object(CKO_PRIVATE_KEY, "mykey");
            assert_eq!(key, kept);
            for (kind, value) in [
                (CKA_TOKEN, &[CK_TRUE][..]),
                (CKA_PRIVATE, &[CK_TRUE]),
                (CKA_LOCAL, &[CK_TRUE]),
                (CKA_NEVER_EXTRACTABLE, &[CK_TRUE]),
                (CKA_ALWAYS_AUTHENTICATE, &[CK_TRUE]),
                (CKA_ID, b"java"),
                (CKA_END_DATE, b"20301231"),
            ] {
                assert_eq!(s.get(key, kind), Ok(value.to_vec()), "{kind:#x}");
            }
            let public = s.object(CKO_PUBLIC_KEY, "mykey");
            assert_eq!(s.sign_init(CKM_ECDSA, key), CKR_OK);
            assert_eq!(s.login(CKU_CONTEXT_SPECIFIC, PIN), CKR_OK);
            let signature = s.sign(&[1; 32]).unwrap();
            let verified = s.verify(plain(CKM_ECDSA), public, &[1; 32], &signature);
            assert_eq!(verified, CKR_OK);
            // It is now a key of the token, and no second one is made of it.
            assert_eq!(copy(s, key, &mut []), Err(CKR_ACTION_PROHIBITED));
        },
    );
}

#[test]
fn objects_that_say_so_are_not_changed_copied_or_destroyed() {
    isolated(
        || World::new().token(OPEN, &[(KeyType::EccP256, Usage::SIGN)]),
        || {
            let s = Stage::new(Module::load(), OPEN);
            let no = CKR_ACTION_PROHIBITED;
            for on_token in [false, true] {
                let made = |kind| {
                    let mut template = [
                        constant(CKA_CLASS, CKO_DATA),
                        flag(CKA_TOKEN, on_token),
                        flag(kind, false),
                    ];
                    create(s, &mut template).unwrap()
                };
                let label = || bytes(CKA_LABEL, b"new");
                let (fixed, single) = (made(CKA_MODIFIABLE), made(CKA_COPYABLE));
                assert_eq!(change(s, fixed, &mut [label()]), Err(no));
                assert_eq!(copy(s, single, &mut []), Err(no));
                let kept = made(CKA_DESTROYABLE);
                assert_eq!(call!(s, C_DestroyObject(s.session, kept)), no);
                // A copy of what cannot be changed can be one that can.
                let copied = copy(s, fixed, &mut [flag(CKA_MODIFIABLE, true)]).unwrap();
                change(s, copied, &mut [label()]).unwrap();
                // CKA_COPYABLE can be set to false at any time.
                change(s, copied, &mut [flag(CKA_COPYABLE, false)]).unwrap();
                assert_eq!(copy(s, copied, &mut []), Err(no));
            }
        },
    );
}
