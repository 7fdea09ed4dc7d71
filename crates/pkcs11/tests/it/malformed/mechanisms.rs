//! Mechanisms with wrong parameters, for wrong keys, with wrong input.

use std::ptr;

use cryptoki_sys::*;

use super::{Case, functions::GENERATOR, staged};
use crate::{
    loaded::call,
    stage::{Stage, constant, ecdh, flag, plain, with},
};

fn ec(s: Stage) -> CK_OBJECT_HANDLE {
    s.object(CKO_PRIVATE_KEY, "ecdsa-p256")
}

fn rsa(s: Stage) -> CK_OBJECT_HANDLE {
    s.object(CKO_PRIVATE_KEY, "rsa2048")
}

fn sign_init(s: Stage, mut mechanism: CK_MECHANISM, key: CK_OBJECT_HANDLE) -> CK_RV {
    call!(s, C_SignInit(s.session, &raw mut mechanism, key))
}

fn decrypt_init(s: Stage, mut mechanism: CK_MECHANISM, key: CK_OBJECT_HANDLE) -> CK_RV {
    call!(s, C_DecryptInit(s.session, &raw mut mechanism, key))
}

fn pss(
    hash: CK_MECHANISM_TYPE,
    mgf: CK_RSA_PKCS_MGF_TYPE,
    salt: CK_ULONG,
) -> CK_RSA_PKCS_PSS_PARAMS {
    CK_RSA_PKCS_PSS_PARAMS {
        hashAlg: hash,
        mgf,
        sLen: salt,
    }
}

