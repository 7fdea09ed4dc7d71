//! The rule for each attribute in each template: one table for all functions.
//!
//! An attribute that a caller gives is honoured or refused, and never ignored. There are two
//! exceptions: [`Given::Hint`], with its reason; and, in the template of a new object, an empty id
//! or subject, and a certificate's empty issuer or serial number. Those count as not given. In a
//! change or a copy an empty id or subject is taken as it is.

use cryptoki_sys::*;
use token_store::object::{Attributes, Body};
use tpm_core::PublicKey;

use super::{
    Content, Object,
    template::{Attribute, Template},
};
use crate::error::{Error, Result};

/// Objects that have the same attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Data,
    Certificate,
    PublicRsa,
    PublicEc,
    PrivateRsa,
    PrivateEc,
    /// A derived secret.
    Secret,
}

impl Kind {
    /// The kind of an object.
    pub(crate) fn of(object: &Object) -> Self {
        let body = match &object.content {
            Content::Secret(_) => return Self::Secret,
            Content::Kept(body) => body,
        };
        match body {
            Body::Data { .. } => Self::Data,
            Body::Certificate { .. } => Self::Certificate,
            Body::PublicKey { public, .. } => Self::public(public),
            Body::PrivateKey { key, .. } if key.key_type().is_rsa() => Self::PrivateRsa,
            Body::PrivateKey { .. } => Self::PrivateEc,
        }
    }

    /// A public key.
    pub(crate) fn public(public: &PublicKey) -> Self {
        match public {
            PublicKey::Rsa { .. } => Self::PublicRsa,
            PublicKey::Ecc { .. } => Self::PublicEc,
        }
    }
}

/// The function that a template is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// `C_CreateObject`.
    Create,
    /// `C_GenerateKeyPair` and `C_DeriveKey`: the module makes the value.
    Make,
    /// `C_CopyObject`.
    Copy,
    /// `C_SetAttributeValue`.
    Change,
}

/// The form of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// A `CK_BBOOL`.
    Flag,
    /// A `CK_ULONG`, at most this.
    Number(CK_ULONG),
    Bytes,
    /// UTF-8.
    Text,
    /// A `CK_DATE` (`YYYYMMDD`), or nothing.
    Date,
    /// `CK_MECHANISM_TYPE`s, one or more.
    Mechanisms,
}

/// The rule for an attribute in the template of a new object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Given {
    /// The function reads it.
    Read,
    /// As [`Given::Read`] if the caller gives the value of a key, otherwise refused.
    OfCreated,
    /// As [`Given::Read`] if the module makes the key, otherwise refused.
    OfMade,
    /// It is kept with the object, unchanged.
    Kept,
    /// The object has this value; another one is refused.
    Only(bool),
    /// As [`Given::Only`] with false. PKCS#11 lets only a security officer set it to true.
    Untrusted,
    /// It must be equal to the value that the module computes (`read`).
    Same,
    /// The module computes it. A caller cannot give it.
    Computed,
    /// A use of a key that the module does not support, such as wrapping. NSS, pkcs11-tool and
    /// pkcs11-provider send these flags with every key, so they are not refused. The object has the
    /// true value, `CK_FALSE`.
    Hint,
}

/// The rule for changes of an attribute of an existing object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Changed {
    Never,
    /// A copy can have another value, but the object itself keeps it.
    InCopy,
    Freely,
    /// Only to this value.
    To(bool),
}

/// The rule for one attribute of one kind of object.
type Rule = (Form, Given, Changed);

const NUMBER: Form = Form::Number(CK_ULONG::MAX);

