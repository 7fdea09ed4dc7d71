//! The value of every attribute that an object has.

use std::borrow::Cow;

use cryptoki_sys::*;
use token_store::object::Body;

mod key;

use self::key::{private_key, public_key, public_part, secret_key};
use super::{
    Content, Object,
    template::{Asked, Attribute, Found, Template, numbers},
};
use crate::{
    der,
    error::{Error, Result},
};

/// The value of an attribute.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Bool(bool),
    Number(CK_ULONG),
    Bytes(Cow<'a, [u8]>),
}

impl<'a> Value<'a> {
    fn owned(bytes: Vec<u8>) -> Self {
        Self::Bytes(Cow::Owned(bytes))
    }

    fn text(text: &'a str) -> Self {
        Self::Bytes(text.as_bytes().into())
    }

    /// As the caller sees it.
    fn into_bytes(self) -> Cow<'a, [u8]> {
        match self {
            Self::Bool(value) => vec![if value { CK_TRUE } else { CK_FALSE }].into(),
            Self::Number(value) => value.to_ne_bytes().to_vec().into(),
            Self::Bytes(bytes) => bytes,
        }
    }

    /// Whether `bytes` are what [`Value::into_bytes`] gives, without making it.
    fn is(&self, bytes: &[u8]) -> bool {
        match self {
            Self::Bool(value) => matches!(bytes, [byte] if (*byte != CK_FALSE) == *value),
            Self::Number(value) => bytes == value.to_ne_bytes(),
            Self::Bytes(value) => bytes == &value[..],
        }
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl<'a> From<&'a Vec<u8>> for Value<'a> {
    fn from(bytes: &'a Vec<u8>) -> Self {
        Self::Bytes(bytes.into())
    }
}

/// An empty value, such as a date or a subject that was never set.
const EMPTY: Value<'static> = Value::Bytes(Cow::Borrowed(&[]));

/// Answers a whole template, and returns the result for the caller.
///
/// Each attribute is answered, also if others fail.
pub(crate) fn read_all(object: &Object, asked: &[Asked]) -> (Vec<Found>, Result<()>) {
    let mut outcome = Ok(());
    let mut refuse = |err| {
        if outcome.is_ok() {
            outcome = Err(err);
        }
        Found::Nothing
    };
    let answer = |asked: &Asked| match read(object, asked.kind) {
        Err(err) => refuse(err),
        Ok(value) => {
            let value = value.into_bytes();
            match asked.room {
                None => Found::Length(value.len()),
                Some(room) if room < value.len() => refuse(Error::BufferTooSmall(value.len())),
                Some(_) => Found::Value(value.into_owned()),
            }
        }
    };
    (asked.iter().map(answer).collect(), outcome)
}

/// Whether the object has all attributes of the template, with the same values.
pub(crate) fn matches(object: &Object, template: &Template) -> bool {
    template
        .attributes()
        .iter()
        .all(|wanted| is(object, wanted))
}

/// Whether the object has this attribute, with this value.
pub(crate) fn is(object: &Object, wanted: &Attribute) -> bool {
    read(object, wanted.kind).is_ok_and(|value| value.is(&wanted.value))
}

/// Whether the object has a flag, and it is set.
pub(crate) fn flag(object: &Object, kind: CK_ATTRIBUTE_TYPE) -> bool {
    matches!(read(object, kind), Ok(Value::Bool(true)))
}

/// Whether the owner of a key lets it be used with a mechanism.
pub(crate) fn allows(object: &Object, mechanism: CK_MECHANISM_TYPE) -> bool {
    let key = object.private_key();
    match key.map(|key| key.permissions().mechanisms.as_ref()) {
        Some(allowed) => allowed.is_none_or(|allowed| allowed.contain(mechanism)),
        None => object
            .attributes
            .get(CKA_ALLOWED_MECHANISMS)
            .is_none_or(|allowed| {
                numbers(allowed).is_some_and(|allowed| allowed.contains(&mechanism))
            }),
    }
}

/// A flag that a caller may have set.
fn kept_flag(object: &Object, kind: CK_ATTRIBUTE_TYPE, default: bool) -> Value<'static> {
    let kept = object.attributes.get(kind);
    Value::Bool(kept.map_or(default, |value| value != [CK_FALSE]))
}

/// Bytes that a caller may have set.
fn kept_bytes(object: &Object, kind: CK_ATTRIBUTE_TYPE) -> Value<'_> {
    object.attributes.get(kind).unwrap_or_default().into()
}

/// A number that a caller may have set.
fn kept_number(object: &Object, kind: CK_ATTRIBUTE_TYPE, default: CK_ULONG) -> Value<'static> {
    let kept = object.attributes.get(kind);
    let kept = kept.and_then(|value| value.try_into().ok());
    Value::Number(kept.map_or(default, CK_ULONG::from_ne_bytes))
}

