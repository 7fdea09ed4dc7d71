//! Verifying, hashing, encrypting and decrypting: in one call and in parts, and wrongly.

use cryptoki_sys::*;

use super::{Case, Hsm, case, names};
use crate::{loaded::call, stage::plain};

fn sign_init(h: Hsm, kind: CK_MECHANISM_TYPE) -> CK_RV {
    h.stage.sign_init(kind, h.ec.private)
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = verified();
    cases.extend(hashed());
    cases.extend(encrypted());
    cases
}

fn verify_init(h: Hsm, kind: CK_MECHANISM_TYPE, key: CK_OBJECT_HANDLE) -> CK_RV {
    let mut mechanism = plain(kind);
    call!(
        h.stage,
        C_VerifyInit(h.stage.session, &raw mut mechanism, key)
    )
}

fn verify(h: Hsm, data: &[u8], signature: &[u8]) -> CK_RV {
    let (a, b) = (data.as_ptr().cast_mut(), data.len() as CK_ULONG);
    let (c, d) = (signature.as_ptr().cast_mut(), signature.len() as CK_ULONG);
    call!(h.stage, C_Verify(h.stage.session, a, b, c, d))
}

pub(super) fn digest_init(h: Hsm, kind: CK_MECHANISM_TYPE) -> CK_RV {
    let mut mechanism = plain(kind);
    call!(h.stage, C_DigestInit(h.stage.session, &raw mut mechanism))
}

fn digest(h: Hsm, room: usize) -> String {
    let mut out = [0; 64];
    let mut len = room as CK_ULONG;
    let (session, place) = (h.stage.session, out.as_mut_ptr());
    let data = b"data".as_ptr().cast_mut();
    let returned = call!(h.stage, C_Digest(session, data, 4, place, &raw mut len));
    format!("{} {len}", names::of(returned))
}

fn digest_update(h: Hsm) -> CK_RV {
    let data = b"data".as_ptr().cast_mut();
    call!(h.stage, C_DigestUpdate(h.stage.session, data, 4))
}

fn digest_last(h: Hsm) -> CK_RV {
    let mut out = [0; 64];
    let mut len = 64;
    let (session, place) = (h.stage.session, out.as_mut_ptr());
    call!(h.stage, C_DigestFinal(session, place, &raw mut len))
}

/// Encrypts with the RSA key; returns what was returned, and the message.
fn encrypt(h: Hsm, data: &[u8]) -> (CK_RV, Vec<u8>) {
    let mut mechanism = plain(CKM_RSA_PKCS);
    let session = h.stage.session;
    let begun = call!(
        h.stage,
        C_EncryptInit(session, &raw mut mechanism, h.rsa.public)
    );
    if begun != CKR_OK {
        return (begun, Vec::new());
    }
    let mut out = vec![0; 512];
    let mut len = 512;
    let (input, place) = (data.as_ptr().cast_mut(), out.as_mut_ptr());
    let data_len = data.len() as CK_ULONG;
    let returned = call!(
        h.stage,
        C_Encrypt(session, input, data_len, place, &raw mut len)
    );
    out.truncate(len as usize);
    (returned, out)
}

fn decrypt(h: Hsm, message: &[u8]) -> String {
    let mut mechanism = plain(CKM_RSA_PKCS);
    let session = h.stage.session;
    let begun = call!(
        h.stage,
        C_DecryptInit(session, &raw mut mechanism, h.rsa.private)
    );
    if begun != CKR_OK {
        return names::of(begun);
    }
    let mut out = [0; 512];
    let mut len = 512;
    let (input, place) = (message.as_ptr().cast_mut(), out.as_mut_ptr());
    let input_len = message.len() as CK_ULONG;
    let returned = call!(
        h.stage,
        C_Decrypt(session, input, input_len, place, &raw mut len)
    );
    names::of(returned)
}

