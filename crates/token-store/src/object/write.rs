//! Changes to the objects of a token: adding, setting attributes, deleting.

use rusqlite::{OptionalExtension, Transaction, named_params, params};
use tpm_core::{Blob, KeyBlob, PublicKey};

use super::{
    Class, Key, KeyPair, KeySpec, MAX_ID_LEN, MAX_VALUE_LEN, Mechanisms, NewCertificate, NewData,
    NewPublicKey, Object, ObjectId,
    arrival::Arrival,
    attributes::MAX_STORED_LEN,
    changes::{one_row, set_attributes},
    check_label, check_len, check_text, default_id,
    read::by_id,
    spki,
    twin::refuse_twin,
};
use crate::{Error, Result, Store, TokenId, token};

impl Class {
    /// The word for it in the store.
    fn as_str(self) -> &'static str {
        match self {
            Self::PrivateKey => "private-key",
            Self::PublicKey => "public-key",
            Self::Certificate => "certificate",
            Self::Data => "data",
        }
    }
}

impl Store {
    /// Adds a certificate.
    ///
    /// # Errors
    ///
    /// [`Error::TooLong`], [`Error::Invalid`], [`Error::NoSuchToken`], and those of the store.
    pub fn add_certificate(&mut self, token: TokenId, new: &NewCertificate) -> Result<Object> {
        if new.value.is_empty() || new.subject.is_empty() {
            let why = "a certificate and its subject must not be empty";
            return Err(Error::Invalid {
                what: "certificate",
                why,
            });
        }
        self.add(&NewObject {
            label: &new.label,
            cka_id: &new.cka_id,
            private: new.private,
            value: &new.value,
            subject: &new.subject,
            issuer: &new.issuer,
            serial_number: &new.serial_number,
            attributes: new.attributes.encode()?,
            ..NewObject::new(token, Class::Certificate)
        })
    }

    /// Adds a public key whose private half is not in the token.
    ///
    /// # Errors
    ///
    /// As for [`Store::add_certificate`].
    pub fn add_public_key(&mut self, token: TokenId, new: &NewPublicKey) -> Result<Object> {
        new.public.check()?;
        let value = spki::encode(&new.public);
        self.add(&NewObject {
            label: &new.label,
            cka_id: &new.cka_id,
            private: new.private,
            value: &value,
            subject: &new.subject,
            attributes: new.attributes.encode()?,
            ..NewObject::new(token, Class::PublicKey)
        })
    }

    /// Adds data.
    ///
    /// # Errors
    ///
    /// As for [`Store::add_certificate`].
    pub fn add_data(&mut self, token: TokenId, new: &NewData) -> Result<Object> {
        self.add(&NewObject {
            label: &new.label,
            private: new.private,
            value: &new.value,
            application: &new.application,
            object_id: &new.object_id,
            attributes: new.attributes.encode()?,
            ..NewObject::new(token, Class::Data)
        })
    }

    /// Changes `CKA_LABEL` of both halves of a key pair, or of a public key without a private half.
    ///
    /// # Errors
    ///
    /// As for [`Store::change_object`].
    pub fn rename_key(&mut self, id: ObjectId, label: &str) -> Result<()> {
        check_label(label)?;
        self.write(|tx| {
            let sql = "UPDATE object SET label = ?1 WHERE id = ?2 \
                       OR key = (SELECT key FROM object WHERE id = ?2)";
            match tx.execute(sql, params![label, id.0])? {
                0 => Err(Error::NoSuchObject),
                _ => Ok(()),
            }
        })
    }

    /// Deletes one object. Of a key pair it deletes one half. With the private half the key itself
    /// is lost for ever, and the public half stays as a public key.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchObject`]; [`Error::AuthorityKey`] for the private half of an authority,
    /// because its records would be lost ([`Store::delete_key`] deletes it); errors of the store.
    pub fn delete_object(&mut self, id: ObjectId) -> Result<()> {
        self.write(|tx| {
            let (class, key) = class_and_key(tx, id)?;
            match key {
                Some(key) if class == Class::PrivateKey.as_str() => {
                    if is_authority(tx, key)? {
                        return Err(Error::AuthorityKey);
                    }
                    keep_public_half(tx, key)?;
                    delete_key_row(tx, key)
                }
                _ => delete_row(tx, id),
            }
        })
    }

    /// Deletes the key pair of an object: both halves, its certificates and, if it is an authority,
    /// its records. An object without a key pair is deleted alone.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchObject`], and those of the store.
    pub fn delete_key(&mut self, id: ObjectId) -> Result<()> {
        self.write(|tx| match class_and_key(tx, id)? {
            (_, Some(key)) => delete_key_row(tx, key),
            (_, None) => delete_row(tx, id),
        })
    }

