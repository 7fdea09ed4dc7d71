//! What the modules say of each attribute of the keys that they made.

use cryptoki_sys::*;

use super::{Case, Hsm, Pair, case, names};
use crate::{
    attributes::all::ALL,
    stage::{bytes, flag},
};

/// An attribute as text: flags and numbers by value; other bytes by how many there are.
fn show(hsm: Hsm, object: CK_OBJECT_HANDLE, kind: CK_ATTRIBUTE_TYPE) -> String {
    let value = match hsm.stage.get(object, kind) {
        Ok(value) => value,
        Err(err) => return names::of(err),
    };
    match (value[..].try_into(), &value[..]) {
        (_, [byte @ (CK_FALSE | CK_TRUE)]) => format!("{byte}"),
        (Ok(number), _) => format!("{:#x}", CK_ULONG::from_ne_bytes(number)),
        _ => format!("{} bytes", value.len()),
    }
}

/// Attributes that a module chooses if a caller does not say them.
const CHOSEN: [(CK_ATTRIBUTE_TYPE, &str); 18] = [
    (CKA_TOKEN, "CKA_TOKEN"),
    (CKA_PRIVATE, "CKA_PRIVATE"),
    (CKA_MODIFIABLE, "CKA_MODIFIABLE"),
    (CKA_COPYABLE, "CKA_COPYABLE"),
    (CKA_DESTROYABLE, "CKA_DESTROYABLE"),
    (CKA_LABEL, "CKA_LABEL"),
    (CKA_SUBJECT, "CKA_SUBJECT"),
    (CKA_SIGN, "CKA_SIGN"),
    (CKA_VERIFY, "CKA_VERIFY"),
    (CKA_ENCRYPT, "CKA_ENCRYPT"),
    (CKA_DECRYPT, "CKA_DECRYPT"),
    (CKA_DERIVE, "CKA_DERIVE"),
    (CKA_SENSITIVE, "CKA_SENSITIVE"),
    (CKA_ALWAYS_SENSITIVE, "CKA_ALWAYS_SENSITIVE"),
    (CKA_EXTRACTABLE, "CKA_EXTRACTABLE"),
    (CKA_NEVER_EXTRACTABLE, "CKA_NEVER_EXTRACTABLE"),
    (CKA_LOCAL, "CKA_LOCAL"),
    (CKA_ALWAYS_AUTHENTICATE, "CKA_ALWAYS_AUTHENTICATE"),
];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut halves = |which: &str, pair: fn(Hsm) -> Pair, asked: &'static [_]| {
        for &(kind, attribute) in asked {
            cases.push(case(format!("{which} public {attribute}"), move |hsm| {
                show(hsm, pair(hsm).public, kind)
            }));
            cases.push(case(format!("{which} private {attribute}"), move |hsm| {
                show(hsm, pair(hsm).private, kind)
            }));
        }
    };
    halves("EC", |hsm| hsm.ec, ALL);
    halves("RSA", |hsm| hsm.rsa, ALL);
    halves("silent EC", |hsm| hsm.silent_ec, &CHOSEN);
    halves("silent RSA", |hsm| hsm.silent_rsa, &CHOSEN);
    cases.push(case("attributes of several kinds at once", |hsm| {
        let mut label = [0; 10];
        let mut attributes = [
            bytes(CKA_LABEL, &label),
            bytes(CKA_VALUE, &[0; 100]),
            bytes(0x8765_4321, &[0; 10]),
            bytes(CKA_ID, &[]),
            flag(CKA_TOKEN, true),
        ];
        attributes[0].pValue = label.as_mut_ptr().cast();
        let place = attributes.as_mut_ptr();
        let (session, key) = (hsm.stage.session, hsm.ec.private);
        let returned = crate::loaded::call!(hsm.stage, C_GetAttributeValue(session, key, place, 4));
        let lens = attributes[..4].iter().map(|it| it.ulValueLen.cast_signed());
        format!("{} {:?}", names::of(returned), lens.collect::<Vec<_>>())
    }));
    cases
}
