//! Keys that agree on a secret (ECDH).

use cryptoki_sys::*;
use p256::elliptic_curve::sec1::ToEncodedPoint;
use rand_core::OsRng;
use tpm_core::{KeyType, Usage};

use crate::{
    isolated::isolated,
    keys::{P256, P384, P521},
    loaded::{Module, done},
    stage::{RW, Stage, bytes, constant, flag},
    world::{OPEN, World},
};

/// The secret that `key` and `point` agree on, made so that it can be read.
fn readable(s: Stage, key: CK_OBJECT_HANDLE, point: &[u8], more: &[CK_ATTRIBUTE]) -> Vec<u8> {
    let mut template = vec![
        constant(CKA_CLASS, CKO_SECRET_KEY),
        constant(CKA_KEY_TYPE, CKK_GENERIC_SECRET),
        flag(CKA_SENSITIVE, false),
        flag(CKA_EXTRACTABLE, true),
    ];
    template.extend(more);
    let secret = s.agree(key, point, &template).unwrap();
    s.get(secret, CKA_VALUE).unwrap()
}

#[test]
fn two_keys_agree_on_a_secret_and_so_do_software_and_a_key() {
    isolated(
        || World::new().token(OPEN, &[]),
        || {
            let s = Stage::new(Module::load(), OPEN);
            for (params, size) in [(P256, 32), (P384, 48), (P521, 66)] {
                let pair = || {
                    let public = [bytes(CKA_EC_PARAMS, params)];
                    let made = s.key_pair(CKM_EC_KEY_PAIR_GEN, &public, &[flag(CKA_DERIVE, true)]);
                    assert_eq!(made.0, CKR_OK);
                    (s.get(made.1, CKA_EC_POINT).unwrap(), made.2)
                };
                let ((point_a, a), (point_b, b)) = (pair(), pair());
                let secret = readable(s, a, &point_b, &[]);
                assert_eq!(secret.len(), size);
                assert_eq!(readable(s, b, &point_a, &[]), secret);
                // The point without its OCTET STRING, and the end of the secret alone.
                let raw = &point_b[point_b.len() - 1 - 2 * size..];
                let short = readable(s, a, raw, &[constant(CKA_VALUE_LEN, 16)]);
                assert_eq!(short, secret[size - 16..]);
                if params == P256 {
                    let other = p256::ecdh::EphemeralSecret::random(&mut OsRng);
                    let point = other.public_key().to_encoded_point(false);
                    let key = p256::PublicKey::from_sec1_bytes(&point_a[2..]).unwrap();
                    let agreed = other.diffie_hellman(&key);
                    let secret = readable(s, a, point.as_bytes(), &[]);
                    assert_eq!(&secret, &agreed.raw_secret_bytes()[..]);
                }
            }
        },
    );
}

#[test]
fn a_derived_secret_is_read_by_those_alone_who_asked_for_that() {
    isolated(
        || World::new().token(OPEN, &[(KeyType::EccP256, Usage::SIGN_DECRYPT)]),
        || {
            let s = Stage::new(Module::load(), OPEN);
            let key = s.object(CKO_PRIVATE_KEY, "ecdsa-p256");
            let point = s.get(key, CKA_EC_POINT).unwrap();
            readable(s, key, &point, &[bytes(CKA_LABEL, b"open")]);
            let other = s.another(RW);
            let open = other.object(CKO_SECRET_KEY, "open");
            let value = |kind| other.get(open, kind);
            assert_eq!(value(CKA_TOKEN), Ok(vec![CK_FALSE]));
            assert_eq!(value(CKA_LOCAL), Ok(vec![CK_FALSE]));
            assert_eq!(value(CKA_NEVER_EXTRACTABLE), Ok(vec![CK_FALSE]));
            assert_eq!(value(CKA_VALUE_LEN), Ok(32_u64.to_ne_bytes().to_vec()));
            let closed = s.agree(key, &point, &[]).unwrap();
            assert_eq!(s.get(closed, CKA_VALUE), Err(CKR_ATTRIBUTE_SENSITIVE));
            assert_eq!(s.get(closed, CKA_ALWAYS_SENSITIVE), Ok(vec![CK_TRUE]));
            done!(s, C_CloseSession(s.session));
            assert_eq!(
                other.find(&mut [constant(CKA_CLASS, CKO_SECRET_KEY)]),
                [0; 0]
            );
        },
    );
}
