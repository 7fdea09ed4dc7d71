//! Certificate authorities: keys that sign certificates, with the certificates that each issued and
//! revoked.
//!
//! Certificates, keys and key ids are stored as they are given and not parsed.

mod revocation;

use rusqlite::{OptionalExtension, Transaction, params};

use crate::{
    Error, ObjectId, Result, Store, TokenId,
    object::{MAX_VALUE_LEN, check_len},
    ssh_certificate::key_of,
    token,
};

pub use revocation::{Revocations, Revoked, Withdrawn};

/// A certificate that an authority signed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Issued {
    /// Its serial number.
    pub serial: u64,
    /// The certificate.
    pub certificate: Vec<u8>,
    /// When it was signed, in seconds since 1970.
    pub created: u64,
}

impl Store {
    /// Makes the key pair of `object` an authority; does nothing if it is one already.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchObject`] if there is no such key, and those of the store.
    pub fn make_authority(&mut self, object: ObjectId) -> Result<()> {
        self.write(|tx| {
            let key = key_of(tx, object)?;
            let sql = "INSERT INTO authority (key, created) VALUES (?, ?) ON CONFLICT DO NOTHING";
            tx.execute(sql, params![key, token::now()])?;
            Ok(())
        })
    }

    /// Makes the authority `object` certify only keys with a proof that a TPM holds them. This cannot be undone.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchObject`] if `object` is no authority, and those of the store.
    pub fn require_proof(&mut self, object: ObjectId) -> Result<()> {
        self.write(|tx| {
            let authority = authority_of(tx, object)?;
            let sql = "INSERT INTO proof_required (authority) VALUES (?) ON CONFLICT DO NOTHING";
            tx.execute(sql, [authority])?;
            Ok(())
        })
    }

    /// Whether the authority `object` certifies only keys with a proof.
    ///
    /// # Errors
    ///
    /// As for [`Store::require_proof`].
    pub fn requires_proof(&self, object: ObjectId) -> Result<bool> {
        self.read(|tx| {
            let authority = authority_of(tx, object)?;
            let sql = "SELECT EXISTS (SELECT 1 FROM proof_required WHERE authority = ?)";
            Ok(tx.query_row(sql, [authority], |row| row.get(0))?)
        })
    }

    /// The authorities of a token, as the private halves of their key pairs, oldest key first.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub fn authorities(&self, token: TokenId) -> Result<Vec<ObjectId>> {
        self.read(|tx| {
            let mut query = tx.prepare_cached(
                "SELECT object.id FROM authority JOIN object ON object.key = authority.key \
                 AND object.class = 'private-key' WHERE object.token = ? ORDER BY object.id",
            )?;
            let rows = query.query_map([token.0], |row| row.get(0).map(ObjectId))?;
            Ok(rows.collect::<rusqlite::Result<_>>()?)
        })
    }

    /// Records a certificate that an authority signed. Call it before the certificate is given out.
    ///
    /// # Errors
    ///
    /// [`Error::Conflict`] if the authority has used the serial number before: sign again with
    /// another one. [`Error::TooLong`]; [`Error::NoSuchObject`] if `object` is not an authority;
    /// errors of the store.
    pub fn add_issued(&mut self, object: ObjectId, serial: u64, certificate: &[u8]) -> Result<()> {
        check_len("certificate", certificate, MAX_VALUE_LEN)?;
        self.write(|tx| {
            let authority = authority_of(tx, object)?;
            let added = tx.execute(
                "INSERT INTO issued (authority, created, serial, certificate) \
                 VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                params![authority, token::now(), serial.to_be_bytes(), certificate],
            )?;
            if added == 1 {
                Ok(())
            } else {
                Err(Error::Conflict)
            }
        })
    }

    /// The certificates that an authority issued, oldest first.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchObject`] if `object` is no authority, and those of the store.
    pub fn issued(&self, object: ObjectId) -> Result<Vec<Issued>> {
        self.read(|tx| {
            let authority = authority_of(tx, object)?;
            let mut query = tx.prepare_cached(
                "SELECT serial, certificate, created FROM issued WHERE authority = ? ORDER BY id",
            )?;
            let rows = query.query_and_then([authority], |row| -> Result<_> {
                Ok(Issued {
                    serial: number(&row.get::<_, Vec<u8>>(0)?)?,
                    certificate: row.get(1)?,
                    created: row.get(2)?,
                })
            })?;
            rows.collect()
        })
    }
}

/// The database row of the authority whose key pair `object` belongs to.
fn authority_of(tx: &Transaction<'_>, object: ObjectId) -> Result<i64> {
    let key = key_of(tx, object)?;
    tx.query_row("SELECT key FROM authority WHERE key = ?", [key], |row| {
        row.get(0)
    })
    .optional()?
    .ok_or(Error::NoSuchObject)
}

fn number(bytes: &[u8]) -> Result<u64> {
    let bytes = bytes
        .try_into()
        .map_err(|_| Error::corrupt("a serial number has not 64 bits"))?;
    Ok(u64::from_be_bytes(bytes))
}
