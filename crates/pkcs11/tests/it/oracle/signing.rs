//! Signing: in one call and in parts, with every mechanism, and wrongly.

use std::ptr;

use cryptoki_sys::*;

use super::{Answer, Case, Hsm, case, names};
use crate::{
    loaded::call,
    stage::{bytes, plain},
};

fn sign_init(h: Hsm, kind: CK_MECHANISM_TYPE) -> CK_RV {
    h.stage.sign_init(kind, h.ec.private)
}

/// `C_Sign`; only its return value.
fn sign(h: Hsm, data: &[u8]) -> CK_RV {
    h.stage.sign(data).err().unwrap_or(CKR_OK)
}

fn update(h: Hsm, part: &[u8]) -> CK_RV {
    let (data, len) = (part.as_ptr().cast_mut(), part.len() as CK_ULONG);
    call!(h.stage, C_SignUpdate(h.stage.session, data, len))
}

fn last(h: Hsm) -> CK_RV {
    let mut signature = [0; 512];
    let mut len = 512;
    let (session, place) = (h.stage.session, signature.as_mut_ptr());
    call!(h.stage, C_SignFinal(session, place, &raw mut len))
}

/// `C_Sign` with so much room, or to ask for the length; returns the length as well.
fn sized(h: Hsm, data: &[u8], room: Option<usize>) -> String {
    let mut signature = [0; 512];
    let place = match room {
        Some(_) => signature.as_mut_ptr(),
        None => ptr::null_mut(),
    };
    let mut len = room.unwrap_or_default() as CK_ULONG;
    let input = data.as_ptr().cast_mut();
    let (session, data_len) = (h.stage.session, data.len() as CK_ULONG);
    let returned = call!(
        h.stage,
        C_Sign(session, input, data_len, place, &raw mut len)
    );
    format!("{} {len}", names::of(returned))
}

/// A mechanism with a PSS parameter, from its three numbers.
fn pss(h: Hsm, kind: CK_MECHANISM_TYPE, hash: CK_ULONG, mgf: CK_ULONG, salt: CK_ULONG) -> CK_RV {
    let mut parameter = CK_RSA_PKCS_PSS_PARAMS {
        hashAlg: hash,
        mgf,
        sLen: salt,
    };
    let mut mechanism = CK_MECHANISM {
        mechanism: kind,
        pParameter: (&raw mut parameter).cast(),
        ulParameterLen: size_of::<CK_RSA_PKCS_PSS_PARAMS>() as CK_ULONG,
    };
    let session = h.stage.session;
    call!(
        h.stage,
        C_SignInit(session, &raw mut mechanism, h.rsa.private)
    )
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = signed();
    cases.extend(wrong_keys());
    cases.extend(mechanisms());
    cases
}

