//! Templates of objects that are created, changed and copied: what is refused, and how.

use cryptoki_sys::*;

use super::{Case, Hsm, case, names};
use crate::{
    keys::P256,
    loaded::call,
    stage::{Stage, bytes, constant, flag},
};

/// The attributes of a template.
type Template = Vec<CK_ATTRIBUTE>;

/// A template with a name, made when the case runs.
type Named = (&'static str, fn() -> Template);

fn create(stage: Stage, mut template: Template) -> (CK_RV, CK_OBJECT_HANDLE) {
    let (place, len) = (template.as_mut_ptr(), template.len() as CK_ULONG);
    let mut object = 0;
    let returned = call!(
        stage,
        C_CreateObject(stage.session, place, len, &raw mut object)
    );
    (returned, object)
}

fn set(hsm: Hsm, object: CK_OBJECT_HANDLE, mut template: Template) -> CK_RV {
    let (place, len) = (template.as_mut_ptr(), template.len() as CK_ULONG);
    let session = hsm.stage.session;
    call!(hsm.stage, C_SetAttributeValue(session, object, place, len))
}

fn copy(hsm: Hsm, object: CK_OBJECT_HANDLE, mut template: Template) -> (CK_RV, CK_OBJECT_HANDLE) {
    let (place, len) = (template.as_mut_ptr(), template.len() as CK_ULONG);
    let session = hsm.stage.session;
    let mut made = 0;
    let returned = call!(
        hsm.stage,
        C_CopyObject(session, object, place, len, &raw mut made)
    );
    (returned, made)
}

fn destroy(hsm: Hsm, object: CK_OBJECT_HANDLE) -> CK_RV {
    call!(hsm.stage, C_DestroyObject(hsm.stage.session, object))
}

/// A data object of the session, with more in its template.
fn data(hsm: Hsm, more: Template) -> CK_OBJECT_HANDLE {
    let mut template = vec![constant(CKA_CLASS, CKO_DATA), bytes(CKA_VALUE, b"data")];
    template.extend(more);
    let (returned, object) = create(hsm.stage, template);
    assert_eq!(returned, CKR_OK);
    object
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = created();
    cases.extend(changed());
    cases.extend(copied());
    cases
}

fn created() -> Vec<Case> {
    let data = |more: Template| {
        let mut template = vec![constant(CKA_CLASS, CKO_DATA)];
        template.extend(more);
        template
    };
    let public = |more: Template| {
        let mut template = vec![constant(CKA_CLASS, CKO_PUBLIC_KEY)];
        template.extend(more);
        template
    };
    let create = |h: Hsm, template| create(h.stage, template).0;
    let ec = constant(CKA_KEY_TYPE, CKK_EC);
    let params = || bytes(CKA_EC_PARAMS, P256);
    let mut cases = Vec::new();
    let mut add = |name: &str, template: Template| {
        // The values are constants, or were leaked.
        cases.push(case(format!("create: {name}"), move |h| {
            create(h, template.clone())
        }));
    };
    add("nothing", vec![]);
    add("no class", vec![bytes(CKA_VALUE, b"data")]);
    add("an unknown class", vec![constant(CKA_CLASS, 0x7777)]);
    add("data", data(vec![]));
    add("data with a label", data(vec![bytes(CKA_LABEL, b"label")]));
    add(
        "data with an unknown attribute",
        data(vec![bytes(0x0765_4321, b"x")]),
    );
    add(
        "data with an attribute of keys",
        data(vec![flag(CKA_SIGN, true)]),
    );
    add("data with an id", data(vec![bytes(CKA_ID, b"1")]));
    add(
        "data that is not copyable",
        data(vec![flag(CKA_COPYABLE, false)]),
    );
    add(
        "data with a unique id",
        data(vec![bytes(CKA_UNIQUE_ID, b"1")]),
    );
    add(
        "data with two values",
        data(vec![bytes(CKA_VALUE, b"1"), bytes(CKA_VALUE, b"2")]),
    );
    add(
        "a certificate without a value",
        vec![
            constant(CKA_CLASS, CKO_CERTIFICATE),
            constant(CKA_CERTIFICATE_TYPE, CKC_X_509),
            bytes(CKA_SUBJECT, b"\x30\x00"),
        ],
    );
    add(
        "a certificate without a type",
        vec![
            constant(CKA_CLASS, CKO_CERTIFICATE),
            bytes(CKA_SUBJECT, b"\x30\x00"),
            bytes(CKA_VALUE, b"\x30\x00"),
        ],
    );
    add(
        "a certificate of another type",
        vec![
            constant(CKA_CLASS, CKO_CERTIFICATE),
            constant(CKA_CERTIFICATE_TYPE, 0x77),
            bytes(CKA_VALUE, b"\x30\x00"),
        ],
    );
    add("a public key without a type", public(vec![]));
    add(
        "a public key of an unknown type",
        public(vec![constant(CKA_KEY_TYPE, 0x7777)]),
    );
    add("an EC key without a curve", public(vec![ec]));
    add("an EC key without a point", public(vec![ec, params()]));
    add(
        "an EC key with CKA_LOCAL",
        public(vec![ec, params(), flag(CKA_LOCAL, true)]),
    );
    add(
        "an RSA key without a modulus",
        public(vec![constant(CKA_KEY_TYPE, CKK_RSA)]),
    );
    add(
        "a private key",
        vec![
            constant(CKA_CLASS, CKO_PRIVATE_KEY),
            ec,
            params(),
            bytes(CKA_VALUE, &[1; 32]),
        ],
    );
    add(
        "a secret key",
        vec![
            constant(CKA_CLASS, CKO_SECRET_KEY),
            constant(CKA_KEY_TYPE, CKK_GENERIC_SECRET),
            bytes(CKA_VALUE, &[1; 32]),
        ],
    );
    cases.push(case(
        "create: in the token by a read-only session",
        move |h| {
            let stage = h.stage.another(CKF_SERIAL_SESSION);
            let template = vec![
                constant(CKA_CLASS, CKO_DATA),
                flag(CKA_TOKEN, true),
                bytes(CKA_VALUE, b"data"),
            ];
            self::create(stage, template).0
        },
    ));
    cases
}

fn changed() -> Vec<Case> {
    let mut cases = Vec::new();
    let long: &'static [u8] = &[b'x'; 100];
    let values: [Named; 22] = [
        ("CKA_LABEL", || vec![bytes(CKA_LABEL, b"another")]),
        ("CKA_ID", || vec![bytes(CKA_ID, b"8")]),
        ("CKA_SUBJECT", || vec![bytes(CKA_SUBJECT, b"\x30\x00")]),
        ("CKA_START_DATE", || {
            vec![bytes(CKA_START_DATE, b"20300101")]
        }),
        ("CKA_CLASS", || vec![constant(CKA_CLASS, CKO_DATA)]),
        ("CKA_KEY_TYPE", || vec![constant(CKA_KEY_TYPE, CKK_RSA)]),
        ("CKA_TOKEN", || vec![flag(CKA_TOKEN, false)]),
        ("CKA_PRIVATE", || vec![flag(CKA_PRIVATE, false)]),
        ("CKA_MODIFIABLE", || vec![flag(CKA_MODIFIABLE, false)]),
        ("CKA_SENSITIVE false", || vec![flag(CKA_SENSITIVE, false)]),
        ("CKA_SENSITIVE true", || vec![flag(CKA_SENSITIVE, true)]),
        ("CKA_EXTRACTABLE true", || vec![flag(CKA_EXTRACTABLE, true)]),
        ("CKA_EXTRACTABLE false", || {
            vec![flag(CKA_EXTRACTABLE, false)]
        }),
        ("CKA_LOCAL", || vec![flag(CKA_LOCAL, true)]),
        ("CKA_EC_PARAMS", || vec![bytes(CKA_EC_PARAMS, P256)]),
        ("CKA_EC_POINT", || vec![bytes(CKA_EC_POINT, &[4; 67])]),
        ("CKA_VALUE", || vec![bytes(CKA_VALUE, &[1; 32])]),
        ("CKA_APPLICATION", || vec![bytes(CKA_APPLICATION, b"x")]),
        ("CKA_ALWAYS_AUTHENTICATE", || {
            vec![flag(CKA_ALWAYS_AUTHENTICATE, true)]
        }),
        ("CKA_KEY_GEN_MECHANISM", || {
            vec![constant(CKA_KEY_GEN_MECHANISM, CKM_ECDSA)]
        }),
        ("an unknown one", || vec![bytes(0x0765_4321, b"x")]),
        ("none", Vec::new),
    ];
    for (name, template) in values {
        cases.push(case(format!("change of a private key: {name}"), move |h| {
            let (returned, _, private) = h.stage.key_pair(
                CKM_EC_KEY_PAIR_GEN,
                &[bytes(CKA_EC_PARAMS, P256)],
                &[bytes(CKA_ID, b"1")],
            );
            assert_eq!(returned, CKR_OK);
            set(h, private, template())
        }));
    }
    cases.extend([
        case("change of an object that is not modifiable", |h| {
            let object = data(h, vec![flag(CKA_MODIFIABLE, false)]);
            set(h, object, vec![bytes(CKA_LABEL, b"another")])
        }),
        case("change of a value of data", |h| {
            let object = data(h, vec![]);
            set(h, object, vec![bytes(CKA_VALUE, b"other")])
        }),
        case("change to a long label", move |h| {
            let object = data(h, vec![]);
            set(h, object, vec![bytes(CKA_LABEL, long)])
        }),
        case("change of nothing that is there", |h| {
            set(h, 0x7777_7777, vec![bytes(CKA_LABEL, b"another")])
        }),
        case("change of one good and one bad", |h| {
            let object = data(h, vec![bytes(CKA_LABEL, b"before")]);
            let both = vec![bytes(CKA_LABEL, b"after"), constant(CKA_CLASS, CKO_DATA)];
            let returned = names::of(set(h, object, both));
            let label = h.stage.get(object, CKA_LABEL).unwrap_or_default();
            format!("{returned}, then {}", String::from_utf8_lossy(&label))
        }),
        case("change in the token by a read-only session", |h| {
            let stage = h.stage.another(CKF_SERIAL_SESSION);
            set(
                Hsm { stage, ..h },
                h.ec.private,
                vec![bytes(CKA_LABEL, b"x")],
            )
        }),
        case("destroy in the token by a read-only session", |h| {
            let stage = h.stage.another(CKF_SERIAL_SESSION);
            destroy(Hsm { stage, ..h }, h.ec.private)
        }),
        case("destroy twice", |h| {
            let object = data(h, vec![]);
            [destroy(h, object), destroy(h, object)]
                .map(names::of)
                .join(", ")
        }),
        case("destroy what is not destroyable", |h| {
            let object = data(h, vec![flag(CKA_DESTROYABLE, false)]);
            destroy(h, object)
        }),
        case("the size of an object", |h| {
            let mut size = 0;
            let session = h.stage.session;
            call!(
                h.stage,
                C_GetObjectSize(session, h.ec.public, &raw mut size)
            )
        }),
    ]);
    cases
}

fn copied() -> Vec<Case> {
    vec![
        case("copy of data", |h| copy(h, data(h, vec![]), vec![]).0),
        case("copy of data with a label", |h| {
            let (returned, made) = copy(h, data(h, vec![]), vec![bytes(CKA_LABEL, b"copy")]);
            let label = h.stage.get(made, CKA_LABEL).unwrap_or_default();
            format!(
                "{} {}",
                names::of(returned),
                String::from_utf8_lossy(&label)
            )
        }),
        case("copy of what is not copyable", |h| {
            copy(h, data(h, vec![flag(CKA_COPYABLE, false)]), vec![]).0
        }),
        case("copy of a private key of the token", |h| {
            copy(h, h.ec.private, vec![flag(CKA_TOKEN, false)]).0
        }),
        case("copy of a public key of the token", |h| {
            copy(h, h.ec.public, vec![flag(CKA_TOKEN, false)]).0
        }),
        case("copy of a private key for everybody", |h| {
            copy(h, h.ec.private, vec![flag(CKA_PRIVATE, false)]).0
        }),
        case("copy with another class", |h| {
            copy(
                h,
                data(h, vec![]),
                vec![constant(CKA_CLASS, CKO_CERTIFICATE)],
            )
            .0
        }),
        case("copy of private data for everybody", |h| {
            let object = data(h, vec![flag(CKA_PRIVATE, true)]);
            copy(h, object, vec![flag(CKA_PRIVATE, false)]).0
        }),
        case("copy of public data for the user", |h| {
            let object = data(h, vec![flag(CKA_PRIVATE, false)]);
            copy(h, object, vec![flag(CKA_PRIVATE, true)]).0
        }),
    ]
}