fn oaep(hash: CK_MECHANISM_TYPE, mgf: CK_RSA_PKCS_MGF_TYPE) -> CK_RSA_PKCS_OAEP_PARAMS {
    CK_RSA_PKCS_OAEP_PARAMS {
        hashAlg: hash,
        mgf,
        source: CKZ_DATA_SPECIFIED,
        pSourceData: ptr::null_mut(),
        ulSourceDataLen: 0,
    }
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![
        staged("mechanisms that there are not", |s| {
            for kind in [
                CKM_DSA,
                CKM_SHA256,
                CKM_EC_KEY_PAIR_GEN,
                CKM_VENDOR_DEFINED,
                CK_ULONG::MAX,
            ] {
                assert_eq!(s.sign_init(kind, ec(s)), CKR_MECHANISM_INVALID);
                let mut info = CK_MECHANISM_INFO::default();
                let known = [CKM_SHA256, CKM_EC_KEY_PAIR_GEN].contains(&kind);
                let expected = if known { CKR_OK } else { CKR_MECHANISM_INVALID };
                assert_eq!(
                    call!(s, C_GetMechanismInfo(s.slot, kind, &raw mut info)),
                    expected
                );
            }
            let mut mechanism = plain(CKM_ECDSA);
            assert_eq!(
                call!(s, C_DigestInit(s.session, &raw mut mechanism)),
                CKR_MECHANISM_INVALID
            );
            assert_eq!(decrypt_init(s, mechanism, rsa(s)), CKR_MECHANISM_INVALID);
        }),
        staged("mechanisms of another kind of key", |s| {
            for kind in [CKM_RSA_PKCS, CKM_SHA256_RSA_PKCS] {
                assert_eq!(s.sign_init(kind, ec(s)), CKR_KEY_TYPE_INCONSISTENT);
            }
            for kind in [CKM_ECDSA, CKM_ECDSA_SHA256] {
                assert_eq!(s.sign_init(kind, rsa(s)), CKR_KEY_TYPE_INCONSISTENT);
            }
            assert_eq!(
                decrypt_init(s, plain(CKM_RSA_PKCS), ec(s)),
                CKR_KEY_TYPE_INCONSISTENT
            );
        }),
        staged("keys that are for something else", |s| {
            let public = s.object(CKO_PUBLIC_KEY, "ecdsa-p256");
            assert_eq!(
                s.sign_init(CKM_ECDSA, public),
                CKR_KEY_FUNCTION_NOT_PERMITTED
            );
            let mut mechanism = plain(CKM_ECDSA);
            assert_eq!(
                call!(s, C_VerifyInit(s.session, &raw mut mechanism, ec(s))),
                CKR_KEY_FUNCTION_NOT_PERMITTED
            );
            let data = s.create_data(b"data");
            assert_eq!(s.sign_init(CKM_ECDSA, data), CKR_KEY_HANDLE_INVALID);
            assert_eq!(
                call!(s, C_VerifyInit(s.session, &raw mut mechanism, data)),
                CKR_KEY_HANDLE_INVALID
            );
        }),
        staged("a parameter for a mechanism that has none", |s| {
            let mut parameter = 7_u64;
            for kind in [CKM_ECDSA, CKM_ECDSA_SHA256] {
                let mechanism = with(kind, &mut parameter);
                assert_eq!(sign_init(s, mechanism, ec(s)), CKR_MECHANISM_PARAM_INVALID);
            }
            for kind in [CKM_RSA_PKCS, CKM_SHA512_RSA_PKCS] {
                let mechanism = with(kind, &mut parameter);
                assert_eq!(sign_init(s, mechanism, rsa(s)), CKR_MECHANISM_PARAM_INVALID);
            }
            let mut mechanism = with(CKM_SHA256, &mut parameter);
            assert_eq!(
                call!(s, C_DigestInit(s.session, &raw mut mechanism)),
                CKR_MECHANISM_PARAM_INVALID
            );
            // A pointer that leads nowhere, with a length.
            let mut mechanism = plain(CKM_ECDSA);
            mechanism.ulParameterLen = 8;
            assert_eq!(sign_init(s, mechanism, ec(s)), CKR_MECHANISM_PARAM_INVALID);
        }),
        staged("no parameter for a mechanism that has one", |s| {
            for kind in [CKM_RSA_PKCS_PSS, CKM_SHA256_RSA_PKCS_PSS] {
                assert_eq!(s.sign_init(kind, rsa(s)), CKR_MECHANISM_PARAM_INVALID);
                let mut mechanism = plain(kind);
                for len in [24, 8, CK_ULONG::MAX] {
                    mechanism.ulParameterLen = len;
                    assert_eq!(sign_init(s, mechanism, rsa(s)), CKR_MECHANISM_PARAM_INVALID);
                }
                let mut parameter = pss(CKM_SHA256, CKG_MGF1_SHA256, 32);
                let mut mechanism = with(kind, &mut parameter);
                for len in [0, 8, 23, 25] {
                    mechanism.ulParameterLen = len;
                    assert_eq!(sign_init(s, mechanism, rsa(s)), CKR_MECHANISM_PARAM_INVALID);
                }
            }
            let mechanism = plain(CKM_RSA_PKCS_OAEP);
            assert_eq!(
                decrypt_init(s, mechanism, rsa(s)),
                CKR_MECHANISM_PARAM_INVALID
            );
        }),
    ];
    for (hash, mgf, salt) in [
        (CKM_SHA256, CKG_MGF1_SHA256, CK_ULONG::MAX),
        (CKM_SHA256, CKG_MGF1_SHA256, 255),
        (CKM_SHA256, 0, 32),
        (CKM_SHA256, CK_ULONG::MAX, 32),
        (CKM_MD5, CKG_MGF1_SHA256, 16),
        (CKM_RSA_PKCS, CKG_MGF1_SHA256, 32),
        (CK_ULONG::MAX, CKG_MGF1_SHA256, 32),
        (0, 0, 0),
    ] {
        cases.push(staged(
            format!("PSS with hash {hash:#x}, mask {mgf:#x}, salt {salt}"),
            move |s| {
                let mut parameter = pss(hash, mgf, salt);
                let mechanism = with(CKM_RSA_PKCS_PSS, &mut parameter);
                assert_eq!(sign_init(s, mechanism, rsa(s)), CKR_MECHANISM_PARAM_INVALID);
            },
        ));
    }
    cases.push(staged("PSS whose two hashes differ", |s| {
        let mut parameter = pss(CKM_SHA384, CKG_MGF1_SHA384, 48);
        let mechanism = with(CKM_SHA256_RSA_PKCS_PSS, &mut parameter);
        assert_eq!(sign_init(s, mechanism, rsa(s)), CKR_MECHANISM_PARAM_INVALID);
    }));
    for (hash, mgf) in [
        (CKM_MD5, CKG_MGF1_SHA256),
        (CKM_SHA256, 0),
        (CKM_SHA256, CK_ULONG::MAX),
        (CK_ULONG::MAX, CKG_MGF1_SHA256),
    ] {
        cases.push(staged(
            format!("OAEP with hash {hash:#x}, mask {mgf:#x}"),
            move |s| {
                let mut parameter = oaep(hash, mgf);
                let mechanism = with(CKM_RSA_PKCS_OAEP, &mut parameter);
                assert_eq!(
                    decrypt_init(s, mechanism, rsa(s)),
                    CKR_MECHANISM_PARAM_INVALID
                );
            },
        ));
    }
    cases.extend(derivations());
    cases.push(staged("OAEP with a label that is null", |s| {
        let mut parameter = oaep(CKM_SHA256, CKG_MGF1_SHA256);
        for len in [1, 1 << 40, CK_ULONG::MAX] {
            parameter.ulSourceDataLen = len;
            let mechanism = with(CKM_RSA_PKCS_OAEP, &mut parameter);
            let returned = decrypt_init(s, mechanism, rsa(s));
            assert_eq!(returned, CKR_MECHANISM_PARAM_INVALID);
        }
    }));
    for (kind, len) in [
        (CKM_ECDSA, 0),
        (CKM_RSA_PKCS, 246),
        (CKM_RSA_PKCS, 1024),
        (CKM_RSA_PKCS, 5000),
        (CKM_ECDSA, 5000),
    ] {
        cases.push(staged(
            format!("{len} bytes for mechanism {kind:#x}"),
            move |s| {
                let key = if kind == CKM_ECDSA { ec(s) } else { rsa(s) };
                assert_eq!(s.sign_init(kind, key), CKR_OK);
                assert_eq!(s.sign(&vec![1; len]), Err(CKR_DATA_LEN_RANGE));
            },
        ));
    }
    for len in [0, 31, 33, 64] {
        cases.push(staged(format!("{len} bytes for PSS"), move |s| {
            let mut parameter = pss(CKM_SHA256, CKG_MGF1_SHA256, 32);
            let mechanism = with(CKM_RSA_PKCS_PSS, &mut parameter);
            assert_eq!(sign_init(s, mechanism, rsa(s)), CKR_OK);
            assert_eq!(s.sign(&vec![1; len]), Err(CKR_DATA_LEN_RANGE));
        }));
    }
    cases
}

