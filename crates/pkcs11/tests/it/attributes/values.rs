//! Values for the attributes of templates.

use cryptoki_sys::*;

use crate::{
    keys::{P256, P384},
    stage::{Stage, bytes, constant},
};

/// A certificate: its serial number, names and key are what they look like, and nothing else is.
pub(crate) fn certificate() -> Vec<u8> {
    fn der(tag: u8, contents: &[&[u8]]) -> Vec<u8> {
        let contents = contents.concat();
        let len = u8::try_from(contents.len()).expect("it is short");
        let long: &[u8] = if len < 128 { &[] } else { &[0x81] };
        [&[tag][..], long, &[len], &contents].concat()
    }
    let name = |text: &[u8]| {
        let string = der(0x0c, &[text]);
        der(
            0x30,
            &[&der(
                0x31,
                &[&der(0x30, &[b"\x06\x03\x55\x04\x03", &string])],
            )],
        )
    };
    let empty = der(0x30, &[]);
    let fields = der(
        0x30,
        &[
            SERIAL,
            &empty,
            &name(b"issuer"),
            &empty,
            &name(b"subject"),
            &der(0x30, &[b"\x05\x00"]),
        ],
    );
    der(0x30, &[&fields, &empty, b"\x03\x01\x00"])
}

const SERIAL: &[u8] = b"\x02\x02\x01\x02";

/// Values that an attribute could have: more than one, so that none is right by chance.
pub(super) fn values(kind: CK_ATTRIBUTE_TYPE) -> Vec<Vec<u8>> {
    let number = |n: CK_ULONG| n.to_ne_bytes().to_vec();
    match kind {
        CKA_CLASS => [
            CKO_DATA,
            CKO_CERTIFICATE,
            CKO_PUBLIC_KEY,
            CKO_PRIVATE_KEY,
            CKO_SECRET_KEY,
        ]
        .map(number)
        .to_vec(),
        CKA_KEY_TYPE => [CKK_RSA, CKK_EC, CKK_AES, CKK_GENERIC_SECRET]
            .map(number)
            .to_vec(),
        CKA_START_DATE | CKA_END_DATE => {
            [&b"20301231"[..], b"", b"nonsense"].map(Vec::from).to_vec()
        }
        CKA_ALLOWED_MECHANISMS => vec![
            number(CKM_ECDSA_SHA256),
            [number(CKM_ECDSA), number(CKM_ECDH1_DERIVE)].concat(),
        ],
        CKA_LABEL | CKA_APPLICATION | CKA_URL => [&b"text"[..], b"\xff"].map(Vec::from).to_vec(),
        CKA_EC_PARAMS => [P256, P384].map(Vec::from).to_vec(),
        CKA_PUBLIC_EXPONENT => [&b"\x01\x00\x01"[..], b"\x03"].map(Vec::from).to_vec(),
        CKA_SERIAL_NUMBER => [SERIAL, b"\x02\x01\x03"].map(Vec::from).to_vec(),
        CKA_VALUE_LEN => [16, 1 << 40].map(number).to_vec(),
        CKA_MODULUS_BITS => [2048, 1].map(number).to_vec(),
        CKA_VALUE => vec![certificate(), b"value".to_vec()],
        CKA_ID | CKA_SUBJECT => [&b"bytes"[..], b"\x01"].map(Vec::from).to_vec(),
        // A flag, a number, and bytes of no such length.
        _ => vec![
            vec![CK_TRUE],
            vec![CK_FALSE],
            number(1),
            number(7),
            b"bytes".to_vec(),
        ],
    }
}

/// Flags for what such an object is not for. Clients send them with every key; they are taken, and
/// the object says that it is not for that.
pub(super) fn hints(s: Stage, object: CK_OBJECT_HANDLE) -> &'static [CK_ATTRIBUTE_TYPE] {
    let number = |kind| {
        let value = s.get(object, kind).ok()?;
        Some(CK_ULONG::from_ne_bytes(value.try_into().ok()?))
    };
    match (number(CKA_CLASS), number(CKA_KEY_TYPE)) {
        (Some(CKO_PRIVATE_KEY), Some(CKK_EC)) => &[CKA_DECRYPT, CKA_SIGN_RECOVER, CKA_UNWRAP],
        (Some(CKO_PRIVATE_KEY), _) => &[CKA_DERIVE, CKA_SIGN_RECOVER, CKA_UNWRAP],
        (Some(CKO_PUBLIC_KEY), Some(CKK_EC)) => &[CKA_ENCRYPT, CKA_VERIFY_RECOVER, CKA_WRAP],
        (Some(CKO_PUBLIC_KEY), _) => &[CKA_DERIVE, CKA_VERIFY_RECOVER, CKA_WRAP],
        (Some(CKO_SECRET_KEY), _) => &[
            CKA_ENCRYPT,
            CKA_DECRYPT,
            CKA_SIGN,
            CKA_VERIFY,
            CKA_WRAP,
            CKA_UNWRAP,
            CKA_DERIVE,
        ],
        _ => &[],
    }
}

/// A base of every kind that can be created, with its name.
pub(super) fn bases(s: Stage) -> Vec<(&'static str, Vec<CK_ATTRIBUTE>)> {
    let leak = |value: Vec<u8>| -> &'static [u8] { Box::leak(value.into()) };
    let public = s.object(CKO_PUBLIC_KEY, "ecdsa-p256");
    let point = leak(s.get(public, CKA_EC_POINT).expect("a point"));
    let modulus = Box::leak(vec![0xc3; 256].into_boxed_slice());
    vec![
        (
            "data",
            vec![constant(CKA_CLASS, CKO_DATA), bytes(CKA_VALUE, b"data")],
        ),
        (
            "a certificate",
            vec![
                constant(CKA_CLASS, CKO_CERTIFICATE),
                bytes(CKA_VALUE, leak(certificate())),
            ],
        ),
        (
            "a public key on a curve",
            vec![
                constant(CKA_CLASS, CKO_PUBLIC_KEY),
                constant(CKA_KEY_TYPE, CKK_EC),
                bytes(CKA_EC_PARAMS, P256),
                bytes(CKA_EC_POINT, point),
            ],
        ),
        (
            "an RSA public key",
            vec![
                constant(CKA_CLASS, CKO_PUBLIC_KEY),
                constant(CKA_KEY_TYPE, CKK_RSA),
                bytes(CKA_MODULUS, modulus),
                bytes(CKA_PUBLIC_EXPONENT, &[1, 0, 1]),
            ],
        ),
    ]
}
