//! The keys of a token as a person sees them: a key pair is one thing.

pub(crate) mod make;
pub(crate) mod make_token;
pub(crate) mod public_files;
pub(crate) mod signing;

use std::fmt;

use anyhow::Result;
use serde::{Serialize, Serializer};
use ssh_format::text::shown;
use token_store::{Class, Object, ObjectId, Store, Token};
use tpm_core::Origin;

use crate::fail::error::Error;
use crate::show::date;
use crate::show::output::Facts;

/// A key pair or a public key of a token.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Key {
    /// The label of its token.
    pub(crate) token: String,
    pub(crate) label: String,
    /// `CKA_ID`, hexadecimal.
    pub(crate) id: String,
    /// Such as `ecdsa-p256`.
    #[serde(rename = "type")]
    pub(crate) key_type: String,
    /// `SHA256:…`
    pub(crate) fingerprint: String,
    /// The line for `authorized_keys`.
    pub(crate) public_key: String,
    /// Whether the private half is in the TPM.
    pub(crate) private: bool,
    /// Whether it signs certificates. It is then not used for logins.
    pub(crate) authority: bool,
    /// Where a key whose private half is in the TPM was made: `born-here` or `imported`.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "origin_name"
    )]
    pub(crate) origin: Option<Origin>,
    /// When it was made in the TPM or imported, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) created: Option<u64>,
    /// What its owner lets its private half do: `sign`, `decrypt` (RSA), `derive` (ECDSA).
    pub(crate) usage: Vec<&'static str>,
    /// The object whose deletion deletes it all.
    #[serde(skip)]
    pub(crate) object: ObjectId,
}

impl Key {
    /// The key that `object` is or belongs to; `None` for certificates and data.
    ///
    /// # Errors
    ///
    /// If OpenSSH would not take such a key.
    pub(crate) fn of(token: &Token, object: &Object) -> Result<Option<Self>> {
        let Some(public) = object.public_key() else {
            return Ok(None);
        };
        let ssh = ssh_keys::public_key(public)?;
        let private = object.key().filter(|_| object.class() == Class::PrivateKey);
        let origin = private.map(|key| key.origin());
        Ok(Some(Self {
            token: token.label.clone(),
            label: object.label.clone(),
            id: base16ct::lower::encode_string(&object.cka_id),
            key_type: public
                .key_type()
                .map_or_else(|| ssh.algorithm().to_owned(), |kind| kind.to_string()),
            fingerprint: ssh.fingerprint().to_string(),
            public_key: ssh.authorized_keys_line(&object.label),
            private: object.class() == Class::PrivateKey,
            authority: false,
            origin,
            created: object.key_created,
            usage: object.key().map_or_else(Vec::new, |key| usage(key)),
            object: object.id,
        }))
    }

    /// Whether its private half is for signing.
    pub(crate) fn signs(&self) -> bool {
        self.usage.contains(&"sign")
    }

    /// Adds when it was made.
    pub(crate) fn add_created(&self, facts: &mut Facts) {
        if let Some(created) = self.created {
            let name = if self.is_imported() {
                "imported"
            } else {
                "made"
            };
            facts.add(name, date::in_words(created));
        }
    }

    /// Adds the usage of the key, unless it is the usual one: signing alone.
    pub(crate) fn add_usage(&self, facts: &mut Facts) {
        if self.private && self.usage != ["sign"] {
            facts.add("usage", self.usage.join(", "));
        }
    }

    /// Whether the id or the fingerprint begins so: at least 4 characters of the id, or of the
    /// fingerprint after `SHA256:`.
    fn begins_with(&self, name: &str) -> bool {
        let id = name.len() >= 4 && self.id.starts_with(&name.to_ascii_lowercase());
        id || (name.len() >= "SHA256:".len() + 4 && self.fingerprint.starts_with(name))
    }