fn signed() -> Vec<Case> {
    const D: [u8; 32] = [1; 32];
    vec![
        case("sign", |h| [sign_init(h, CKM_ECDSA), sign(h, &D)]),
        case("sign twice", |h| {
            [sign_init(h, CKM_ECDSA), sign(h, &D), sign(h, &D)]
        }),
        case("sign without a beginning", |h| sign(h, &D)),
        case("sign in parts without a beginning", |h| {
            [update(h, b"data"), last(h)]
        }),
        case("sign, begun twice", |h| {
            [
                sign_init(h, CKM_ECDSA),
                sign_init(h, CKM_ECDSA),
                sign(h, &D),
            ]
        }),
        case("sign: length, then signature", |h| {
            assert_eq!(sign_init(h, CKM_ECDSA), CKR_OK);
            [sized(h, &D, None), sized(h, &D, Some(64))].join(", ")
        }),
        case("sign: too little room, then enough", |h| {
            assert_eq!(sign_init(h, CKM_ECDSA), CKR_OK);
            [sized(h, &D, Some(63)), sized(h, &D, Some(64))].join(", ")
        }),
        case("sign: more room than needed", |h| {
            assert_eq!(sign_init(h, CKM_ECDSA), CKR_OK);
            sized(h, &D, Some(500))
        }),
        case("sign RSA: length, too little room, signature", |h| {
            assert_eq!(
                h.stage.sign_init(CKM_SHA256_RSA_PKCS, h.rsa.private),
                CKR_OK
            );
            let answers = [None, Some(255), Some(256)].map(|room| sized(h, b"data", room));
            answers.join(", ")
        }),
        case("sign in parts what takes no parts", |h| {
            [sign_init(h, CKM_ECDSA), update(h, &D), last(h)]
        }),
        case("sign RSA in parts", |h| {
            let begun = h.stage.sign_init(CKM_SHA256_RSA_PKCS, h.rsa.private);
            [begun, update(h, b"da"), update(h, b"ta"), last(h)]
        }),
        case("sign RSA in no parts", |h| {
            let begun = h.stage.sign_init(CKM_SHA256_RSA_PKCS, h.rsa.private);
            [begun, last(h)]
        }),
        case("sign RSA whole after a part", |h| {
            let begun = h.stage.sign_init(CKM_SHA256_RSA_PKCS, h.rsa.private);
            [begun, update(h, b"da"), sign(h, b"data"), last(h)]
        }),
        case("sign RSA in parts after a length", |h| {
            let begun = h.stage.sign_init(CKM_SHA256_RSA_PKCS, h.rsa.private);
            let length = sized(h, b"data", None);
            let rest = [update(h, b"da"), last(h)].text();
            format!("{}, {length}, {rest}", names::of(begun))
        }),
        case("sign RSA: an empty part", |h| {
            let begun = h.stage.sign_init(CKM_SHA256_RSA_PKCS, h.rsa.private);
            [begun, update(h, b""), last(h)]
        }),
        case("sign RSA: a part of nothing with a length", |h| {
            let begun = h.stage.sign_init(CKM_SHA256_RSA_PKCS, h.rsa.private);
            let none = ptr::null_mut();
            let bad = call!(h.stage, C_SignUpdate(h.stage.session, none, 4));
            [begun, bad, last(h)]
        }),
        case("sign: no place for the length", |h| {
            let begun = sign_init(h, CKM_ECDSA);
            let (session, none) = (h.stage.session, ptr::null_mut());
            let data = D.as_ptr().cast_mut();
            let bad = call!(h.stage, C_Sign(session, data, 32, none, none.cast()));
            [begun, bad, sign(h, &D)]
        }),
        case("sign a short digest with ECDSA", |h| {
            [sign_init(h, CKM_ECDSA), sign(h, &[1; 20])]
        }),
        case("sign a long digest with ECDSA", |h| {
            [sign_init(h, CKM_ECDSA), sign(h, &[1; 64])]
        }),
        case("sign a digest of no length of a hash with ECDSA", |h| {
            [sign_init(h, CKM_ECDSA), sign(h, &[1; 30])]
        }),
        case("sign nothing with ECDSA", |h| {
            [sign_init(h, CKM_ECDSA), sign(h, b"")]
        }),
        case("sign zeros with ECDSA", |h| {
            [sign_init(h, CKM_ECDSA), sign(h, &[0; 32])]
        }),
        case("sign nothing with a hash", |h| {
            let begun = h.stage.sign_init(CKM_SHA256_RSA_PKCS, h.rsa.private);
            [begun, sign(h, b"")]
        }),
        case("sign too much with CKM_RSA_PKCS", |h| {
            let begun = h.stage.sign_init(CKM_RSA_PKCS, h.rsa.private);
            [begun, sign(h, &[1; 246])]
        }),
        case("sign all that fits with CKM_RSA_PKCS", |h| {
            let begun = h.stage.sign_init(CKM_RSA_PKCS, h.rsa.private);
            [begun, sign(h, &[1; 245])]
        }),
        case("sign nothing with CKM_RSA_PKCS", |h| {
            let begun = h.stage.sign_init(CKM_RSA_PKCS, h.rsa.private);
            [begun, sign(h, b"")]
        }),
        case("sign a block with CKM_RSA_X_509", |h| {
            let mut block = [0xff; 256];
            block[..2].copy_from_slice(&[0, 1]);
            block[255 - 32] = 0;
            let begun = h.stage.sign_init(CKM_RSA_X_509, h.rsa.private);
            [begun, sign(h, &block)]
        }),
        case("sign a number with CKM_RSA_X_509", |h| {
            let begun = h.stage.sign_init(CKM_RSA_X_509, h.rsa.private);
            [begun, sign(h, &[1; 256])]
        }),
        case("sign while hashing and searching", |h| {
            let session = h.stage.session;
            let find = call!(h.stage, C_FindObjectsInit(session, ptr::null_mut(), 0));
            [
                find,
                super::checking::digest_init(h, CKM_SHA256),
                sign_init(h, CKM_ECDSA),
                sign(h, &D),
            ]
        }),
        case("sign after an error", |h| {
            [
                sign_init(h, CKM_ECDSA),
                sign(h, &[]),
                sign(h, &D),
                sign_init(h, CKM_ECDSA),
            ]
        }),
    ]
}

