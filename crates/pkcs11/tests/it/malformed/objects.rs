//! Templates that are malformed, contradict themselves, or want what is not given.

use std::ptr;

use cryptoki_sys::*;

use super::{Case, staged};
use crate::{
    guarded::Guarded,
    keys::{P256, P384},
    loaded::{call, done},
    stage::{Stage, bytes, constant, flag, plain},
};

const UNAVAILABLE: CK_ULONG = CK_UNAVAILABLE_INFORMATION;

/// An attribute whose value is null and has this length.
fn null(kind: CK_ATTRIBUTE_TYPE, len: CK_ULONG) -> CK_ATTRIBUTE {
    CK_ATTRIBUTE {
        type_: kind,
        pValue: ptr::null_mut(),
        ulValueLen: len,
    }
}

fn create(s: Stage, template: &[CK_ATTRIBUTE]) -> CK_RV {
    let mut object = 0;
    let len = template.len() as CK_ULONG;
    let template = template.as_ptr().cast_mut();
    call!(s, C_CreateObject(s.session, template, len, &raw mut object))
}

fn find_init(s: Stage, template: &[CK_ATTRIBUTE]) -> CK_RV {
    let len = template.len() as CK_ULONG;
    call!(
        s,
        C_FindObjectsInit(s.session, template.as_ptr().cast_mut(), len)
    )
}

fn set(s: Stage, object: CK_OBJECT_HANDLE, template: &[CK_ATTRIBUTE]) -> CK_RV {
    let len = template.len() as CK_ULONG;
    call!(
        s,
        C_SetAttributeValue(s.session, object, template.as_ptr().cast_mut(), len)
    )
}

fn get(s: Stage, object: CK_OBJECT_HANDLE, template: &mut [CK_ATTRIBUTE]) -> CK_RV {
    let len = template.len() as CK_ULONG;
    call!(
        s,
        C_GetAttributeValue(s.session, object, template.as_mut_ptr(), len)
    )
}

