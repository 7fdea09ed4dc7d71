//! Every attribute of the standard in the template of every function: honoured or refused, and
//! never ignored.

use cryptoki_sys::*;

use crate::{
    isolated::isolated,
    keys::P256,
    loaded::{Module, call, done},
    stage::{Stage, bytes, constant, flag, plain},
    world::{LOCKED, PIN, World},
};

pub(crate) mod all;
pub(crate) mod calls;
pub(crate) mod values;

use all::ALL;
use calls::{change, copy, create, derive, result};
use values::{bases, certificate, hints, values};

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
                derive(s, key, &open).expect("it is derived")
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