fn wrong_keys() -> Vec<Case> {
    vec![
        case("sign with no key", |h| h.stage.sign_init(CKM_ECDSA, 0)),
        case("sign with a public key", |h| {
            h.stage.sign_init(CKM_ECDSA, h.ec.public)
        }),
        case("sign with a key of another type", |h| {
            h.stage.sign_init(CKM_ECDSA, h.rsa.private)
        }),
        case("sign RSA with a key of another type", |h| {
            h.stage.sign_init(CKM_RSA_PKCS, h.ec.private)
        }),
        case("sign by an unknown mechanism", |h| sign_init(h, 0x7777)),
        case("sign by a mechanism that hashes", |h| {
            sign_init(h, CKM_SHA256)
        }),
        case("sign by a mechanism that generates", |h| {
            sign_init(h, CKM_EC_KEY_PAIR_GEN)
        }),
        case("sign with data", |h| {
            let data = h.stage.create_data(b"data");
            h.stage.sign_init(CKM_ECDSA, data)
        }),
        case("sign with a key that is not for this", |h| {
            let params = bytes(CKA_EC_PARAMS, crate::keys::P256);
            let not = crate::stage::flag(CKA_SIGN, false);
            let derives = crate::stage::flag(CKA_DERIVE, true);
            let made = h
                .stage
                .key_pair(CKM_EC_KEY_PAIR_GEN, &[params], &[not, derives]);
            [made.0, h.stage.sign_init(CKM_ECDSA, made.2)]
        }),
        case("sign by a mechanism that is not allowed", |h| {
            let params = bytes(CKA_EC_PARAMS, crate::keys::P256);
            let allowed = CKM_ECDSA_SHA256.to_ne_bytes();
            let allowed = bytes(CKA_ALLOWED_MECHANISMS, &allowed);
            let made = h.stage.key_pair(CKM_EC_KEY_PAIR_GEN, &[params], &[allowed]);
            [made.0, h.stage.sign_init(CKM_ECDSA, made.2)]
        }),
        case("sign by no mechanism", |h| {
            let none = ptr::null_mut();
            call!(h.stage, C_SignInit(h.stage.session, none, h.ec.private))
        }),
        case("sign in a session that is not there", |h| {
            let mut mechanism = plain(CKM_ECDSA);
            call!(
                h.stage,
                C_SignInit(0x7777, &raw mut mechanism, h.ec.private)
            )
        }),
        case("sign ECDSA with a parameter", |h| {
            let mut mechanism = plain(CKM_ECDSA);
            let mut parameter = [1_u8; 4];
            mechanism.pParameter = parameter.as_mut_ptr().cast();
            mechanism.ulParameterLen = 4;
            let session = h.stage.session;
            call!(
                h.stage,
                C_SignInit(session, &raw mut mechanism, h.ec.private)
            )
        }),
    ]
}

/// PSS with all sorts of parameters, and a signature by each mechanism.
fn mechanisms() -> Vec<Case> {
    let mut cases = Vec::new();
    let parameters = [
        ("as usual", CKM_SHA256, CKG_MGF1_SHA256, 32),
        ("without a salt", CKM_SHA256, CKG_MGF1_SHA256, 0),
        ("with a short salt", CKM_SHA256, CKG_MGF1_SHA256, 20),
        (
            "with all the salt that fits",
            CKM_SHA256,
            CKG_MGF1_SHA256,
            222,
        ),
        ("with more salt than fits", CKM_SHA256, CKG_MGF1_SHA256, 223),
        (
            "with no end of salt",
            CKM_SHA256,
            CKG_MGF1_SHA256,
            CK_ULONG::MAX,
        ),
        ("with another mask", CKM_SHA256, CKG_MGF1_SHA1, 32),
        ("with another hash", CKM_SHA384, CKG_MGF1_SHA384, 32),
        ("with no hash", 0, CKG_MGF1_SHA256, 32),
        ("with no mask", CKM_SHA256, 0, 32),
    ];
    for (name, hash, mgf, salt) in parameters {
        for (of, kind) in [
            ("", CKM_RSA_PKCS_PSS),
            (" over data", CKM_SHA256_RSA_PKCS_PSS),
        ] {
            cases.push(case(format!("PSS {name}{of}"), move |h| {
                let begun = pss(h, kind, hash, mgf, salt);
                if begun != CKR_OK {
                    return names::of(begun);
                }
                [begun, sign(h, &[1; 32])].text()
            }));
        }
    }
    for kind in [CKM_RSA_PKCS_PSS, CKM_SHA256_RSA_PKCS_PSS] {
        cases.push(case(
            format!("PSS without a parameter {kind:#x}"),
            move |h| h.stage.sign_init(kind, h.rsa.private),
        ));
    }
    for (name, kind, rsa) in [
        ("CKM_SHA1_RSA_PKCS", CKM_SHA1_RSA_PKCS, true),
        ("CKM_SHA384_RSA_PKCS", CKM_SHA384_RSA_PKCS, true),
        ("CKM_SHA512_RSA_PKCS", CKM_SHA512_RSA_PKCS, true),
        ("CKM_SHA224_RSA_PKCS", CKM_SHA224_RSA_PKCS, true),
        ("CKM_MD5_RSA_PKCS", CKM_MD5_RSA_PKCS, true),
        ("CKM_ECDSA_SHA1", CKM_ECDSA_SHA1, false),
        ("CKM_ECDSA_SHA256", CKM_ECDSA_SHA256, false),
        ("CKM_ECDSA_SHA384", CKM_ECDSA_SHA384, false),
        ("CKM_ECDSA_SHA512", CKM_ECDSA_SHA512, false),
    ] {
        cases.push(case(format!("sign by {name}"), move |h| {
            let key = if rsa { h.rsa.private } else { h.ec.private };
            let begun = h.stage.sign_init(kind, key);
            if begun != CKR_OK {
                return names::of(begun);
            }
            [begun, sign(h, b"data")].text()
        }));
    }
    cases
}