fn private(s: Stage) -> CK_OBJECT_HANDLE {
    s.object(CKO_PRIVATE_KEY, "ecdsa-p256")
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![
        staged("an attribute without a value that has a length", |s| {
            let template = [null(CKA_ID, 8)];
            assert_eq!(find_init(s, &template), CKR_ARGUMENTS_BAD);
            assert_eq!(create(s, &template), CKR_ARGUMENTS_BAD);
            assert_eq!(set(s, private(s), &template), CKR_ARGUMENTS_BAD);
            let refused = s.generate(CKM_EC_KEY_PAIR_GEN, &template, &[]);
            assert_eq!(refused, CKR_ARGUMENTS_BAD);
        }),
        staged("an attribute without a value", |s| {
            // A search for an empty label, of which there is none.
            assert_eq!(find_init(s, &[null(CKA_LABEL, 0)]), CKR_OK);
        }),
        staged("values that are longer than anything", |s| {
            for len in [(1 << 20) + 1, 1 << 40, CK_ULONG::MAX] {
                let mut long = bytes(CKA_ID, b"1");
                long.ulValueLen = len;
                let refused = [CKR_ARGUMENTS_BAD, CKR_ATTRIBUTE_VALUE_INVALID];
                assert!(refused.contains(&find_init(s, &[long])));
                assert!(refused.contains(&create(s, &[long])));
            }
        }),
        staged("ten thousand attributes", |s| {
            let template = vec![bytes(CKA_ID, b"1"); 10_000];
            assert_eq!(find_init(s, &template), CKR_ARGUMENTS_BAD);
        }),
        staged("a template that is not aligned", |s| {
            let memory = Guarded::default();
            // The values end where the page does, and so begin at odd places.
            let class = memory.copy(&CKO_PRIVATE_KEY.to_ne_bytes());
            let odd = memory.copy(&[&[0][..], &CKO_PRIVATE_KEY.to_ne_bytes(), &[0]].concat());
            for value in [class, odd.wrapping_add(1)] {
                let attribute = CK_ATTRIBUTE {
                    type_: CKA_CLASS,
                    pValue: value.cast(),
                    ulValueLen: 8,
                };
                let words = size_of::<CK_ATTRIBUTE>();
                let place = memory.room::<u8>(words + 1);
                let attributes = place.cast::<CK_ATTRIBUTE>();
                // SAFETY: there is room for it.
                unsafe { attributes.write_unaligned(attribute) };
                done!(s, C_FindObjectsInit(s.session, attributes, 1));
                let (mut found, mut count) = ([0; 8], 0);
                done!(
                    s,
                    C_FindObjects(s.session, found.as_mut_ptr(), 8, &raw mut count)
                );
                assert_eq!(count, 2);
                done!(s, C_FindObjectsFinal(s.session));
            }
        }),
        staged("numbers and flags of a wrong length", |s| {
            let eight = CKO_DATA.to_ne_bytes();
            for wrong in [&eight[..7], &[&eight[..], &[0]].concat(), &[]] {
                assert_eq!(
                    create(s, &[bytes(CKA_CLASS, wrong)]),
                    CKR_ATTRIBUTE_VALUE_INVALID
                );
            }
            let class = bytes(CKA_CLASS, &eight);
            for wrong in [&[][..], &[1, 0], &eight] {
                assert_eq!(
                    create(s, &[class, bytes(CKA_TOKEN, wrong)]),
                    CKR_ATTRIBUTE_VALUE_INVALID
                );
            }
        }),
        staged("classes that are not made", |s| {
            for (class, expected) in [
                (CKO_PRIVATE_KEY, CKR_TEMPLATE_INCONSISTENT),
                (CKO_SECRET_KEY, CKR_TEMPLATE_INCONSISTENT),
                (CKO_HW_FEATURE, CKR_ATTRIBUTE_VALUE_INVALID),
                (CKO_DOMAIN_PARAMETERS, CKR_ATTRIBUTE_VALUE_INVALID),
                (CK_ULONG::MAX, CKR_ATTRIBUTE_VALUE_INVALID),
            ] {
                assert_eq!(create(s, &[constant(CKA_CLASS, class)]), expected);
            }
            assert_eq!(create(s, &[]), CKR_TEMPLATE_INCOMPLETE);
        }),
        staged("a class that is two", |s| {
            let both = [
                constant(CKA_CLASS, CKO_DATA),
                constant(CKA_CLASS, CKO_CERTIFICATE),
            ];
            assert_eq!(create(s, &both), CKR_TEMPLATE_INCONSISTENT);
        }),
        staged("certificates that are none", |s| {
            let class = constant(CKA_CLASS, CKO_CERTIFICATE);
            assert_eq!(create(s, &[class]), CKR_TEMPLATE_INCOMPLETE);
            let bomb = [0x30; 4096];
            for value in [&b""[..], b"not DER", b"\x30\x84\xff\xff\xff\xff", &bomb] {
                assert_eq!(
                    create(s, &[class, bytes(CKA_VALUE, value)]),
                    CKR_ATTRIBUTE_VALUE_INVALID
                );
            }
            assert_eq!(
                create(s, &[class, constant(CKA_CERTIFICATE_TYPE, 1)]),
                CKR_ATTRIBUTE_VALUE_INVALID
            );
        }),
        staged("public keys that are none", |s| {
            let class = constant(CKA_CLASS, CKO_PUBLIC_KEY);
            let ec = constant(CKA_KEY_TYPE, CKK_EC);
            let params = bytes(CKA_EC_PARAMS, P256);
            assert_eq!(create(s, &[class]), CKR_TEMPLATE_INCOMPLETE);
            assert_eq!(create(s, &[class, ec]), CKR_TEMPLATE_INCOMPLETE);
            assert_eq!(create(s, &[class, ec, params]), CKR_TEMPLATE_INCOMPLETE);
            let off = [&[4][..], &[1; 64]].concat();
            for point in [&b""[..], &[4], &off] {
                assert_eq!(
                    create(s, &[class, ec, params, bytes(CKA_EC_POINT, point)]),
                    CKR_ATTRIBUTE_VALUE_INVALID
                );
            }
            assert_eq!(
                create(s, &[class, ec, bytes(CKA_EC_PARAMS, b"\x06\x01\x01")]),
                CKR_CURVE_NOT_SUPPORTED
            );
            let rsa = constant(CKA_KEY_TYPE, CKK_RSA);
            let e = bytes(CKA_PUBLIC_EXPONENT, &[1, 0, 1]);
            assert_eq!(create(s, &[class, rsa, e]), CKR_TEMPLATE_INCOMPLETE);
            for modulus in [&[][..], &[0; 256], &[0xff; 64]] {
                assert_eq!(
                    create(s, &[class, rsa, e, bytes(CKA_MODULUS, modulus)]),
                    CKR_ATTRIBUTE_VALUE_INVALID
                );
            }
            assert_eq!(
                create(s, &[class, constant(CKA_KEY_TYPE, CKK_DSA)]),
                CKR_ATTRIBUTE_VALUE_INVALID
            );
        }),
        staged("labels and values that are not kept", |s| {
            let class = constant(CKA_CLASS, CKO_DATA);
            let token = flag(CKA_TOKEN, true);
            for label in [&[b'a'; 129][..], b"\xff", b"a\0b"] {
                let refused = create(s, &[class, token, bytes(CKA_LABEL, label)]);
                assert_eq!(refused, CKR_ATTRIBUTE_VALUE_INVALID);
            }
            let long = vec![1; 65_537];
            let refused = create(s, &[class, token, bytes(CKA_VALUE, &long)]);
            assert_eq!(refused, CKR_ATTRIBUTE_VALUE_INVALID);
        }),
        staged("secrets that are asked for", |s| {
            let (mut label, mut value) = ([0_u8; 32], [0xa5_u8; 32]);
            let mut template = [
                bytes(CKA_VALUE, &value),
                bytes(CKA_LABEL, &label),
                null(CKA_VALUE, 0),
                null(CKA_ID, 0),
            ];
            template[0].pValue = value.as_mut_ptr().cast();
            template[1].pValue = label.as_mut_ptr().cast();
            assert_eq!(get(s, private(s), &mut template), CKR_ATTRIBUTE_SENSITIVE);
            let lengths = template.map(|attribute| attribute.ulValueLen);
            assert_eq!(lengths, [UNAVAILABLE, 10, UNAVAILABLE, 2]);
            assert_eq!(&label[..10], b"ecdsa-p256");
            assert_eq!(value, [0xa5; 32]);
            let rsa = s.object(CKO_PRIVATE_KEY, "rsa2048");
            for kind in [
                CKA_PRIVATE_EXPONENT,
                CKA_PRIME_1,
                CKA_PRIME_2,
                CKA_EXPONENT_1,
                CKA_EXPONENT_2,
                CKA_COEFFICIENT,
            ] {
                let mut one = [null(kind, 0)];
                assert_eq!(get(s, rsa, &mut one), CKR_ATTRIBUTE_SENSITIVE);
                assert_eq!(one[0].ulValueLen, UNAVAILABLE);
            }
        }),
        staged("attributes that there are not, and one too long", |s| {
            let mut small = [0_u8; 2];
            let mut template = [
                null(CKA_MODULUS, 0),
                null(0x8765_4321, 0),
                bytes(CKA_LABEL, &small),
                null(CKA_EC_PARAMS, 0),
            ];
            template[2].pValue = small.as_mut_ptr().cast();
            let returned = get(s, private(s), &mut template);
            let refused = [CKR_ATTRIBUTE_TYPE_INVALID, CKR_BUFFER_TOO_SMALL];
            assert!(refused.contains(&returned), "{returned:#x}");
            let lengths = template.map(|attribute| attribute.ulValueLen);
            assert_eq!(lengths, [UNAVAILABLE, UNAVAILABLE, UNAVAILABLE, 10]);
            assert_eq!(small, [0; 2]);
        }),
        staged("attributes that cannot be changed", |s| {
            for (attribute, expected) in [
                (flag(CKA_EXTRACTABLE, true), CKR_ATTRIBUTE_READ_ONLY),
                (flag(CKA_SENSITIVE, false), CKR_ATTRIBUTE_READ_ONLY),
                (flag(CKA_COPYABLE, true), CKR_ATTRIBUTE_READ_ONLY),
                (flag(CKA_LOCAL, false), CKR_ATTRIBUTE_READ_ONLY),
                (flag(CKA_TOKEN, false), CKR_ATTRIBUTE_READ_ONLY),
                (flag(CKA_PRIVATE, false), CKR_ATTRIBUTE_READ_ONLY),
                (bytes(CKA_EC_PARAMS, P256), CKR_ATTRIBUTE_READ_ONLY),
                (bytes(CKA_VALUE, &[1; 32]), CKR_ATTRIBUTE_READ_ONLY),
                (bytes(CKA_MODULUS, &[1; 32]), CKR_ATTRIBUTE_TYPE_INVALID),
                (bytes(0x8765_4321, b"1"), CKR_ATTRIBUTE_TYPE_INVALID),
                (bytes(CKA_LABEL, b"\xff"), CKR_ATTRIBUTE_VALUE_INVALID),
                (bytes(CKA_ID, &[1; 129]), CKR_ATTRIBUTE_VALUE_INVALID),
            ] {
                assert_eq!(set(s, private(s), &[attribute]), expected, "{attribute:?}");
            }
        }),
        staged("one change that cannot be and one that can", |s| {
            let template = [bytes(CKA_LABEL, b"new"), flag(CKA_LOCAL, false)];
            assert_eq!(set(s, private(s), &template), CKR_ATTRIBUTE_READ_ONLY);
            // The label is what it was, or the key would not be found.
            private(s);
        }),
        staged("key pairs without what they are to be", |s| {
            assert_eq!(
                s.generate(CKM_EC_KEY_PAIR_GEN, &[], &[]),
                CKR_TEMPLATE_INCOMPLETE
            );
            assert_eq!(
                s.generate(CKM_RSA_PKCS_KEY_PAIR_GEN, &[], &[]),
                CKR_TEMPLATE_INCOMPLETE
            );
        }),
        staged("key pairs that are not made", |s| {
            for bits in [0, 512, 1024, 2047, 4096, CK_ULONG::MAX] {
                let public = [constant(CKA_MODULUS_BITS, bits)];
                assert_eq!(
                    s.generate(CKM_RSA_PKCS_KEY_PAIR_GEN, &public, &[]),
                    CKR_KEY_SIZE_RANGE
                );
            }
            let bits = constant(CKA_MODULUS_BITS, 2048);
            let public = [bits, bytes(CKA_PUBLIC_EXPONENT, &[3])];
            assert_eq!(
                s.generate(CKM_RSA_PKCS_KEY_PAIR_GEN, &public, &[]),
                CKR_ATTRIBUTE_VALUE_INVALID
            );
            for curve in [
                &b""[..],
                b"\x06\x05\x2b\x81\x04\x00\x0a",
                b"\x30\x00",
                &[0; 200],
            ] {
                let public = [bytes(CKA_EC_PARAMS, curve)];
                assert_eq!(
                    s.generate(CKM_EC_KEY_PAIR_GEN, &public, &[]),
                    CKR_CURVE_NOT_SUPPORTED
                );
            }
        }),
        staged("every kind of key on one token", |s| {
            let (mut kind, expected) = (plain(CKM_EC_KEY_PAIR_GEN), CKR_MECHANISM_PARAM_INVALID);
            kind.pParameter = ptr::dangling_mut::<u64>().cast();
            kind.ulParameterLen = 8;
            let public = [bytes(CKA_EC_PARAMS, P256)];
            let (mut a, mut b) = (0, 0);
            let template = public.as_ptr().cast_mut();
            assert_eq!(
                call!(
                    s,
                    C_GenerateKeyPair(
                        s.session,
                        &raw mut kind,
                        template,
                        1,
                        ptr::null_mut(),
                        0,
                        &raw mut a,
                        &raw mut b
                    )
                ),
                expected
            );
            for kind in [
                CKM_ECDSA,
                CKM_AES_KEY_GEN,
                CKM_DSA_KEY_PAIR_GEN,
                CK_ULONG::MAX,
            ] {
                assert_eq!(s.generate(kind, &public, &[]), CKR_MECHANISM_INVALID);
            }
        }),
    ];
    let inconsistent = CKR_TEMPLATE_INCONSISTENT;
    let invalid = CKR_ATTRIBUTE_VALUE_INVALID;
    let token = flag(CKA_TOKEN, true);
    for (name, private, expected) in [
        (
            "extractable",
            vec![flag(CKA_EXTRACTABLE, true)],
            inconsistent,
        ),
        (
            "not sensitive",
            vec![flag(CKA_SENSITIVE, false)],
            inconsistent,
        ),
        (
            "copyable and in the token",
            vec![token, flag(CKA_COPYABLE, true)],
            inconsistent,
        ),
        (
            "asked for each time and unseen",
            vec![
                flag(CKA_PRIVATE, false),
                flag(CKA_ALWAYS_AUTHENTICATE, true),
            ],
            inconsistent,
        ),
        (
            "a public key",
            vec![constant(CKA_CLASS, CKO_PUBLIC_KEY)],
            inconsistent,
        ),
        (
            "an RSA key on a curve",
            vec![constant(CKA_KEY_TYPE, CKK_RSA)],
            inconsistent,
        ),
        (
            "on two curves",
            vec![bytes(CKA_EC_PARAMS, P384)],
            inconsistent,
        ),
        (
            "called twice",
            vec![bytes(CKA_ID, b"1"), bytes(CKA_ID, b"2")],
            inconsistent,
        ),
        (
            "good for nothing",
            vec![bytes(CKA_ALLOWED_MECHANISMS, b"")],
            invalid,
        ),
        (
            "good for half a mechanism",
            vec![bytes(CKA_ALLOWED_MECHANISMS, &[0; 4])],
            invalid,
        ),
        (
            "born in a month that there is not",
            vec![bytes(CKA_START_DATE, b"20301301")],
            invalid,
        ),
        (
            "two bytes of a flag",
            vec![bytes(CKA_SIGN, &[1, 1])],
            invalid,
        ),
        (
            "brought along",
            vec![bytes(CKA_VALUE, &[1; 32])],
            CKR_ATTRIBUTE_READ_ONLY,
        ),
        (
            "local by its own word",
            vec![flag(CKA_LOCAL, true)],
            CKR_ATTRIBUTE_READ_ONLY,
        ),
        (
            "a certificate, in part",
            vec![bytes(CKA_ISSUER, b"0")],
            CKR_ATTRIBUTE_TYPE_INVALID,
        ),
        (
            "something unheard of",
            vec![bytes(0x8765_4321, b"1")],
            CKR_ATTRIBUTE_TYPE_INVALID,
        ),
    ] {
        cases.push(staged(
            format!("a private key that is to be {name}"),
            move |s| {
                let public = [bytes(CKA_EC_PARAMS, P256)];
                assert_eq!(s.generate(CKM_EC_KEY_PAIR_GEN, &public, &private), expected);
            },
        ));
    }
    cases
}