fn verified() -> Vec<Case> {
    const D: [u8; 32] = [1; 32];
    let signature = |h: Hsm| {
        assert_eq!(sign_init(h, CKM_ECDSA), CKR_OK);
        h.stage.sign(&D).unwrap()
    };
    vec![
        case("verify", move |h| {
            let signature = signature(h);
            [
                verify_init(h, CKM_ECDSA, h.ec.public),
                verify(h, &D, &signature),
            ]
        }),
        case("verify other data", move |h| {
            let signature = signature(h);
            [
                verify_init(h, CKM_ECDSA, h.ec.public),
                verify(h, &[2; 32], &signature),
            ]
        }),
        case("verify a short signature", move |h| {
            let signature = signature(h);
            [
                verify_init(h, CKM_ECDSA, h.ec.public),
                verify(h, &D, &signature[1..]),
            ]
        }),
        case("verify a long signature", move |h| {
            let mut signature = signature(h);
            signature.push(0);
            [
                verify_init(h, CKM_ECDSA, h.ec.public),
                verify(h, &D, &signature),
            ]
        }),
        case("verify a signature of zeros", |h| {
            [
                verify_init(h, CKM_ECDSA, h.ec.public),
                verify(h, &D, &[0; 64]),
            ]
        }),
        case("verify an RSA signature of zeros", |h| {
            let begun = verify_init(h, CKM_SHA256_RSA_PKCS, h.rsa.public);
            [begun, verify(h, b"data", &[0; 256])]
        }),
        case("verify a short RSA signature", |h| {
            let begun = verify_init(h, CKM_SHA256_RSA_PKCS, h.rsa.public);
            [begun, verify(h, b"data", &[1; 255])]
        }),
        case("verify twice", move |h| {
            let signature = signature(h);
            let begun = verify_init(h, CKM_ECDSA, h.ec.public);
            [begun, verify(h, &D, &signature), verify(h, &D, &signature)]
        }),
        case("verify with a private key", |h| {
            verify_init(h, CKM_ECDSA, h.ec.private)
        }),
        case("verify with a key of another type", |h| {
            verify_init(h, CKM_ECDSA, h.rsa.public)
        }),
        case("verify without a beginning", |h| verify(h, &D, &[0; 64])),
        case("verify, begun twice", |h| {
            [
                verify_init(h, CKM_ECDSA, h.ec.public),
                verify_init(h, CKM_ECDSA, h.ec.public),
            ]
        }),
        case("verify RSA in parts", |h| {
            assert_eq!(
                h.stage.sign_init(CKM_SHA256_RSA_PKCS, h.rsa.private),
                CKR_OK
            );
            let signature = h.stage.sign(b"data").unwrap();
            let session = h.stage.session;
            let begun = verify_init(h, CKM_SHA256_RSA_PKCS, h.rsa.public);
            let data = b"data".as_ptr().cast_mut();
            let added = call!(h.stage, C_VerifyUpdate(session, data, 4));
            let place = signature.as_ptr().cast_mut();
            [
                begun,
                added,
                call!(h.stage, C_VerifyFinal(session, place, 256)),
            ]
        }),
    ]
}

fn hashed() -> Vec<Case> {
    vec![
        case("hash", |h| {
            assert_eq!(digest_init(h, CKM_SHA256), CKR_OK);
            digest(h, 32)
        }),
        case("hash: too little room, then enough", |h| {
            assert_eq!(digest_init(h, CKM_SHA256), CKR_OK);
            [digest(h, 31), digest(h, 32)].join(", ")
        }),
        case("hash in parts", |h| {
            [digest_init(h, CKM_SHA256), digest_update(h), digest_last(h)]
        }),
        case("hash in no parts", |h| {
            [digest_init(h, CKM_SHA256), digest_last(h)]
        }),
        case("hash whole after a part", |h| {
            assert_eq!(digest_init(h, CKM_SHA256), CKR_OK);
            assert_eq!(digest_update(h), CKR_OK);
            [digest(h, 32), names::of(digest_last(h))].join(", ")
        }),
        case("hash without a beginning", |h| {
            [
                digest(h, 32),
                names::of(digest_update(h)),
                names::of(digest_last(h)),
            ]
            .join(", ")
        }),
        case("hash, begun twice", |h| {
            [digest_init(h, CKM_SHA256), digest_init(h, CKM_SHA256)]
        }),
        case("hash by a mechanism that signs", |h| {
            digest_init(h, CKM_ECDSA)
        }),
    ]
}

fn encrypted() -> Vec<Case> {
    vec![
        case("encrypt and decrypt", |h| {
            let (returned, message) = encrypt(h, b"data");
            format!("{}, {}", names::of(returned), decrypt(h, &message))
        }),
        case("encrypt too much", |h| encrypt(h, &[1; 246]).0),
        case("encrypt all that fits", |h| encrypt(h, &[1; 245]).0),
        case("decrypt nothing", |h| decrypt(h, b"")),
        case("decrypt a short message", |h| decrypt(h, &[1; 255])),
        case("decrypt what is too large a number", |h| {
            decrypt(h, &[0xff; 256])
        }),
        case("encrypt with an EC key", |h| {
            let mut mechanism = plain(CKM_RSA_PKCS);
            let session = h.stage.session;
            call!(
                h.stage,
                C_EncryptInit(session, &raw mut mechanism, h.ec.public)
            )
        }),
        case("decrypt with an EC key", |h| {
            let mut mechanism = plain(CKM_RSA_PKCS);
            let session = h.stage.session;
            call!(
                h.stage,
                C_DecryptInit(session, &raw mut mechanism, h.ec.private)
            )
        }),
        case("encrypt by a mechanism that signs", |h| {
            let mut mechanism = plain(CKM_SHA256_RSA_PKCS);
            let session = h.stage.session;
            call!(
                h.stage,
                C_EncryptInit(session, &raw mut mechanism, h.rsa.public)
            )
        }),
    ]
}