    /// ` (imported)` behind the label of a key that was made outside of the TPM.
    pub(crate) fn imported(&self) -> &'static str {
        if self.is_imported() {
            " (imported)"
        } else {
            ""
        }
    }

    /// Whether it was made outside of the TPM.
    pub(crate) fn is_imported(&self) -> bool {
        self.origin == Some(Origin::Outside)
    }

    fn is_called(&self, name: &str) -> bool {
        self.label == name || self.fingerprint == name || self.id == name.to_ascii_lowercase()
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut facts = Facts::default();
        facts.add("label", &self.label);
        facts.add("type", &self.key_type);
        facts.add("id", &self.id);
        facts.add("fingerprint", &self.fingerprint);
        if self.is_imported() {
            facts.add("origin", origin(Origin::Outside));
        }
        self.add_usage(&mut facts);
        facts.fmt(f)?;
        // On a line of its own, so that a triple click copies the key alone.
        writeln!(f, "{}", self.public_key)
    }
}

fn origin_name<S: Serializer>(
    origin: &Option<Origin>,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    origin.map(Origin::name).serialize(serializer)
}

/// Where a key was made, for persons; [`Origin::name`] is for programs.
pub(crate) const fn origin(origin: Origin) -> &'static str {
    match origin {
        Origin::Chip => "born here, cannot leave",
        Origin::Outside => "imported, cannot leave; there may be copies",
    }
}

/// What the owner of a key lets it do, in the words of `keygen --usage`.
fn usage(key: &token_store::Key) -> Vec<&'static str> {
    let more = match key.key_type().is_rsa() {
        true => "decrypt",
        false => "derive",
    };
    let sign = key.signs().then_some("sign");
    let more = key.usage().decrypt.then_some(more);
    sign.into_iter().chain(more).collect()
}

/// The keys of `token`, in the order in which they were made.
///
/// # Errors
///
/// Whatever is wrong with the store.
pub(crate) fn of_token(store: &Store, token: &Token) -> Result<Vec<Key>> {
    let objects = store.objects(token.id)?;
    let authorities = store.authorities(token.id)?;
    objects
        .iter()
        .filter(|object| !is_shown_by_its_private_half(object, &objects))
        .filter_map(|object| Key::of(token, object).transpose())
        .map(|key| {
            key.map(|key| Key {
                authority: authorities.contains(&key.object),
                ..key
            })
        })
        .collect()
}

/// Whether `object` is the public half of a pair whose private half is among `objects`.
pub(crate) fn is_shown_by_its_private_half(object: &Object, objects: &[Object]) -> bool {
    let Some(key) = object.key() else {
        return false;
    };
    object.class() == Class::PublicKey
        && objects.iter().any(|other| {
            other.class() == Class::PrivateKey
                && other
                    .key()
                    .is_some_and(|private| private.name() == key.name())
        })
}

/// The one key with this label, id or fingerprint, or whose id or fingerprint begins so.
///
/// # Errors
///
/// If there is none or more than one.
pub(crate) fn find(mut keys: Vec<Key>, name: &str) -> Result<Key> {
    if !keys.iter().any(|key| key.is_called(name)) {
        keys.retain(|key| key.begins_with(name));
        if let [_] = keys.as_slice() {
            return Ok(keys.remove(0));
        }
        let name = shown(name);
        return Err(match keys.as_slice() {
            [] => Error::NoSuchKey { name },
            _ => Error::AmbiguousKey { name },
        }
        .into());
    }
    let mut found = keys.into_iter().filter(|key| key.is_called(name));
    let name = || shown(name);
    match (found.next(), found.next()) {
        (Some(key), None) => Ok(key),
        (Some(_), Some(_)) => Err(Error::AmbiguousKey { name: name() }.into()),
        (None, _) => Err(Error::NoSuchKey { name: name() }.into()),
    }
}

/// A `CKA_ID` on the command line.
#[derive(Debug, Clone)]
pub(crate) struct Id(pub(crate) Vec<u8>);

/// Reads a `CKA_ID` in hexadecimal.
///
/// # Errors
///
/// A sentence for the command line.
pub(crate) fn parse_id(text: &str) -> Result<Id, String> {
    match base16ct::mixed::decode_vec(text) {
        Ok(bytes) if !bytes.is_empty() => Ok(Id(bytes)),
        _ => Err("it takes pairs of hexadecimal digits".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written() {
        assert_eq!(parse_id("01ff").unwrap().0, [1, 0xff]);
        assert_eq!(parse_id("0A0b").unwrap().0, [0x0a, 0x0b]);
        for wrong in ["", "1", "0x01", "+1", "é", "zz"] {
            assert!(parse_id(wrong).is_err(), "{wrong}");
        }
    }
}
