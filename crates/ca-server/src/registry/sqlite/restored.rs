//! A registry that was restored from a backup.

use rusqlite::{OptionalExtension, Transaction, params};
use ssh_format::Fingerprint;

use super::manage::{last_list, revoke};
use super::signed;
use crate::Refusal;
use crate::registry::{Noted, Restored, number_after_restore};

pub(super) fn restored(tx: &Transaction<'_>, noted: &Noted, now: u64) -> Result<Restored, Refusal> {
    let (mut revoked, mut fingerprints) = (Vec::new(), Vec::new());
    for one in &noted.revocations {
        let ek_name = one.ek_name.bytes();
        let sql = "INSERT INTO device (ek_name, state, first_seen) VALUES (?, 'active', ?) ON CONFLICT DO NOTHING";
        tx.execute(sql, params![ek_name, signed(one.made)])?;
        let sql = "SELECT id FROM device WHERE ek_name = ? AND state = 'active'";
        let device: Option<i64> = tx.query_row(sql, [ek_name], |row| row.get(0)).optional()?;
        if let Some(device) = device {
            revoke(tx, device, &one.reason, one.made, &one.by)?;
            revoked.push(one.ek_name.clone());
        }
        let sql = "SELECT ssh_key FROM revocation JOIN device ON device.id = revocation.device WHERE ek_name = ?";
        let known = prints(tx, sql, &[&ek_name])?;
        let lost = one.keys.iter().filter(|it| !known.contains(it));
        fingerprints.extend(lost.map(|it| (*it, one.made)));
    }
    let known = prints(tx, "SELECT public FROM ca_key", &[])?;
    let lost = noted.retired.iter().filter(|it| !known.contains(it));
    fingerprints.extend(lost.map(|it| (*it, now)));
    let mut added = Vec::new();
    for (print, made) in fingerprints {
        let sql = "INSERT INTO revoked_print (sha256, made) VALUES (?, ?) ON CONFLICT DO NOTHING";
        if tx.execute(sql, params![print.as_bytes(), signed(made)])? == 1 {
            added.push(print);
        }
    }
    let sql = "UPDATE join_token SET uses_left = 0 WHERE uses_left > 0 AND expires > ?";
    let tokens = tx.execute(sql, [signed(now)])?;
    let krl_number = number_after_restore(last_list(tx)?.number, now);
    let sql = "UPDATE meta SET krl_number = ?1, krl_keys = -1, krl_made = 0, keys_number = max(keys_number, ?1)";
    tx.execute(sql, [signed(krl_number)])?;
    Ok(Restored {
        revoked,
        fingerprints: added,
        tokens: u64::try_from(tokens).unwrap_or(u64::MAX),
        krl_number,
    })
}

/// The fingerprints of the keys that a query returns.
fn prints(
    tx: &Transaction<'_>,
    sql: &str,
    values: &[&dyn rusqlite::ToSql],
) -> Result<Vec<Fingerprint>, Refusal> {
    let mut statement = tx.prepare_cached(sql)?;
    let of = |row: &rusqlite::Row<'_>| Ok(Fingerprint::of_blob(&row.get::<_, Vec<u8>>(0)?));
    let rows = statement.query_map(values, of)?;
    Ok(rows.collect::<Result<_, _>>()?)
}
