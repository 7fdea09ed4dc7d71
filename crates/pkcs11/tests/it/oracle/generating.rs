//! Templates of keys that are generated: what is refused, and how.

use cryptoki_sys::*;

use super::{Case, Hsm, case};
use crate::{
    keys::P256,
    stage::{bytes, constant, flag},
};

/// The attributes of a template.
type Template = Vec<CK_ATTRIBUTE>;

/// The generation of an EC key of the session, with more in both templates.
fn ec(hsm: Hsm, public: Template, private: Template) -> CK_RV {
    let mut both = vec![bytes(CKA_EC_PARAMS, P256)];
    both.extend(public);
    hsm.stage.generate(CKM_EC_KEY_PAIR_GEN, &both, &private)
}

/// The generation of an RSA key from these templates.
fn rsa(hsm: Hsm, public: Template) -> CK_RV {
    hsm.stage.generate(CKM_RSA_PKCS_KEY_PAIR_GEN, &public, &[])
}

pub(super) fn cases() -> Vec<Case> {
    let none = Vec::new;
    vec![
        case("generate: nothing more", move |h| ec(h, none(), none())),
        case("generate: the wrong class", move |h| {
            ec(h, vec![constant(CKA_CLASS, CKO_PRIVATE_KEY)], none())
        }),
        case("generate: the wrong class of the private half", move |h| {
            ec(h, none(), vec![constant(CKA_CLASS, CKO_PUBLIC_KEY)])
        }),
        case("generate: the wrong type of key", move |h| {
            ec(h, vec![constant(CKA_KEY_TYPE, CKK_RSA)], none())
        }),
        case("generate: no curve", |h| {
            h.stage.generate(CKM_EC_KEY_PAIR_GEN, &[], &[])
        }),
        case("generate: a curve that nobody has", |h| {
            let params = bytes(CKA_EC_PARAMS, b"\x06\x03\x2a\x03\x04");
            h.stage.generate(CKM_EC_KEY_PAIR_GEN, &[params], &[])
        }),
        case("generate: a curve that is no DER", |h| {
            let params = bytes(CKA_EC_PARAMS, b"P-256");
            h.stage.generate(CKM_EC_KEY_PAIR_GEN, &[params], &[])
        }),
        case("generate: an unknown attribute", move |h| {
            ec(h, vec![bytes(0x0765_4321, b"x")], none())
        }),
        case("generate: an attribute of another class", move |h| {
            ec(h, vec![bytes(CKA_APPLICATION, b"x")], none())
        }),
        case("generate: CKA_LOCAL", move |h| {
            ec(h, none(), vec![flag(CKA_LOCAL, true)])
        }),
        case("generate: CKA_VALUE", move |h| {
            ec(h, none(), vec![bytes(CKA_VALUE, &[1; 32])])
        }),
        case("generate: CKA_EC_POINT", move |h| {
            ec(h, vec![bytes(CKA_EC_POINT, &[4; 67])], none())
        }),
        case("generate: CKA_SENSITIVE false", move |h| {
            ec(h, none(), vec![flag(CKA_SENSITIVE, false)])
        }),
        case("generate: CKA_EXTRACTABLE true", move |h| {
            ec(h, none(), vec![flag(CKA_EXTRACTABLE, true)])
        }),
        case("generate: a flag of two bytes", move |h| {
            ec(h, vec![bytes(CKA_VERIFY, &[1, 0])], none())
        }),
        case("generate: a flag of no bytes", move |h| {
            ec(h, vec![bytes(CKA_VERIFY, &[])], none())
        }),
        case("generate: a class of four bytes", move |h| {
            ec(h, vec![bytes(CKA_CLASS, &[2, 0, 0, 0])], none())
        }),
        case("generate: a date", move |h| {
            ec(h, vec![bytes(CKA_START_DATE, b"20300101")], none())
        }),
        case("generate: a date of seven digits", move |h| {
            ec(h, vec![bytes(CKA_START_DATE, b"2030101")], none())
        }),
        case("generate: a key that always asks", move |h| {
            let asks = flag(CKA_ALWAYS_AUTHENTICATE, true);
            ec(h, none(), vec![flag(CKA_PRIVATE, true), asks])
        }),
        case("generate: a private key that everybody sees", move |h| {
            ec(h, none(), vec![flag(CKA_PRIVATE, false)])
        }),
        case("generate: CKA_TRUSTED", move |h| {
            ec(h, vec![flag(CKA_TRUSTED, true)], none())
        }),
        case("generate: CKA_WRAP_WITH_TRUSTED", move |h| {
            ec(h, none(), vec![flag(CKA_WRAP_WITH_TRUSTED, true)])
        }),
        case("generate: not modifiable", move |h| {
            ec(h, none(), vec![flag(CKA_MODIFIABLE, false)])
        }),
        case("generate: allowed mechanisms", move |h| {
            let allowed = CKM_ECDSA.to_ne_bytes();
            ec(h, none(), vec![bytes(CKA_ALLOWED_MECHANISMS, &allowed)])
        }),
        case("generate: allowed mechanisms of four bytes", move |h| {
            ec(h, none(), vec![bytes(CKA_ALLOWED_MECHANISMS, &[1; 4])])
        }),
        case("generate: hints for wrapping", move |h| {
            let public = vec![flag(CKA_WRAP, true), flag(CKA_ENCRYPT, true)];
            ec(
                h,
                public,
                vec![flag(CKA_UNWRAP, true), flag(CKA_DECRYPT, true)],
            )
        }),
        case("generate: a subject", move |h| {
            let subject = || vec![bytes(CKA_SUBJECT, b"\x30\x00")];
            ec(h, subject(), subject())
        }),
        case("generate: RSA without a size", |h| rsa(h, Vec::new())),
        case("generate: RSA of 64 bits", |h| {
            rsa(h, vec![constant(CKA_MODULUS_BITS, 64)])
        }),
        case("generate: RSA of 1024 bits", |h| {
            rsa(h, vec![constant(CKA_MODULUS_BITS, 1024)])
        }),
        case("generate: RSA with a size of four bytes", |h| {
            rsa(h, vec![bytes(CKA_MODULUS_BITS, &[0, 8, 0, 0])])
        }),
        case("generate: RSA with an exponent of nothing", |h| {
            let e = bytes(CKA_PUBLIC_EXPONENT, &[]);
            rsa(h, vec![constant(CKA_MODULUS_BITS, 2048), e])
        }),
        case("generate: RSA with an even exponent", |h| {
            let e = bytes(CKA_PUBLIC_EXPONENT, &[4]);
            rsa(h, vec![constant(CKA_MODULUS_BITS, 2048), e])
        }),
        case("generate: RSA with a modulus", |h| {
            let n = bytes(CKA_MODULUS, &[0xc1; 256]);
            rsa(h, vec![constant(CKA_MODULUS_BITS, 2048), n])
        }),
        case("generate: EC by the mechanism of RSA", |h| {
            rsa(h, vec![bytes(CKA_EC_PARAMS, P256)])
        }),
        case("generate: by a mechanism that signs", |h| {
            h.stage
                .generate(CKM_ECDSA, &[bytes(CKA_EC_PARAMS, P256)], &[])
        }),
        case("generate: in the token by a read-only session", |h| {
            let h = Hsm {
                stage: h.stage.another(CKF_SERIAL_SESSION),
                ..h
            };
            ec(h, vec![flag(CKA_TOKEN, true)], vec![flag(CKA_TOKEN, true)])
        }),
    ]
}