/// The rule for an attribute; `None` if such objects do not have it.
fn rule(kind: Kind, attribute: CK_ATTRIBUTE_TYPE) -> Option<Rule> {
    use Changed::{Freely, InCopy, Never, To};
    use Form::{Bytes, Date, Flag, Mechanisms, Text};
    use Given::{Computed, Hint, Kept, OfCreated, OfMade, Only, Read, Same, Untrusted};
    use Kind::{Certificate, Data, PrivateEc, PrivateRsa, PublicEc, PublicRsa, Secret};
    let private = matches!(kind, PrivateRsa | PrivateEc);
    let public = matches!(kind, PublicRsa | PublicEc);
    Some(match (attribute, kind) {
        (CKA_CLASS, _) => (NUMBER, Read, Never),
        (CKA_TOKEN | CKA_PRIVATE, _) => (Flag, Read, InCopy),
        (CKA_LABEL, _) => (Text, Read, Freely),
        (CKA_MODIFIABLE | CKA_DESTROYABLE, _) => (Flag, Kept, InCopy),
        (CKA_COPYABLE, _) => (Flag, Kept, To(false)),
        (CKA_UNIQUE_ID, _) => (Text, Computed, Never),

        (CKA_APPLICATION, Data) => (Text, Read, Never),
        (CKA_OBJECT_ID, Data) => (Bytes, Read, Never),
        (CKA_VALUE, Data) => (Bytes, Read, Freely),
        (_, Data) => return None,

        (CKA_ID, _) => (Bytes, Read, Freely),
        (CKA_TRUSTED, _) if !private => (Flag, Untrusted, Never),

        (CKA_CERTIFICATE_TYPE, Certificate) => (NUMBER, Read, Never),
        (CKA_VALUE, Certificate) => (Bytes, Read, Never),
        (CKA_SUBJECT | CKA_ISSUER | CKA_SERIAL_NUMBER, Certificate) => (Bytes, Read, Never),
        (CKA_CHECK_VALUE | CKA_PUBLIC_KEY_INFO, Certificate) => (Bytes, Same, Never),
        (CKA_CERTIFICATE_CATEGORY | CKA_JAVA_MIDP_SECURITY_DOMAIN, Certificate) => {
            (Form::Number(3), Kept, Never)
        }
        (CKA_NAME_HASH_ALGORITHM, Certificate) => (NUMBER, Kept, Never),
        (CKA_START_DATE | CKA_END_DATE, Certificate) => (Date, Kept, Never),
        (CKA_URL, Certificate) => (Text, Kept, Never),
        (CKA_HASH_OF_SUBJECT_PUBLIC_KEY | CKA_HASH_OF_ISSUER_PUBLIC_KEY, Certificate) => {
            (Bytes, Kept, Never)
        }
        (_, Certificate) => return None,

        (CKA_KEY_TYPE, _) => (NUMBER, Read, Never),
        (CKA_START_DATE | CKA_END_DATE, _) => (Date, Kept, Freely),
        (CKA_LOCAL, _) => (Flag, Computed, Never),
        (CKA_KEY_GEN_MECHANISM, _) => (NUMBER, Computed, Never),
        (CKA_ALLOWED_MECHANISMS, _) if private => (Mechanisms, Read, Never),
        (CKA_ALLOWED_MECHANISMS, _) => (Mechanisms, Kept, Never),
        (CKA_ALWAYS_SENSITIVE | CKA_NEVER_EXTRACTABLE, _) if !public => (Flag, Computed, Never),
        (CKA_WRAP_WITH_TRUSTED, _) if !public => (Flag, Kept, Never),

        (CKA_VALUE, Secret) => (Bytes, Computed, Never),
        (CKA_VALUE_LEN, Secret) => (NUMBER, Read, Never),
        (CKA_SENSITIVE, Secret) => (Flag, Read, To(true)),
        (CKA_EXTRACTABLE, Secret) => (Flag, Read, To(false)),
        (
            CKA_ENCRYPT | CKA_DECRYPT | CKA_SIGN | CKA_VERIFY | CKA_WRAP | CKA_UNWRAP | CKA_DERIVE,
            Secret,
        ) => (Flag, Hint, Never),
        (_, Secret) => return None,

        (CKA_SUBJECT, _) => (Bytes, Read, Freely),
        (CKA_PUBLIC_KEY_INFO, _) => (Bytes, if public { Same } else { Computed }, Never),
        (CKA_MODULUS, PublicRsa) => (Bytes, OfCreated, Never),
        (CKA_MODULUS_BITS, PublicRsa) => (NUMBER, OfMade, Never),
        (CKA_PUBLIC_EXPONENT, PublicRsa | PrivateRsa) => (Bytes, Read, Never),
        (CKA_EC_PARAMS, PublicEc | PrivateEc) => (Bytes, Read, Never),
        (CKA_EC_POINT, PublicEc) => (Bytes, OfCreated, Never),

        (CKA_VERIFY, _) if public => (Flag, Kept, Never),
        (CKA_ENCRYPT, PublicRsa) | (CKA_DERIVE, PublicEc) => (Flag, Kept, Never),
        (CKA_ENCRYPT, PublicEc) | (CKA_DERIVE, PublicRsa) => (Flag, Hint, Never),
        (CKA_VERIFY_RECOVER | CKA_WRAP, _) if public => (Flag, Hint, Never),
        (_, PublicRsa | PublicEc) => return None,

        (CKA_SENSITIVE, _) => (Flag, Only(true), To(true)),
        (CKA_EXTRACTABLE, _) => (Flag, Only(false), To(false)),
        (CKA_SIGN | CKA_ALWAYS_AUTHENTICATE, _) => (Flag, Read, Never),
        (CKA_DECRYPT, PrivateRsa) | (CKA_DERIVE, PrivateEc) => (Flag, Read, Never),
        (CKA_DECRYPT, PrivateEc) | (CKA_DERIVE, PrivateRsa) => (Flag, Hint, Never),
        (CKA_SIGN_RECOVER | CKA_UNWRAP, _) => (Flag, Hint, Never),
        (CKA_MODULUS, PrivateRsa) | (CKA_EC_POINT | CKA_VALUE, PrivateEc) => {
            (Bytes, Computed, Never)
        }
        (CKA_MODULUS_BITS, PrivateRsa) => (NUMBER, Computed, Never),
        (
            CKA_PRIVATE_EXPONENT | CKA_PRIME_1 | CKA_PRIME_2 | CKA_EXPONENT_1 | CKA_EXPONENT_2
            | CKA_COEFFICIENT,
            PrivateRsa,
        ) => (Bytes, Computed, Never),
        _ => return None,
    })
}

