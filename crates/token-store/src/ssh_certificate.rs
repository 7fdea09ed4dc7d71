//! OpenSSH certificates of keys. They are stored and not parsed.

use rusqlite::{OptionalExtension, Transaction, params};

use crate::{
    Error, ObjectId, Result, Store, TokenId,
    object::{MAX_LABEL_LEN, MAX_VALUE_LEN, check_len, check_text},
    token,
};

/// The most certificates of one key.
pub const MAX_SSH_CERTIFICATES: usize = 32;

/// A certificate's number in its store. It is not used again after the certificate is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SshCertificateId(i64);

impl SshCertificateId {
    pub(crate) fn new(number: i64) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> i64 {
        self.0
    }
}

/// An OpenSSH certificate of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SshCertificate {
    /// Its number in this store.
    pub id: SshCertificateId,
    /// The private half of its key pair.
    pub object: ObjectId,
    /// The certificate as the SSH protocol carries it; at most [`MAX_VALUE_LEN`] bytes.
    pub certificate: Vec<u8>,
    /// The comment of the file that it came from.
    pub comment: String,
    /// When it was added, in seconds since 1970.
    pub created: u64,
}

impl Store {
    /// The certificates of a token's keys, oldest first.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub fn ssh_certificates(&self, token: TokenId) -> Result<Vec<SshCertificate>> {
        self.read(|tx| {
            let mut query = tx.prepare_cached(
                "SELECT c.id, object.id, c.certificate, c.comment, c.created \
                 FROM ssh_certificate AS c JOIN object ON object.key = c.key \
                 AND object.class = 'private-key' WHERE object.token = ? ORDER BY c.id",
            )?;
            let rows = query.query_map([token.0], |row| {
                Ok(SshCertificate {
                    id: SshCertificateId(row.get(0)?),
                    object: ObjectId(row.get(1)?),
                    certificate: row.get(2)?,
                    comment: row.get(3)?,
                    created: row.get(4)?,
                })
            })?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// Stores a certificate for the key pair of `object`. A certificate that is there already is
    /// not changed. It is deleted with the key.
    ///
    /// The caller must check that the certificate is for this key.
    ///
    /// # Errors
    ///
    /// [`Error::TooLong`], [`Error::Invalid`], [`Error::NoSuchObject`] if there is no such key,
    /// [`Error::TooMany`], and those of the store.
    pub fn add_ssh_certificate(
        &mut self,
        object: ObjectId,
        certificate: &[u8],
        comment: &str,
    ) -> Result<SshCertificateId> {
        check_len("certificate", certificate, MAX_VALUE_LEN)?;
        check_text("comment", comment, MAX_LABEL_LEN)?;
        self.write(|tx| {
            let key = key_of(tx, object)?;
            add(tx, key, certificate, comment)
        })
    }

    /// Removes a certificate; its key stays.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchObject`], and those of the store.
    pub fn remove_ssh_certificate(&mut self, id: SshCertificateId) -> Result<()> {
        self.write(
            |tx| match tx.execute("DELETE FROM ssh_certificate WHERE id = ?", [id.0])? {
                0 => Err(Error::NoSuchObject),
                _ => Ok(()),
            },
        )
    }
}

/// Stores a certificate for the key in this row.
pub(crate) fn add(
    tx: &Transaction<'_>,
    key: i64,
    certificate: &[u8],
    comment: &str,
) -> Result<SshCertificateId> {
    let there = tx
        .query_row(
            "SELECT id FROM ssh_certificate WHERE key = ? AND certificate = ?",
            params![key, certificate],
            |row| row.get(0),
        )
        .optional()?;
    if let Some(id) = there {
        return Ok(SshCertificateId(id));
    }
    let count: usize = tx.query_row(
        "SELECT count(*) FROM ssh_certificate WHERE key = ?",
        [key],
        |row| row.get(0),
    )?;
    if count >= MAX_SSH_CERTIFICATES {
        return Err(Error::TooMany {
            what: "certificates of this key",
            max: MAX_SSH_CERTIFICATES,
        });
    }
    tx.execute(
        "INSERT INTO ssh_certificate (key, created, certificate, comment) \
         VALUES (?, ?, ?, ?)",
        params![key, token::now(), certificate, comment],
    )?;
    Ok(SshCertificateId(tx.last_insert_rowid()))
}

/// The database row of the key pair of `object`.
pub(crate) fn key_of(tx: &Transaction<'_>, object: ObjectId) -> Result<i64> {
    let key: Option<Option<i64>> = tx
        .query_row("SELECT key FROM object WHERE id = ?", [object.0], |row| {
            row.get(0)
        })
        .optional()?;
    key.flatten().ok_or(Error::NoSuchObject)
}
