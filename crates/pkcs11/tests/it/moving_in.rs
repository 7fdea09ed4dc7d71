//! A key that was made outside of the chip: what callers read of it, and that none comes in by them.

use cryptoki_sys::*;
use tpm_core::{KeyType, Usage};

use crate::{
    isolated::isolated,
    keys::{P256, sign},
    loaded::{Module, call},
    stage::{Stage, bytes, constant, flag, plain},
    world::{OPEN, World},
};

#[test]
fn an_imported_key_was_not_always_sensitive_and_is_not_local() {
    isolated(
        || {
            World::new()
                .token(OPEN, &[(KeyType::EccP256, Usage::SIGN_DECRYPT)])
                .importing()
        },
        || {
            let s = Stage::new(Module::load(), OPEN);
            let unavailable = CK_UNAVAILABLE_INFORMATION.to_ne_bytes();
            let made = CKM_EC_KEY_PAIR_GEN.to_ne_bytes();
            for (label, born, mechanism) in [
                ("ecdsa-p256", CK_TRUE, made),
                ("imported", CK_FALSE, unavailable),
            ] {
                let key = s.object(CKO_PRIVATE_KEY, label);
                let public = s.object(CKO_PUBLIC_KEY, label);
                for kind in [CKA_LOCAL, CKA_ALWAYS_SENSITIVE, CKA_NEVER_EXTRACTABLE] {
                    assert_eq!(s.get(key, kind), Ok(vec![born]), "{label}: {kind:#x}");
                }
                // It cannot leave any more.
                assert_eq!(s.get(key, CKA_SENSITIVE), Ok(vec![CK_TRUE]), "{label}");
                assert_eq!(s.get(key, CKA_EXTRACTABLE), Ok(vec![CK_FALSE]), "{label}");
                assert_eq!(s.get(public, CKA_LOCAL), Ok(vec![born]), "{label}");
                for half in [key, public] {
                    assert_eq!(s.get(half, CKA_KEY_GEN_MECHANISM), Ok(mechanism.to_vec()));
                }
                let signature = sign(s, plain(CKM_ECDSA), key, &[1; 32]);
                let verified = s.verify(plain(CKM_ECDSA), public, &[1; 32], &signature);
                assert_eq!(verified, CKR_OK, "{label}");
                // What is derived from it is as old as it is.
                let point = s.get(public, CKA_EC_POINT).unwrap();
                let secret = s.agree(key, &point, &[]).unwrap();
                assert_eq!(s.get(secret, CKA_SENSITIVE), Ok(vec![CK_TRUE]));
                for kind in [CKA_ALWAYS_SENSITIVE, CKA_NEVER_EXTRACTABLE] {
                    assert_eq!(s.get(secret, kind), Ok(vec![born]), "{label}: {kind:#x}");
                }
            }
        },
    );
}

/// Bringing a key in is a person's decision, and none of a program's.
#[test]
fn no_private_key_comes_in_by_the_module() {
    isolated(World::with_key, || {
        let s = Stage::new(Module::load(), OPEN);
        let mut template = [
            constant(CKA_CLASS, CKO_PRIVATE_KEY),
            constant(CKA_KEY_TYPE, CKK_EC),
            flag(CKA_TOKEN, true),
            bytes(CKA_EC_PARAMS, P256),
            bytes(CKA_VALUE, &[1; 32]),
        ];
        let before = s.find(&mut []).len();
        let len = template.len() as CK_ULONG;
        let mut made = 0;
        let place = &raw mut made;
        let created = call!(
            s,
            C_CreateObject(s.session, template.as_mut_ptr(), len, place)
        );
        assert_eq!(created, CKR_TEMPLATE_INCONSISTENT);
        assert_eq!(s.find(&mut []).len(), before);
    });
}