/// Refuses a template that does not fit such an object. Returns the attributes that are kept
/// unchanged.
///
/// # Errors
///
/// [`Error::AttributeTypeInvalid`] for an attribute that such objects do not have,
/// [`Error::AttributeValueInvalid`] for a malformed value, [`Error::AttributeReadOnly`] for an
/// attribute that cannot be given here, [`Error::TemplateInconsistent`] for a value that such
/// objects cannot have, and for an attribute with two values.
pub(crate) fn check(template: &Template, kind: Kind, purpose: Purpose) -> Result<Attributes> {
    template.check_unambiguous()?;
    let mut kept = Attributes::default();
    for attribute in template.attributes() {
        let (form, given, changed) =
            rule(kind, attribute.kind).ok_or(Error::AttributeTypeInvalid)?;
        let value = form.checked(attribute)?;
        let is_new = matches!(purpose, Purpose::Create | Purpose::Make);
        if is_new {
            check_given(given, attribute, purpose)?;
        } else {
            check_changed(changed, attribute, purpose)?;
        }
        if given == Given::Kept {
            kept.set(attribute.kind, value);
        }
    }
    Ok(kept)
}

fn check_given(given: Given, attribute: &Attribute, purpose: Purpose) -> Result<()> {
    match given {
        Given::OfCreated if purpose == Purpose::Make => Err(Error::AttributeReadOnly),
        Given::OfMade if purpose == Purpose::Create => Err(Error::AttributeReadOnly),
        // The key does not exist yet, so no caller can know this value.
        Given::Same if purpose == Purpose::Make => Err(Error::AttributeReadOnly),
        Given::Computed => Err(Error::AttributeReadOnly),
        // The module never uses it, so it does not let the officer set it either.
        Given::Untrusted if flag(attribute) => Err(Error::AttributeReadOnly),
        Given::Only(only) if flag(attribute) != only => Err(Error::TemplateInconsistent),
        _ => Ok(()),
    }
}

