//! Many keys in a store, without asking a TPM for each.

use std::path::Path;

use anyhow::{Context, Result};
use p256::elliptic_curve::sec1::ToEncodedPoint;
use rand_core::OsRng;
use rusqlite::{Connection, named_params};
use sha1::{Digest, Sha1};

/// Adds key pairs to the only token of the store in the directory `store` until there are
/// `count`.
///
/// The new ones look like the P-256 key that is there: the same public area with another point
/// of the curve, and its private part, which no TPM would load with that point. So they cost as
/// much as real keys to read, check and list, but only the first key signs.
///
/// # Errors
///
/// If there is no store with a P-256 key.
pub(crate) fn up_to(store: &Path, count: usize) -> Result<()> {
    let mut db = Connection::open(store.join("store.db"))?;
    let tx = db.transaction()?;
    let (key, public, private): (i64, Vec<u8>, Vec<u8>) = tx
        .query_row(
            "SELECT id, public, private FROM key ORDER BY id",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .context("no key to copy")?;
    let there: usize = tx.query_row("SELECT count(*) FROM key", [], |row| row.get(0))?;
    let head = public
        .len()
        .checked_sub(68)
        .and_then(|head| public.get(..head))
        .context("not a P-256 key")?;
    {
        let mut add_key = tx.prepare(
            "INSERT INTO key (token, created, always_authenticate, public, private) \
             SELECT token, created, always_authenticate, :public, :private FROM key \
             WHERE id = :key",
        )?;
        let mut add_halves = tx.prepare(
            "INSERT INTO object (token, class, key, label, cka_id, private, subject, value, \
             issuer, serial_number, application, object_id) \
             SELECT token, class, :new, :label, :id, private, subject, value, issuer, \
             serial_number, application, object_id FROM object WHERE key = :key",
        )?;
        for number in there..count {
            let public = [head, &point()].concat();
            add_key.execute(named_params! {
                ":public": public, ":private": private, ":key": key
            })?;
            add_halves.execute(named_params! {
                ":new": tx.last_insert_rowid(),
                ":label": format!("copy {number}"),
                ":id": Sha1::digest(&public).to_vec(),
                ":key": key,
            })?;
        }
    }
    tx.execute("UPDATE store SET generation = generation + 1", [])?;
    Ok(tx.commit()?)
}

/// A random point as the end of a `TPMT_PUBLIC`: x and y, each with its length.
fn point() -> Vec<u8> {
    let point = p256::SecretKey::random(&mut OsRng)
        .public_key()
        .to_encoded_point(false);
    let mut bytes = Vec::with_capacity(68);
    for half in point.as_bytes()[1..].chunks(32) {
        bytes.extend_from_slice(&[0, 32]);
        bytes.extend_from_slice(half);
    }
    bytes
}