/// The approximate size of all attributes of an object, in bytes.
pub(crate) fn size(object: &Object) -> usize {
    const LONG: [CK_ATTRIBUTE_TYPE; 12] = [
        CKA_LABEL,
        CKA_ID,
        CKA_SUBJECT,
        CKA_VALUE,
        CKA_ISSUER,
        CKA_SERIAL_NUMBER,
        CKA_APPLICATION,
        CKA_OBJECT_ID,
        CKA_MODULUS,
        CKA_EC_POINT,
        CKA_PUBLIC_KEY_INFO,
        CKA_EC_PARAMS,
    ];
    let len = |kind: &_| read(object, *kind).map_or(0, |value| value.into_bytes().len());
    let kept = object.attributes.iter().map(|(_, value)| value.len());
    64 + LONG.iter().map(len).sum::<usize>() + kept.sum::<usize>()
}

/// The value of one attribute.
///
/// # Errors
///
/// [`Error::AttributeTypeInvalid`] for an attribute that such objects do not have,
/// [`Error::AttributeSensitive`] for a value that never leaves the chip.
pub(crate) fn read(object: &Object, kind: CK_ATTRIBUTE_TYPE) -> Result<Value<'_>> {
    Ok(match kind {
        CKA_CLASS => Value::Number(class(object)),
        CKA_TOKEN => Value::Bool(object.stored.is_some()),
        CKA_PRIVATE => Value::Bool(object.private),
        CKA_LABEL => Value::text(&object.label),
        CKA_UNIQUE_ID => Value::owned(unique_id(object).into_bytes()),
        CKA_MODIFIABLE | CKA_DESTROYABLE => kept_flag(object, kind, true),
        // A token holds each key once: a second copy would still work after the first was deleted.
        CKA_COPYABLE if object.stored.is_some() && object.private_key().is_some() => {
            Value::Bool(false)
        }
        CKA_COPYABLE => kept_flag(object, kind, true),
        _ => return content(object, kind),
    })
}

/// `CKA_UNIQUE_ID`: not used again in the store or, for a session object, in the process.
fn unique_id(object: &Object) -> String {
    match object.stored {
        Some(id) => id.get().to_string(),
        None => format!("session-{}", object.handle),
    }
}

fn class(object: &Object) -> CK_OBJECT_CLASS {
    match &object.content {
        Content::Kept(Body::PrivateKey { .. }) => CKO_PRIVATE_KEY,
        Content::Kept(Body::PublicKey { .. }) => CKO_PUBLIC_KEY,
        Content::Kept(Body::Certificate { .. }) => CKO_CERTIFICATE,
        Content::Kept(Body::Data { .. }) => CKO_DATA,
        Content::Secret(_) => CKO_SECRET_KEY,
    }
}

fn content(object: &Object, kind: CK_ATTRIBUTE_TYPE) -> Result<Value<'_>> {
    let body = match &object.content {
        Content::Kept(body) => body,
        Content::Secret(secret) => return secret_key(object, secret, kind),
    };
    match body {
        Body::PrivateKey { key, subject } => match kind {
            CKA_ID => Ok((&object.cka_id).into()),
            CKA_SUBJECT => Ok(subject.into()),
            CKA_START_DATE | CKA_END_DATE => Ok(kept_bytes(object, kind)),
            CKA_WRAP_WITH_TRUSTED => Ok(kept_flag(object, kind, false)),
            _ => private_key(key, kind).unwrap_or_else(|| public_part(key.public(), kind)),
        },
        Body::PublicKey {
            key,
            public,
            subject,
        } => match kind {
            CKA_ID => Ok((&object.cka_id).into()),
            CKA_SUBJECT => Ok(subject.into()),
            CKA_START_DATE | CKA_END_DATE => Ok(kept_bytes(object, kind)),
            _ => public_key(object, key.as_deref(), public, kind)
                .map(Ok)
                .unwrap_or_else(|| public_part(public, kind)),
        },
        Body::Certificate {
            value,
            subject,
            issuer,
            serial_number,
        } => Ok(match kind {
            CKA_CERTIFICATE_TYPE => Value::Number(CKC_X_509),
            CKA_TRUSTED => Value::Bool(false),
            CKA_CERTIFICATE_CATEGORY => {
                kept_number(object, kind, CK_CERTIFICATE_CATEGORY_UNSPECIFIED)
            }
            CKA_JAVA_MIDP_SECURITY_DOMAIN => {
                kept_number(object, kind, CK_SECURITY_DOMAIN_UNSPECIFIED)
            }
            CKA_NAME_HASH_ALGORITHM => kept_number(object, kind, CKM_SHA_1),
            CKA_ID => (&object.cka_id).into(),
            CKA_SUBJECT => subject.into(),
            CKA_ISSUER => issuer.into(),
            CKA_SERIAL_NUMBER => serial_number.into(),
            CKA_VALUE => value.into(),
            CKA_CHECK_VALUE => Value::owned(check_value(value)),
            CKA_START_DATE
            | CKA_END_DATE
            | CKA_URL
            | CKA_HASH_OF_SUBJECT_PUBLIC_KEY
            | CKA_HASH_OF_ISSUER_PUBLIC_KEY => kept_bytes(object, kind),
            CKA_PUBLIC_KEY_INFO => {
                der::certificate(value).map_or(EMPTY, |fields| fields.public_key_info.into())
            }
            _ => return Err(Error::AttributeTypeInvalid),
        }),
        Body::Data {
            value,
            application,
            object_id,
        } => Ok(match kind {
            CKA_APPLICATION => Value::text(application),
            CKA_OBJECT_ID => object_id.into(),
            CKA_VALUE => value.into(),
            _ => return Err(Error::AttributeTypeInvalid),
        }),
    }
}