fn check_changed(changed: Changed, attribute: &Attribute, purpose: Purpose) -> Result<()> {
    match changed {
        Changed::Freely => Ok(()),
        Changed::InCopy if purpose == Purpose::Copy => Ok(()),
        Changed::To(only) if flag(attribute) == only => Ok(()),
        _ => Err(Error::AttributeReadOnly),
    }
}

/// The value of an attribute that was checked to be a flag.
fn flag(attribute: &Attribute) -> bool {
    attribute.value != [CK_FALSE]
}

/// Refuses a given value that differs from the one that the object computes.
///
/// # Errors
///
/// [`Error::AttributeValueInvalid`].
pub(crate) fn check_same(template: &Template, object: &Object) -> Result<()> {
    for attribute in template.attributes() {
        let is_same = matches!(
            rule(Kind::of(object), attribute.kind),
            Some((_, Given::Same, _))
        );
        if is_same && !super::attribute::is(object, attribute) {
            return Err(Error::AttributeValueInvalid);
        }
    }
    Ok(())
}

impl Form {
    /// The value in the form in which it is kept.
    fn checked(self, attribute: &Attribute) -> Result<Vec<u8>> {
        let value = &attribute.value;
        let good = match self {
            Self::Flag => {
                let [byte] = value[..] else {
                    return Err(Error::AttributeValueInvalid);
                };
                return Ok(vec![if byte == CK_FALSE { CK_FALSE } else { CK_TRUE }]);
            }
            Self::Number(max) => value[..]
                .try_into()
                .is_ok_and(|bytes| CK_ULONG::from_ne_bytes(bytes) <= max),
            Self::Bytes => true,
            Self::Text => str::from_utf8(value).is_ok(),
            Self::Date => value.is_empty() || is_date(value),
            Self::Mechanisms => {
                !value.is_empty() && value.len().is_multiple_of(size_of::<CK_ULONG>())
            }
        };
        good.then(|| value.clone())
            .ok_or(Error::AttributeValueInvalid)
    }
}

/// Whether bytes are a `CK_DATE`: eight digits, with a month from 1 to 12 and a day from 1 to 31.
fn is_date(value: &[u8]) -> bool {
    let digits = value.len() == 8 && value.iter().all(u8::is_ascii_digit);
    let number = |range: std::ops::Range<usize>| -> u32 {
        value[range]
            .iter()
            .fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'))
    };
    digits && (1..=12).contains(&number(4..6)) && (1..=31).contains(&number(6..8))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(form: Form, value: &[u8]) -> bool {
        let value = value.to_vec();
        form.checked(&Attribute { kind: 0, value }).is_ok()
    }

    #[test]
    fn values_look_like_their_type() {
        for (form, value, good) in [
            (Form::Date, &b"20301231"[..], true),
            (Form::Date, b"", true),
            (Form::Date, b"20301301", false),
            (Form::Date, b"20300100", false),
            (Form::Date, b"2030123", false),
            (Form::Date, b"2030 231", false),
            (Form::Flag, b"\x05", true),
            (Form::Flag, b"", false),
            (Form::Number(3), &3_u64.to_ne_bytes(), true),
            (Form::Number(3), &4_u64.to_ne_bytes(), false),
            (Form::Number(3), b"\x03", false),
            (Form::Text, b"\xff", false),
            (Form::Mechanisms, &[0; 16], true),
            (Form::Mechanisms, &[0; 12], false),
            (Form::Mechanisms, b"", false),
        ] {
            assert_eq!(checked(form, value), good, "{form:?} {value:x?}");
        }
    }
}
