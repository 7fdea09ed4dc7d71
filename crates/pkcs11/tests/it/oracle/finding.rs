//! Searches: what begins, goes on and ends one, and what it finds.

use std::ptr;

use cryptoki_sys::*;

use super::{Case, Hsm, case, names};
use crate::{
    loaded::call,
    stage::{RW, bytes, constant, flag},
};

fn init(h: Hsm, template: &mut [CK_ATTRIBUTE]) -> CK_RV {
    let (place, len) = (template.as_mut_ptr(), template.len() as CK_ULONG);
    call!(h.stage, C_FindObjectsInit(h.stage.session, place, len))
}

/// How many of at most `max` objects come next, or the return value.
fn next(h: Hsm, max: CK_ULONG) -> String {
    let mut found = [0; 50];
    let mut count = 0;
    let (session, place) = (h.stage.session, found.as_mut_ptr());
    match call!(h.stage, C_FindObjects(session, place, max, &raw mut count)) {
        CKR_OK => count.to_string(),
        err => names::of(err),
    }
}

fn last(h: Hsm) -> CK_RV {
    call!(h.stage, C_FindObjectsFinal(h.stage.session))
}

/// What a search for these attributes comes to.
fn search(h: Hsm, template: &mut [CK_ATTRIBUTE]) -> String {
    let begun = init(h, template);
    if begun != CKR_OK {
        return names::of(begun);
    }
    let found = next(h, 50);
    format!("{found}, {}", names::of(last(h)))
}

/// A data object of the session with this label.
fn data(h: Hsm, label: &str) -> CK_OBJECT_HANDLE {
    let mut template = [
        constant(CKA_CLASS, CKO_DATA),
        bytes(CKA_LABEL, label.as_bytes()),
    ];
    let mut object = 0;
    let (session, place) = (h.stage.session, template.as_mut_ptr());
    let returned = call!(h.stage, C_CreateObject(session, place, 2, &raw mut object));
    assert_eq!(returned, CKR_OK);
    object
}

pub(super) fn cases() -> Vec<Case> {
    vec![
        case("find: all", |h| search(h, &mut [])),
        case("find: private keys", |h| {
            search(h, &mut [constant(CKA_CLASS, CKO_PRIVATE_KEY)])
        }),
        case("find: by id", |h| search(h, &mut [bytes(CKA_ID, &[7])])),
        case("find: by an id of nobody", |h| {
            search(h, &mut [bytes(CKA_ID, &[7, 7])])
        }),
        case("find: by a label that is empty", |h| {
            search(h, &mut [bytes(CKA_LABEL, b"")])
        }),
        case("find: by class and flag", |h| {
            let class = constant(CKA_CLASS, CKO_PRIVATE_KEY);
            search(h, &mut [class, flag(CKA_SIGN, true)])
        }),
        case("find: by a flag that none has", |h| {
            search(h, &mut [flag(CKA_EXTRACTABLE, true)])
        }),
        case("find: by an unknown attribute", |h| {
            search(h, &mut [bytes(0x0765_4321, b"x")])
        }),
        case("find: by an attribute of another class", |h| {
            let class = constant(CKA_CLASS, CKO_PRIVATE_KEY);
            search(h, &mut [class, bytes(CKA_APPLICATION, b"x")])
        }),
        case("find: by a class of four bytes", |h| {
            search(h, &mut [bytes(CKA_CLASS, &[3, 0, 0, 0])])
        }),
        case("find: by the value of a private key", |h| {
            search(h, &mut [bytes(CKA_VALUE, &[1; 32])])
        }),
        case("find: by the point of an EC key", |h| {
            let point = h.stage.get(h.ec.public, CKA_EC_POINT).unwrap();
            search(
                h,
                &mut [
                    bytes(CKA_EC_POINT, &point),
                    constant(CKA_CLASS, CKO_PUBLIC_KEY),
                ],
            )
        }),
        case("find: by the modulus of an RSA key", |h| {
            let modulus = h.stage.get(h.rsa.public, CKA_MODULUS).unwrap();
            search(h, &mut [bytes(CKA_MODULUS, &modulus)])
        }),
        case("find: of the session alone", |h| {
            data(h, "mine");
            search(h, &mut [flag(CKA_TOKEN, false)])
        }),
        case("find: what another session has", |h| {
            let other = h.stage.another(RW);
            data(Hsm { stage: other, ..h }, "theirs");
            let found = search(h, &mut [bytes(CKA_LABEL, b"theirs")]);
            assert_eq!(call!(other, C_CloseSession(other.session)), CKR_OK);
            format!(
                "{found}, then {}",
                search(h, &mut [bytes(CKA_LABEL, b"theirs")])
            )
        }),
        case("find: one by one", |h| {
            assert_eq!(init(h, &mut [bytes(CKA_ID, &[7])]), CKR_OK);
            let found: Vec<_> = (0..6).map(|_| next(h, 1)).collect();
            format!("{}, {}", found.join(" "), names::of(last(h)))
        }),
        case("find: none at a time", |h| {
            assert_eq!(init(h, &mut []), CKR_OK);
            let found = next(h, 0);
            format!("{found}, {}", names::of(last(h)))
        }),
        case("find: after the end", |h| {
            assert_eq!(init(h, &mut []), CKR_OK);
            [names::of(last(h)), next(h, 1), names::of(last(h))].join(", ")
        }),
        case("find: without a beginning", |h| {
            [next(h, 1), names::of(last(h))].join(", ")
        }),
        case("find: begun twice", |h| {
            [init(h, &mut []), init(h, &mut []), last(h)]
        }),
        case("find: with a signature active", |h| {
            let signing = h.stage.sign_init(CKM_ECDSA, h.ec.private);
            [signing, init(h, &mut []), last(h)]
        }),
        case("find: what comes meanwhile", |h| {
            assert_eq!(init(h, &mut [bytes(CKA_LABEL, b"late")]), CKR_OK);
            data(h, "late");
            let found = next(h, 10);
            format!("{found}, {}", names::of(last(h)))
        }),
        case("find: what goes meanwhile", |h| {
            let object = data(h, "gone");
            assert_eq!(init(h, &mut [bytes(CKA_LABEL, b"gone")]), CKR_OK);
            let gone = call!(h.stage, C_DestroyObject(h.stage.session, object));
            assert_eq!(gone, CKR_OK);
            let found = next(h, 10);
            format!("{found}, {}", names::of(last(h)))
        }),
        case("find: by nothing with a length", |h| {
            call!(
                h.stage,
                C_FindObjectsInit(h.stage.session, ptr::null_mut(), 1)
            )
        }),
        case("find: by a session that is not there", |h| {
            call!(h.stage, C_FindObjectsInit(0x7777, ptr::null_mut(), 0))
        }),
    ]
}