    /// Stores a new key pair.
    pub(crate) fn add_key(&self, token: TokenId, spec: &KeySpec, blob: &Blob) -> Result<KeyPair> {
        self.write(|tx| {
            token::by_id(tx, token)?;
            // Checked as it will be when it is read.
            let key = Arrival::of(tx, token)?.parse(blob.clone())?;
            insert_pair(tx, token, spec, key)
        })
    }

    /// Stores a key pair that was made outside of the chip.
    ///
    /// # Errors
    ///
    /// [`Error::KeyExists`] if the token has this key by now; [`Error::Conflict`] if the arrival
    /// key of `key` is no longer that of the token, so that `key` would never load.
    pub(crate) fn add_imported_key(
        &self,
        token: TokenId,
        spec: &KeySpec,
        key: &KeyBlob,
    ) -> Result<KeyPair> {
        self.write(|tx| {
            token::by_id(tx, token)?;
            match (Arrival::of(tx, token)?, key.arrival()) {
                (Arrival::Key(there), Some(parent)) if there == *parent => {}
                _ => return Err(Error::Conflict),
            }
            insert_pair(tx, token, spec, key.clone())
        })
    }

    /// Keeps the private half of a key alone, which was made for a session.
    pub(crate) fn add_private_key(
        &self,
        token: TokenId,
        spec: &KeySpec,
        key: &Key,
    ) -> Result<Object> {
        self.write(|tx| {
            token::by_id(tx, token)?;
            let row = insert_key(tx, token, key)?;
            let id = default_id(key.public());
            let private = half(Class::PrivateKey, token, row, spec, &id)?.insert(tx)?;
            by_id(tx, private)
        })
    }

    fn add(&self, new: &NewObject<'_>) -> Result<Object> {
        new.check()?;
        self.write(|tx| {
            token::by_id(tx, new.token)?;
            let id = new.insert(tx)?;
            by_id(tx, id)
        })
    }
}

/// Adds a key with both of its halves.
fn insert_pair(
    tx: &Transaction<'_>,
    token: TokenId,
    spec: &KeySpec,
    key: KeyBlob,
) -> Result<KeyPair> {
    let key = Key::new(key, spec.permissions());
    let row = insert_key(tx, token, &key)?;
    let id = default_id(key.public());
    let private = half(Class::PrivateKey, token, row, spec, &id)?.insert(tx)?;
    let public = half(Class::PublicKey, token, row, spec, &id)?.insert(tx)?;
    Ok(KeyPair {
        private: by_id(tx, private)?,
        public: by_id(tx, public)?,
    })
}

/// Adds the row of a key, without those of its halves.
///
/// # Errors
///
/// [`Error::KeyExists`] if the token has the key: it would go on working after it was deleted.
fn insert_key(tx: &Transaction<'_>, token: TokenId, key: &Key) -> Result<i64> {
    refuse_twin(tx, token, key.public())?;
    let permissions = key.permissions();
    let mechanisms = permissions.mechanisms.as_ref();
    let blob = key.blob().blob();
    tx.execute(
        "INSERT INTO key (token, created, decrypts, signs, mechanisms, always_authenticate, \
         public, private) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        params![
            token.0,
            token::now(),
            permissions.decrypt,
            permissions.sign,
            mechanisms.map(Mechanisms::encode).transpose()?,
            permissions.always_authenticate,
            blob.public,
            blob.private
        ],
    )?;
    Ok(tx.last_insert_rowid())
}

/// One half of the key in `row`.
fn half<'a>(
    class: Class,
    token: TokenId,
    row: i64,
    spec: &'a KeySpec,
    default_id: &'a [u8],
) -> Result<NewObject<'a>> {
    let (half, hidden) = match class {
        Class::PrivateKey => (&spec.private, true),
        _ => (&spec.public, false),
    };
    let id = half.id.as_deref().or(spec.id.as_deref());
    Ok(NewObject {
        key: Some(row),
        label: half.label.as_deref().unwrap_or(&spec.label),
        cka_id: id.unwrap_or(default_id),
        subject: half.subject.as_deref().unwrap_or(&spec.subject),
        private: half.hidden.unwrap_or(hidden),
        attributes: half.attributes.encode()?,
        ..NewObject::new(token, class)
    })
}