/// `CKA_CHECK_VALUE` of a certificate: the first three bytes of its SHA-1.
fn check_value(value: &[u8]) -> Vec<u8> {
    use sha1::{Digest, Sha1};
    Sha1::digest(value)[..3].to_vec()
}

#[cfg(test)]
mod tests {
    use testing::assert_matches;
    use token_store::object::Attributes;
    use tpm_core::PublicKey;

    use super::*;

    fn data(private: bool) -> Object {
        Object {
            handle: 7,
            stored: None,
            label: "note".to_owned(),
            cka_id: Vec::new(),
            private,
            attributes: Attributes::default(),
            content: Content::Kept(Body::Data {
                value: b"contents".to_vec(),
                application: "app".to_owned(),
                object_id: Vec::new(),
            }),
        }
    }

    fn public(public: PublicKey) -> Object {
        let body = Body::PublicKey {
            key: None,
            public,
            subject: Vec::new(),
        };
        Object {
            content: Content::Kept(body),
            cka_id: vec![1],
            ..data(false)
        }
    }

    fn rsa() -> Object {
        let mut n = vec![0xc3; 256];
        n[0] = 0x80;
        public(PublicKey::Rsa { n, e: 65_537 })
    }

    fn asked(kind: CK_ATTRIBUTE_TYPE, room: Option<usize>) -> Asked {
        Asked { kind, room }
    }

    #[test]
    fn every_attribute_is_answered_whatever_becomes_of_the_others() {
        let (found, outcome) = read_all(
            &data(false),
            &[
                asked(CKA_VALUE, Some(3)),
                asked(CKA_MODULUS, Some(3)),
                asked(CKA_LABEL, Some(9)),
                asked(0x8765_4321, None),
                asked(CKA_APPLICATION, None),
                asked(CKA_CLASS, Some(8)),
            ],
        );
        assert_matches!(outcome, Err(Error::BufferTooSmall(8)));
        assert_eq!(
            found,
            [
                Found::Nothing,
                Found::Nothing,
                Found::Value(b"note".to_vec()),
                Found::Nothing,
                Found::Length(3),
                Found::Value(CKO_DATA.to_ne_bytes().to_vec()),
            ]
        );
    }

    #[test]
    fn an_rsa_key_has_its_numbers_without_leading_zeros() {
        let key = rsa();
        assert_eq!(read(&key, CKA_MODULUS_BITS).unwrap(), Value::Number(2048));
        let exponent = read(&key, CKA_PUBLIC_EXPONENT).unwrap();
        assert!(exponent.is(&[1, 0, 1]));
        assert_matches!(read(&key, CKA_EC_POINT), Err(Error::AttributeTypeInvalid));
        assert_eq!(read(&key, CKA_LOCAL).unwrap(), Value::Bool(false));
    }

    #[test]
    fn templates_match_by_value() {
        let template = |pairs: &[(CK_ATTRIBUTE_TYPE, &[u8])]| {
            let attributes = pairs
                .iter()
                .map(|(kind, value)| crate::object::template::Attribute {
                    kind: *kind,
                    value: value.to_vec(),
                });
            Template::new(attributes.collect())
        };
        let class = CKO_PUBLIC_KEY.to_ne_bytes();
        let key = rsa();
        assert!(matches(&key, &template(&[])));
        assert!(matches(
            &key,
            &template(&[(CKA_CLASS, &class), (CKA_ID, &[1])])
        ));
        assert!(
            matches(&key, &template(&[(CKA_VERIFY, &[0xff])])),
            "any non-zero byte is true"
        );
        assert!(!matches(&key, &template(&[(CKA_VERIFY, &[1, 0])])));
        assert!(!matches(&key, &template(&[(CKA_CLASS, &class[..7])])));
        assert!(!matches(&key, &template(&[(CKA_ID, &[2])])));
        assert!(!matches(&key, &template(&[(CKA_VALUE, &[])])));
    }

    #[test]
    fn a_certificate_is_checked_by_three_bytes() {
        // SHA-1 of "abc", FIPS 180.
        assert_eq!(check_value(b"abc"), [0xa9, 0x99, 0x3e]);
    }
}