fn derive(
    s: Stage,
    mechanism: CK_MECHANISM,
    key: CK_OBJECT_HANDLE,
    template: &[CK_ATTRIBUTE],
) -> CK_RV {
    s.derive(mechanism, key, template).err().unwrap_or(CKR_OK)
}

fn derivations() -> Vec<Case> {
    let wrong = |name: &str, change: fn(&mut CK_ECDH1_DERIVE_PARAMS)| {
        staged(format!("a derivation with {name}"), move |s| {
            let mut parameter = ecdh(&GENERATOR);
            change(&mut parameter);
            let mechanism = with(CKM_ECDH1_DERIVE, &mut parameter);
            let returned = derive(s, mechanism, ec(s), &[]);
            assert_eq!(returned, CKR_MECHANISM_PARAM_INVALID);
        })
    };
    let mut cases = vec![
        wrong("a function that is not of X9.63", |p| {
            p.kdf = CKD_SHA1_KDF_CONCATENATE
        }),
        wrong("shared data and nothing that takes them", |p| {
            p.pSharedData = GENERATOR.as_ptr().cast_mut();
            p.ulSharedDataLen = 1;
        }),
        wrong("shared data of absurd length", |p| {
            p.kdf = CKD_SHA256_KDF;
            p.pSharedData = GENERATOR.as_ptr().cast_mut();
            p.ulSharedDataLen = CK_ULONG::MAX;
        }),
        staged("a derivation by X9.63 of no length or too much", |s| {
            let mut parameter = ecdh(&GENERATOR);
            parameter.kdf = CKD_SHA256_KDF;
            let mechanism = with(CKM_ECDH1_DERIVE, &mut parameter);
            let returned = derive(s, mechanism, ec(s), &[]);
            assert_eq!(returned, CKR_TEMPLATE_INCOMPLETE);
            for len in [0, 1025, CK_ULONG::MAX] {
                let long = [constant(CKA_VALUE_LEN, len)];
                let returned = derive(s, mechanism, ec(s), &long);
                assert_eq!(returned, CKR_KEY_SIZE_RANGE);
            }
            // The same with a length that can be had.
            let fits = [constant(CKA_VALUE_LEN, 40)];
            assert_eq!(derive(s, mechanism, ec(s), &fits), CKR_OK);
        }),
        wrong("no function that there is", |p| p.kdf = CK_ULONG::MAX),
        wrong("shared data that are null", |p| p.ulSharedDataLen = 1),
        wrong("a point that is null", |p| p.pPublicData = ptr::null_mut()),
        wrong("a point of no length", |p| p.ulPublicDataLen = 0),
        wrong("a point that is cut short", |p| p.ulPublicDataLen = 64),
        wrong("a point of absurd length", |p| {
            p.ulPublicDataLen = CK_ULONG::MAX
        }),
        staged("a derivation with a point off the curve", |s| {
            for point in [
                [&[4_u8][..], &[1; 64]].concat(),
                vec![0; 65],
                vec![0xff; 65],
            ] {
                let mut parameter = ecdh(&point);
                let mechanism = with(CKM_ECDH1_DERIVE, &mut parameter);
                let returned = derive(s, mechanism, ec(s), &[]);
                assert_eq!(returned, CKR_MECHANISM_PARAM_INVALID);
            }
        }),
        staged(
            "a derivation without a parameter or with half of one",
            |s| {
                let returned = derive(s, plain(CKM_ECDH1_DERIVE), ec(s), &[]);
                assert_eq!(returned, CKR_MECHANISM_PARAM_INVALID);
                let mut parameter = ecdh(&GENERATOR);
                let mut mechanism = with(CKM_ECDH1_DERIVE, &mut parameter);
                mechanism.ulParameterLen -= 1;
                assert_eq!(
                    derive(s, mechanism, ec(s), &[]),
                    CKR_MECHANISM_PARAM_INVALID
                );
            },
        ),
        staged("a derivation by another mechanism or key", |s| {
            let mut parameter = ecdh(&GENERATOR);
            let mechanism = with(CKM_ECDH1_COFACTOR_DERIVE, &mut parameter);
            assert_eq!(derive(s, mechanism, ec(s), &[]), CKR_MECHANISM_INVALID);
            let mechanism = with(CKM_ECDH1_DERIVE, &mut parameter);
            let returned = derive(s, mechanism, rsa(s), &[]);
            assert_eq!(returned, CKR_KEY_TYPE_INCONSISTENT);
        }),
    ];
    for (name, attribute, expected) in [
        (
            "on the token",
            flag(CKA_TOKEN, true),
            CKR_TEMPLATE_INCONSISTENT,
        ),
        (
            "of no length",
            constant(CKA_VALUE_LEN, 0),
            CKR_KEY_SIZE_RANGE,
        ),
        (
            "that is too long",
            constant(CKA_VALUE_LEN, 33),
            CKR_KEY_SIZE_RANGE,
        ),
        (
            "for AES",
            constant(CKA_KEY_TYPE, CKK_AES),
            CKR_TEMPLATE_INCONSISTENT,
        ),
        (
            "that is data",
            constant(CKA_CLASS, CKO_DATA),
            CKR_TEMPLATE_INCONSISTENT,
        ),
    ] {
        cases.push(staged(format!("a secret {name}"), move |s| {
            let mut parameter = ecdh(&GENERATOR);
            let mechanism = with(CKM_ECDH1_DERIVE, &mut parameter);
            assert_eq!(derive(s, mechanism, ec(s), &[attribute]), expected);
        }));
    }
    cases
}
