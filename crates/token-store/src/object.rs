//! Objects: key pairs, public keys, certificates and data, with their attributes.
//!
//! The types that all callers need are at the root of the crate: [`Object`],
//! [`Key`], [`KeySpec`] and their parts.

use tpm_core::PublicKey;

use crate::{Error, Result};

mod arrival;
mod attributes;
mod changes;
pub(crate) mod key;
pub(crate) mod key_spec;
mod new;
mod permissions;
mod read;
mod row;
mod spki;
pub(crate) mod stored;
mod twin;
mod write;

pub use attributes::Attributes;
pub use changes::ObjectChange;
pub use key_spec::Half;
pub use new::{NewCertificate, NewData, NewPublicKey};
pub use permissions::{Mechanisms, Permissions};
pub use stored::{Body, RefusedKey};

use key::Key;
use key_spec::{KeyPair, KeySpec};
use stored::{Class, Object, ObjectId};

/// The longest label of an object, in bytes.
pub const MAX_LABEL_LEN: usize = 128;
/// The longest `CKA_ID`, in bytes, which common PKCS#11 programs have room for.
pub const MAX_ID_LEN: usize = 128;
/// The longest certificate or data value, and other variable attribute, in bytes.
pub const MAX_VALUE_LEN: usize = 64 * 1024;

/// The SubjectPublicKeyInfo of a public key, DER: `CKA_PUBLIC_KEY_INFO`.
#[must_use]
pub fn public_key_info(key: &PublicKey) -> Vec<u8> {
    spki::encode(key)
}

/// The default `CKA_ID` of a key, 20 bytes: SHA-1 of its subjectPublicKey, without tag, length and
/// count of unused bits. Certificates have it as their subject key identifier.
///
/// # Source
///
/// RFC 5280, section 4.2.1.2, method (1).
#[must_use]
pub fn default_id(key: &PublicKey) -> Vec<u8> {
    use sha1::{Digest, Sha1};
    Sha1::digest(spki::subject_public_key(key)).to_vec()
}

/// Refuses a label that a new object cannot have. A line feed in a label would split a key into two
/// lines in `ssh-keygen -D`. Older stores can have such labels, so reading an object allows them.
pub(crate) fn check_label(label: &str) -> Result<()> {
    check_text("label", label, MAX_LABEL_LEN)?;
    if label.chars().any(char::is_control) {
        return Err(Error::Invalid {
            what: "label",
            why: "it has control characters",
        });
    }
    Ok(())
}

/// Refuses a text that cannot be stored as `what`.
pub(crate) fn check_text(what: &'static str, text: &str, max: usize) -> Result<()> {
    if text.contains('\0') {
        return Err(Error::Invalid {
            what,
            why: "it has a NUL",
        });
    }
    check_len(what, text.as_bytes(), max)
}

/// Refuses bytes that cannot be stored as `what`.
pub(crate) fn check_len(what: &'static str, bytes: &[u8], max: usize) -> Result<()> {
    if bytes.len() > max {
        return Err(Error::TooLong { what, max });
    }
    Ok(())
}
