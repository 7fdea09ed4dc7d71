//! Every attribute of the standard in the template of every function: honoured or refused, and
//! never ignored.

use std::ptr;

use cryptoki_sys::*;

use crate::{
    isolated::isolated,
    keys::{P256, P384},
    loaded::{Module, call, done},
    stage::{Stage, bytes, constant, flag, plain},
    world::{LOCKED, PIN, World},
};

pub(crate) mod all;

use all::ALL;

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
fn values(kind: CK_ATTRIBUTE_TYPE) -> Vec<Vec<u8>> {
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
fn hints(s: Stage, object: CK_OBJECT_HANDLE) -> &'static [CK_ATTRIBUTE_TYPE] {
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

/// What the standard lets a function say to a template that it does not take.
const REFUSALS: [CK_RV; 8] = [
    CKR_ATTRIBUTE_READ_ONLY,
    CKR_ATTRIBUTE_TYPE_INVALID,
    CKR_ATTRIBUTE_VALUE_INVALID,
    CKR_TEMPLATE_INCONSISTENT,
    CKR_TEMPLATE_INCOMPLETE,
    CKR_CURVE_NOT_SUPPORTED,
    CKR_KEY_SIZE_RANGE,
    CKR_ACTION_PROHIBITED,
];

/// A template with one attribute more, or with another value of it.
fn with(base: &[CK_ATTRIBUTE], kind: CK_ATTRIBUTE_TYPE, value: &[u8]) -> Vec<CK_ATTRIBUTE> {
    let others = base.iter().filter(|attribute| attribute.type_ != kind);
    others.copied().chain([bytes(kind, value)]).collect()
}

/// Gives `function` every attribute with every value, and sees what becomes of it.
///
/// `function` returns the object, or what the module returned.
fn each(
    s: Stage,
    name: &str,
    base: &[CK_ATTRIBUTE],
    function: impl FnMut(&mut [CK_ATTRIBUTE]) -> Result<CK_OBJECT_HANDLE, CK_RV>,
) {
    each_of(s, ALL, name, base, function);
}

/// As [`each`], with these attributes.
fn each_of(
    s: Stage,
    attributes: &[(CK_ATTRIBUTE_TYPE, &str)],
    name: &str,
    base: &[CK_ATTRIBUTE],
    mut function: impl FnMut(&mut [CK_ATTRIBUTE]) -> Result<CK_OBJECT_HANDLE, CK_RV>,
) {
    let plain = function(&mut base.to_vec());
    assert!(plain.is_ok(), "{name} without anything more: {plain:?}");
    let (mut honoured, mut refused) = (0, 0);
    for &(kind, attribute) in attributes {
        for value in values(kind) {
            let what = format!("{name} with {attribute} = {value:x?}");
            let object = match function(&mut with(base, kind, &value)) {
                Ok(object) => object,
                Err(returned) => {
                    assert!(REFUSALS.contains(&returned), "{what}: {returned:#x}");
                    refused += 1;
                    continue;
                }
            };
            let expected = match hints(s, object).contains(&kind) {
                true => vec![CK_FALSE],
                false => value,
            };
            assert_eq!(s.get(object, kind), Ok(expected), "{what}");
            honoured += 1;
        }
    }
    assert!(
        honoured > 1 && refused > attributes.len(),
        "{name}: {honoured}, {refused}"
    );
}

fn result(returned: CK_RV, object: CK_OBJECT_HANDLE) -> Result<CK_OBJECT_HANDLE, CK_RV> {
    (returned == CKR_OK).then_some(object).ok_or(returned)
}

pub(crate) fn create(s: Stage, template: &mut [CK_ATTRIBUTE]) -> Result<CK_OBJECT_HANDLE, CK_RV> {
    let (mut object, len) = (0, template.len() as CK_ULONG);
    let place = &raw mut object;
    let returned = call!(
        s,
        C_CreateObject(s.session, template.as_mut_ptr(), len, place)
    );
    result(returned, object)
}

pub(crate) fn copy(
    s: Stage,
    object: CK_OBJECT_HANDLE,
    template: &mut [CK_ATTRIBUTE],
) -> Result<CK_OBJECT_HANDLE, CK_RV> {
    let (mut copy, len) = (0, template.len() as CK_ULONG);
    let place = &raw mut copy;
    let returned = call!(
        s,
        C_CopyObject(s.session, object, template.as_mut_ptr(), len, place)
    );
    result(returned, copy)
}

pub(crate) fn change(
    s: Stage,
    object: CK_OBJECT_HANDLE,
    template: &mut [CK_ATTRIBUTE],
) -> Result<CK_OBJECT_HANDLE, CK_RV> {
    let len = template.len() as CK_ULONG;
    let returned = call!(
        s,
        C_SetAttributeValue(s.session, object, template.as_mut_ptr(), len)
    );
    result(returned, object)
}

fn derive(
    s: Stage,
    base: CK_OBJECT_HANDLE,
    template: &mut [CK_ATTRIBUTE],
) -> Result<CK_OBJECT_HANDLE, CK_RV> {
    let point = s.get(base, CKA_EC_POINT).expect("an EC key has one");
    let mut parameter = CK_ECDH1_DERIVE_PARAMS {
        kdf: CKD_NULL,
        ulSharedDataLen: 0,
        pSharedData: ptr::null_mut(),
        ulPublicDataLen: point.len() as CK_ULONG,
        pPublicData: point.as_ptr().cast_mut(),
    };
    let mut mechanism = CK_MECHANISM {
        mechanism: CKM_ECDH1_DERIVE,
        pParameter: (&raw mut parameter).cast(),
        ulParameterLen: size_of_val(&parameter) as CK_ULONG,
    };
    let (mut secret, len) = (0, template.len() as CK_ULONG);
    let returned = call!(
        s,
        C_DeriveKey(
            s.session,
            &raw mut mechanism,
            base,
            template.as_mut_ptr(),
            len,
            &raw mut secret
        )
    );
    result(returned, secret)
}

/// A base of every kind that can be created, with its name.
fn bases(s: Stage) -> Vec<(&'static str, Vec<CK_ATTRIBUTE>)> {
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

fn world() -> World {
    use tpm_core::{KeyType, Usage};
    World::new().token(LOCKED, &[(KeyType::EccP256, Usage::SIGN_DECRYPT)])
}

/// A session that is logged in: a token without a PIN hides nothing, whatever `CKA_PRIVATE` is to
/// be.
fn logged_in() -> Stage {
    let s = Stage::new(Module::load(), LOCKED);
    assert_eq!(s.login(CKU_USER, PIN), CKR_OK);
    s
}

#[test]
fn an_object_that_is_created_has_what_its_template_says() {
    isolated(world, || {
        let s = logged_in();
        for (name, base) in bases(s) {
            for on_token in [false, true] {
                let base = with(&base, CKA_TOKEN, &[u8::from(on_token)]);
                each(s, &format!("C_CreateObject of {name}"), &base, |template| {
                    create(s, template)
                });
            }
        }
    });
}

#[test]
fn a_key_pair_has_what_its_templates_say() {
    isolated(world, || {
        let s = logged_in();
        let public = [bytes(CKA_EC_PARAMS, P256)];
        for on_token in [false, true] {
            let token = [flag(CKA_TOKEN, on_token)];
            each(s, "C_GenerateKeyPair, public", &public, |template| {
                let (returned, public, _) = s.key_pair(CKM_EC_KEY_PAIR_GEN, template, &token);
                result(returned, public)
            });
            each(s, "C_GenerateKeyPair, private", &token, |template| {
                let (returned, _, private) = s.key_pair(CKM_EC_KEY_PAIR_GEN, &public, template);
                result(returned, private)
            });
        }
    });
}

/// Each value that is taken costs an RSA key. So this leaves out the attributes whose rules are the
/// same for keys of all types.
#[test]
fn an_rsa_key_pair_has_what_its_templates_say() {
    const OF_ALL_KEYS: [CK_ATTRIBUTE_TYPE; 14] = [
        CKA_TOKEN,
        CKA_PRIVATE,
        CKA_LABEL,
        CKA_ID,
        CKA_SUBJECT,
        CKA_MODIFIABLE,
        CKA_COPYABLE,
        CKA_DESTROYABLE,
        CKA_START_DATE,
        CKA_END_DATE,
        CKA_TRUSTED,
        CKA_WRAP_WITH_TRUSTED,
        CKA_ALWAYS_AUTHENTICATE,
        CKA_SENSITIVE,
    ];
    isolated(world, || {
        let s = logged_in();
        let of_rsa: Vec<_> = ALL
            .iter()
            .filter(|(kind, _)| !OF_ALL_KEYS.contains(kind))
            .copied()
            .collect();
        assert_eq!(of_rsa.len(), ALL.len() - OF_ALL_KEYS.len());
        let public = [constant(CKA_MODULUS_BITS, 2048)];
        let base = [flag(CKA_TOKEN, false)];
        each_of(s, &of_rsa, "an RSA pair, public", &public, |template| {
            let (returned, public, _) = s.key_pair(CKM_RSA_PKCS_KEY_PAIR_GEN, template, &base);
            result(returned, public)
        });
        each_of(s, &of_rsa, "an RSA pair, private", &base, |template| {
            let (returned, _, private) = s.key_pair(CKM_RSA_PKCS_KEY_PAIR_GEN, &public, template);
            result(returned, private)
        });
    });
}

/// Makes an object.
type Make = Box<dyn Fn() -> CK_OBJECT_HANDLE>;

#[test]
fn a_copy_and_a_changed_object_have_what_the_template_says() {
    isolated(world, || {
        let s = logged_in();
        let mut objects: Vec<(&str, Make)> = Vec::new();
        for (name, base) in bases(s) {
            let base = base.clone();
            objects.push((
                name,
                Box::new(move || create(s, &mut base.clone()).expect("it is created")),
            ));
        }
        objects.push((
            "the private key of a session",
            Box::new(move || {
                let public = [bytes(CKA_EC_PARAMS, P256)];
                s.key_pair(CKM_EC_KEY_PAIR_GEN, &public, &[]).2
            }),
        ));
        objects.push((
            "the private RSA key of a session",
            Box::new(move || {
                let public = [constant(CKA_MODULUS_BITS, 2048)];
                s.key_pair(CKM_RSA_PKCS_KEY_PAIR_GEN, &public, &[]).2
            }),
        ));
        let key = s.object(CKO_PRIVATE_KEY, "ecdsa-p256");
        objects.push((
            "a secret",
            Box::new(move || {
                let open = [flag(CKA_SENSITIVE, false), flag(CKA_EXTRACTABLE, true)];
                derive(s, key, &mut open.to_vec()).expect("it is derived")
            }),
        ));
        for (name, make) in objects {
            let original = make();
            for on_token in [false, true] {
                if on_token && name == "a secret" {
                    continue; // Secrets are of a session: refused, as the other loop sees.
                }
                let base = [flag(CKA_TOKEN, on_token)];
                // A token has a key once.
                let (mut original, mut last) = (original, None);
                each(s, &format!("C_CopyObject of {name}"), &base, |template| {
                    if let Some(last) = last.take()
                        && call!(s, C_DestroyObject(s.session, last)) != CKR_OK
                    {
                        original = make();
                    }
                    let made = copy(s, original, template);
                    last = made.ok();
                    made
                });
            }
            let on_token = if name == "a secret" {
                make()
            } else {
                copy(s, make(), &mut [flag(CKA_TOKEN, true)]).expect("it is copied")
            };
            for object in [make(), on_token] {
                each(
                    s,
                    &format!("C_SetAttributeValue of {name}"),
                    &[],
                    |template| change(s, object, template),
                );
            }
        }
    });
}

#[test]
fn a_derived_secret_has_what_its_template_says() {
    isolated(world, || {
        let s = logged_in();
        let key = s.object(CKO_PRIVATE_KEY, "ecdsa-p256");
        each(s, "C_DeriveKey", &[], |template| derive(s, key, template));
    });
}

/// What has an attribute is found by its value, and by no other.
#[test]
fn objects_are_found_by_every_attribute_that_they_have() {
    isolated(world, || {
        let s = logged_in();
        let mut objects = vec![
            s.object(CKO_PRIVATE_KEY, "ecdsa-p256"),
            s.object(CKO_PUBLIC_KEY, "ecdsa-p256"),
        ];
        for (_, base) in bases(s) {
            objects.push(create(s, &mut base.clone()).expect("it is created"));
        }
        for object in objects {
            let mut found = 0;
            for &(kind, name) in ALL {
                match s.get(object, kind) {
                    Ok(value) => {
                        let same = s.find(&mut [bytes(kind, &value)]);
                        assert!(same.contains(&object), "{name}");
                        found += 1;
                        let mut other = value;
                        other.push(7);
                        let others = s.find(&mut [bytes(kind, &other)]);
                        assert!(!others.contains(&object), "{name}");
                    }
                    Err(_) => {
                        for value in values(kind) {
                            let others = s.find(&mut [bytes(kind, &value)]);
                            assert!(!others.contains(&object), "{name}");
                        }
                    }
                }
            }
            assert!(found > 10);
        }
    });
}

/// There are no symmetric keys, and no keys come in from outside: whatever the template says.
#[test]
fn functions_that_are_not_there_take_no_template() {
    isolated(world, || {
        let s = logged_in();
        let key = s.object(CKO_PRIVATE_KEY, "ecdsa-p256");
        for &(kind, name) in ALL {
            for value in values(kind) {
                let (mut aes, mut rsa) = (plain(CKM_AES_KEY_GEN), plain(CKM_RSA_PKCS));
                let mut template = [bytes(kind, &value)];
                let (mut made, mut wrapped) = (0, [0; 32]);
                let place = template.as_mut_ptr();
                let returned = call!(
                    s,
                    C_GenerateKey(s.session, &raw mut aes, place, 1, &raw mut made)
                );
                assert_eq!(returned, CKR_FUNCTION_NOT_SUPPORTED, "{name}");
                let returned = call!(
                    s,
                    C_UnwrapKey(
                        s.session,
                        &raw mut rsa,
                        key,
                        wrapped.as_mut_ptr(),
                        32,
                        place,
                        1,
                        &raw mut made
                    )
                );
                assert_eq!(returned, CKR_FUNCTION_NOT_SUPPORTED, "{name}");
            }
        }
        done!(s, C_CloseSession(s.session));
    });
}

/// What the module finds out by itself is taken if it is right, and refused if it is not.
#[test]
fn computed_values_are_compared_with_those_of_the_caller() {
    use sha1::{Digest, Sha1};

    isolated(world, || {
        let s = logged_in();
        for (name, base) in bases(s) {
            let object = create(s, &mut base.clone()).expect("it is created");
            for kind in [CKA_CHECK_VALUE, CKA_PUBLIC_KEY_INFO] {
                let Ok(mut right) = s.get(object, kind) else {
                    continue;
                };
                assert!(create(s, &mut with(&base, kind, &right)).is_ok(), "{name}");
                right[0] ^= 1;
                let wrong = create(s, &mut with(&base, kind, &right));
                assert_eq!(wrong, Err(CKR_ATTRIBUTE_VALUE_INVALID), "{name}");
            }
            if name == "a certificate" {
                let check = s.get(object, CKA_CHECK_VALUE).expect("it has one");
                assert_eq!(check, Sha1::digest(certificate())[..3]);
            }
        }
    });
}