fn class_and_key(tx: &Transaction<'_>, id: ObjectId) -> Result<(String, Option<i64>)> {
    let sql = "SELECT class, key FROM object WHERE id = ?";
    tx.query_row(sql, [id.0], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?
        .ok_or(Error::NoSuchObject)
}

fn is_authority(tx: &Transaction<'_>, key: i64) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM authority WHERE key = ?)";
    Ok(tx.query_row(sql, [key], |row| row.get(0))?)
}

/// Makes the public half of a key an independent public key, which stays when the key is deleted.
/// The uses of the public half were in the row of the key, and move to the public half.
fn keep_public_half(tx: &Transaction<'_>, key: i64) -> Result<()> {
    let sql = "SELECT public, private, signs, decrypts FROM key WHERE id = ?";
    let (blob, signs, decrypts) = tx.query_row(sql, [key], |row| {
        let blob = Blob {
            public: row.get(0)?,
            private: row.get(1)?,
        };
        Ok((blob, row.get(2)?, row.get(3)?))
    })?;
    let public = Arrival::of_key(tx, key)?.parse(blob)?.public().clone();
    let sql = "SELECT id FROM object WHERE key = ? AND class = 'public-key'";
    let Some(id) = tx.query_row(sql, [key], |row| row.get(0)).optional()? else {
        return Ok(());
    };
    set_attributes(tx, ObjectId(id), MAX_STORED_LEN, |attributes| {
        for (kind, flag) in uses_of_public_half(&public, signs, decrypts) {
            if attributes.get(kind).is_none() {
                attributes.set(kind, [u8::from(flag)]);
            }
        }
    })?;
    let sql = "UPDATE object SET key = NULL, value = ? WHERE id = ?";
    tx.execute(sql, params![spki::encode(&public), id])?;
    Ok(())
}

/// The flags of a public half, by their PKCS#11 numbers, that differ from those of an added public
/// key. An added public key verifies and, if it is RSA, encrypts.
fn uses_of_public_half(public: &PublicKey, signs: bool, decrypts: bool) -> Vec<(u64, bool)> {
    const ENCRYPT: u64 = 0x104;
    const VERIFY: u64 = 0x10a;
    const DERIVE: u64 = 0x10c;
    let mut uses = Vec::new();
    if !signs {
        uses.push((VERIFY, false));
    }
    match public {
        PublicKey::Rsa { .. } if !decrypts => uses.push((ENCRYPT, false)),
        PublicKey::Ecc { .. } if decrypts => uses.push((DERIVE, true)),
        _ => {}
    }
    uses
}

fn delete_key_row(tx: &Transaction<'_>, key: i64) -> Result<()> {
    one_row(tx.execute("DELETE FROM key WHERE id = ?", [key])?)
}

fn delete_row(tx: &Transaction<'_>, id: ObjectId) -> Result<()> {
    one_row(tx.execute("DELETE FROM object WHERE id = ?", [id.0])?)
}

/// A row of `object`.
struct NewObject<'a> {
    token: TokenId,
    class: Class,
    key: Option<i64>,
    label: &'a str,
    cka_id: &'a [u8],
    private: bool,
    subject: &'a [u8],
    value: &'a [u8],
    issuer: &'a [u8],
    serial_number: &'a [u8],
    application: &'a str,
    object_id: &'a [u8],
    attributes: Vec<u8>,
}

impl NewObject<'_> {
    /// An object with no other attributes.
    fn new(token: TokenId, class: Class) -> Self {
        Self {
            token,
            class,
            key: None,
            label: "",
            cka_id: &[],
            private: false,
            subject: &[],
            value: &[],
            issuer: &[],
            serial_number: &[],
            application: "",
            object_id: &[],
            attributes: Vec::new(),
        }
    }

    fn check(&self) -> Result<()> {
        check_label(self.label)?;
        check_len("id", self.cka_id, MAX_ID_LEN)?;
        check_text("application", self.application, MAX_VALUE_LEN)?;
        for (what, bytes) in [
            ("subject", self.subject),
            ("value", self.value),
            ("issuer", self.issuer),
            ("serial number", self.serial_number),
            ("object id", self.object_id),
        ] {
            check_len(what, bytes, MAX_VALUE_LEN)?;
        }
        Ok(())
    }

    fn insert(&self, tx: &Transaction<'_>) -> Result<ObjectId> {
        tx.prepare_cached(
            "INSERT INTO object (token, class, key, label, cka_id, private, subject, value, \
             issuer, serial_number, application, object_id, attributes) VALUES (:token, :class, \
             :key, :label, :cka_id, :private, :subject, :value, :issuer, :serial_number, \
             :application, :object_id, :attributes)",
        )?
        .execute(named_params! {
            ":token": self.token.0,
            ":class": self.class.as_str(),
            ":key": self.key,
            ":label": self.label,
            ":cka_id": self.cka_id,
            ":private": self.private,
            ":subject": self.subject,
            ":value": self.value,
            ":issuer": self.issuer,
            ":serial_number": self.serial_number,
            ":application": self.application,
            ":object_id": self.object_id,
            ":attributes": self.attributes,
        })?;
        Ok(ObjectId(tx.last_insert_rowid()))
    }
}
