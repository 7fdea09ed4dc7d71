//! Rows of the tables of objects and of keys.
//!
//! Values are read in the order of the columns. By name, each value would cost a comparison with the
//! names of all columns before it, which can be felt if ten thousand objects are listed.

use std::sync::Arc;

use rusqlite::{Row, types::FromSql};
use tpm_core::Blob;

use super::{
    Attributes, Body, Key, MAX_ID_LEN, MAX_LABEL_LEN, MAX_VALUE_LEN, Mechanisms, Object, ObjectId,
    Permissions, check_text, spki,
};
use crate::{Error, Result, TokenId};

/// The columns of [`ObjectRow`]. Objects with a key have nothing in those after the subject.
pub(super) const OBJECT: &str = "object.id, object.token, object.key, class, label, cka_id, \
     object.private, attributes, subject, value, issuer, serial_number, application, object_id";

/// The columns of [`KeyRow`].
pub(super) const KEY: &str = "key.id, key.created, key.public, key.private, signs, decrypts, \
     mechanisms, always_authenticate";

/// A row from its first column on.
pub(super) struct Columns<'a> {
    row: &'a Row<'a>,
    next: usize,
}

impl<'a> Columns<'a> {
    pub(super) fn of(row: &'a Row<'_>) -> Self {
        Self { row, next: 0 }
    }

    /// The value of the next column.
    fn take<T: FromSql>(&mut self) -> Result<T> {
        let value = self.row.get(self.next)?;
        self.next += 1;
        Ok(value)
    }
}

/// A stored key. It is not checked yet.
pub(super) struct KeyRow {
    pub(super) id: i64,
    /// In seconds since 1970.
    pub(super) created: u64,
    pub(super) blob: Blob,
    pub(super) permissions: Permissions,
}

impl KeyRow {
    /// A key from the columns [`KEY`]; `None` if a join has found no key.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] for a malformed list of mechanisms, and those of the store.
    pub(super) fn read(columns: &mut Columns<'_>) -> Result<Option<Self>> {
        let Some(id) = columns.take()? else {
            return Ok(None);
        };
        Ok(Some(Self {
            id,
            created: columns.take()?,
            blob: Blob {
                public: columns.take()?,
                private: columns.take()?,
            },
            permissions: Permissions {
                sign: columns.take()?,
                decrypt: columns.take()?,
                mechanisms: mechanisms(columns.take()?)?,
                always_authenticate: columns.take()?,
            },
        }))
    }
}

fn mechanisms(stored: Option<Vec<u8>>) -> Result<Option<Mechanisms>> {
    let malformed = || Error::corrupt("the list of allowed mechanisms of a key is malformed");
    stored
        .map(|bytes| Mechanisms::decode(&bytes).ok_or_else(malformed))
        .transpose()
}

/// A stored object without its key.
pub(super) struct ObjectRow<'a> {
    id: ObjectId,
    token: TokenId,
    /// The row of its key.
    pub(super) key: Option<i64>,
    class: String,
    label: String,
    cka_id: Vec<u8>,
    private: bool,
    attributes: Attributes,
    subject: Vec<u8>,
    /// The columns after the subject.
    rest: Columns<'a>,
}

impl<'a> ObjectRow<'a> {
    /// An object from the columns [`OBJECT`], which are the last ones of the row.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] for malformed attributes, and those of the store.
    pub(super) fn read(mut columns: Columns<'a>) -> Result<Self> {
        Ok(Self {
            id: ObjectId(columns.take()?),
            token: TokenId(columns.take()?),
            key: columns.take()?,
            class: columns.take()?,
            label: columns.take()?,
            cka_id: columns.take()?,
            private: columns.take()?,
            attributes: Attributes::decode(&columns.take::<Vec<u8>>()?)
                .ok_or_else(|| Error::corrupt("an object has attributes that are none"))?,
            subject: columns.take()?,
            rest: columns,
        })
    }

    /// The object, with its key and the time at which that was made, if it has one.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] for an unknown class, and for longer values than this crate writes; those of
    /// the store.
    pub(super) fn with_key(self, key: Option<(Arc<Key>, u64)>) -> Result<Object> {
        let (key, key_created) = key.unzip();
        let subject = self.subject;
        let body = match (self.class.as_str(), key) {
            ("private-key", Some(key)) => Body::PrivateKey { key, subject },
            ("public-key", Some(key)) => Body::PublicKey {
                public: key.public().clone(),
                key: Some(key),
                subject,
            },
            (class, None) => Self::without_key(class, subject, self.rest)?,
            _ => return Err(unknown_class()),
        };
        let object = Object {
            id: self.id,
            token: self.token,
            label: self.label,
            cka_id: self.cka_id,
            private: self.private,
            key_created,
            attributes: self.attributes,
            body,
        };
        check(&object)?;
        Ok(object)
    }

    fn without_key(class: &str, subject: Vec<u8>, mut rest: Columns<'a>) -> Result<Body> {
        let value: Vec<u8> = rest.take()?;
        let (issuer, serial_number) = (rest.take()?, rest.take()?);
        let (application, object_id) = (rest.take()?, rest.take()?);
        Ok(match class {
            "public-key" => Body::PublicKey {
                public: spki::decode(&value)?,
                key: None,
                subject,
            },
            "certificate" => Body::Certificate {
                value,
                subject,
                issuer,
                serial_number,
            },
            "data" => Body::Data {
                value,
                application,
                object_id,
            },
            _ => return Err(unknown_class()),
        })
    }
}

fn unknown_class() -> Error {
    Error::corrupt("an object has an unknown class")
}

/// Refuses an object with texts or values that are longer than this crate writes.
fn check(object: &Object) -> Result<()> {
    let values: &[&[u8]] = match &object.body {
        Body::PrivateKey { subject, .. } | Body::PublicKey { subject, .. } => &[subject],
        Body::Certificate {
            value,
            subject,
            issuer,
            serial_number,
        } => &[value, subject, issuer, serial_number],
        Body::Data {
            value,
            application,
            object_id,
        } => &[value, application.as_bytes(), object_id],
    };
    let fits = check_text("label", &object.label, MAX_LABEL_LEN).is_ok()
        && object.cka_id.len() <= MAX_ID_LEN
        && values.iter().all(|value| value.len() <= MAX_VALUE_LEN);
    if fits {
        Ok(())
    } else {
        Err(Error::corrupt(
            "an object has a longer value than any that is kept",
        ))
    }
}
