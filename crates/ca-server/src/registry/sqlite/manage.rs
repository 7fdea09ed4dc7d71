//! Queries and changes by an administrator: devices, approvals, revocations, imports.

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use ssh_format::AnyKey;

use super::enrol::replace_others;
use super::{corrupt, signed, unsigned};
use crate::Refusal;
use crate::registry::{DeviceLine, Expected, LastList, Revoked};

pub(super) fn devices(reader: &Connection) -> Result<Vec<DeviceLine>, Refusal> {
    let sql = "SELECT device.id, ek_name, device.state, maker, coalesce(assignment.role, ''), coalesce(name, ''), \
               waits.id, waits.ssh_key, \
               (SELECT max(last_seen) FROM binding WHERE binding.device = device.id AND binding.role = assignment.role), \
               (SELECT max(not_after) FROM issued JOIN binding ON binding.id = issued.binding \
                WHERE binding.device = device.id AND binding.role = assignment.role) \
               FROM device LEFT JOIN assignment ON assignment.device = device.id \
               LEFT JOIN binding AS waits ON waits.device = device.id AND waits.role = assignment.role AND waits.state = 'pending' \
               ORDER BY device.id, assignment.role, waits.id";
    let mut statement = reader.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    let mut lines = Vec::new();
    while let Some(row) = rows.next()? {
        let ek_name: Vec<u8> = row.get(1)?;
        let waits: Option<Vec<u8>> = row.get(7)?;
        let key = waits.map(|blob| AnyKey::from_blob(&blob)).transpose();
        lines.push(DeviceLine {
            device: row.get(0)?,
            ek_name: base16ct::lower::encode_string(&ek_name),
            state: row.get(2)?,
            maker: row.get(3)?,
            role: row.get(4)?,
            name: row.get(5)?,
            pending: row.get(6)?,
            pending_key: key
                .map_err(corrupt)?
                .map(|key| key.fingerprint().to_string()),
            last_seen: row.get::<_, Option<i64>>(8)?.map(unsigned),
            valid_until: row.get::<_, Option<i64>>(9)?.map(unsigned),
        });
    }
    Ok(lines)
}

pub(super) fn approve(tx: &Transaction<'_>, pending: i64) -> Result<Option<AnyKey>, Refusal> {
    let sql = "SELECT device, role, ssh_key FROM binding JOIN device ON device.id = binding.device \
               WHERE binding.id = ? AND binding.state = 'pending' AND device.state = 'active'";
    let row: Option<(i64, String, Vec<u8>)> = tx
        .query_row(sql, [pending], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    let Some((device, role, key)) = row else {
        return Ok(None);
    };
    let sql = "UPDATE binding SET state = 'active' WHERE id = ?";
    tx.execute(sql, [pending])?;
    replace_others(tx, device, &role, pending)?;
    let sql = "UPDATE assignment SET state = 'active' WHERE device = ? AND role = ?";
    tx.execute(sql, params![device, role])?;
    Ok(Some(AnyKey::from_blob(&key).map_err(corrupt)?))
}

pub(super) fn revoke(
    tx: &Transaction<'_>,
    device: i64,
    reason: &str,
    now: u64,
    by: &str,
) -> Result<bool, Refusal> {
    let sql = "UPDATE device SET state = 'revoked' WHERE id = ?";
    if tx.execute(sql, [device])? == 0 {
        return Ok(false);
    }
    // Also the keys that were replaced: their certificates may still be valid.
    tx.execute(
        "INSERT INTO revocation (device, ssh_key, reason, made, made_by) \
         SELECT DISTINCT device, ssh_key, ?2, ?3, ?4 FROM binding WHERE device = ?1 ON CONFLICT DO NOTHING",
        params![device, reason, signed(now), by],
    )?;
    // A TPM has several endorsement keys, so the same SSH key may belong to several devices here.
    let sql = "DELETE FROM principal WHERE binding IN (SELECT id FROM binding WHERE device = ?1 \
               OR ssh_key IN (SELECT ssh_key FROM binding WHERE device = ?1))";
    tx.execute(sql, [device])?;
    let sql = "UPDATE binding SET state = 'revoked' WHERE device = ?1 \
               OR ssh_key IN (SELECT ssh_key FROM binding WHERE device = ?1)";
    tx.execute(sql, [device])?;
    Ok(true)
}

/// The keys of revoked devices, and after them the retired keys of the authority, in one query.
const REVOKED: &str = "SELECT key FROM (SELECT 1 AS part, id, ssh_key AS key FROM revocation \
                       UNION ALL SELECT 2, id, public FROM ca_key WHERE state = 'retired') AS revoked ORDER BY part, id";

/// What the registry knows of the last list of revoked keys: its number, its time, and how many keys it had.
pub(super) fn last_list(db: &Connection) -> Result<LastList, Refusal> {
    let sql = "SELECT krl_number, krl_made, krl_keys, (SELECT count(*) FROM revocation) \
               + (SELECT count(*) FROM ca_key WHERE state = 'retired') + (SELECT count(*) FROM revoked_print) FROM meta";
    let list = db.query_row(sql, [], |row| {
        Ok(LastList {
            number: unsigned(row.get(0)?),
            made: unsigned(row.get(1)?),
            had: row.get(2)?,
            has: row.get(3)?,
        })
    });
    Ok(list?)
}

pub(super) fn revoked(tx: &Transaction<'_>, now: u64, fresh: u64) -> Result<Revoked, Refusal> {
    let mut last = last_list(tx)?;
    if last.is_over(now, fresh) {
        last = last.next(now);
        tx.execute(
            "UPDATE meta SET krl_number = ?, krl_made = ?, krl_keys = ?",
            params![signed(last.number), signed(last.made), last.has],
        )?;
    }
    let mut statement = tx.prepare_cached(REVOKED)?;
    let keys = statement.query_map([], |row| row.get(0))?;
    let keys = keys.collect::<Result<_, _>>()?;
    let mut statement =
        tx.prepare_cached("SELECT sha256 FROM revoked_print ORDER BY made, sha256")?;
    let prints = statement.query_map([], |row| Ok(row.get::<_, [u8; 32]>(0)?.into()))?;
    Ok(last.with(keys, prints.collect::<Result<_, _>>()?))
}

pub(super) fn import(
    tx: &Transaction<'_>,
    expected: &[Expected],
    now: u64,
) -> Result<Option<usize>, Refusal> {
    for (index, one) in expected.iter().enumerate() {
        tx.execute(
            "INSERT INTO device (ek_name, state, first_seen) VALUES (?, 'active', ?) ON CONFLICT DO NOTHING",
            params![one.ek_name.bytes(), signed(now)],
        )?;
        let sql = "SELECT id FROM device WHERE ek_name = ? AND state = 'active'";
        let device: Option<i64> = tx
            .query_row(sql, [one.ek_name.bytes()], |row| row.get(0))
            .optional()?;
        let Some(device) = device else {
            return Ok(Some(index));
        };
        let of = &one.assignment;
        tx.execute(
            "INSERT INTO assignment (device, role, name, state, imported) VALUES (?, ?, ?, 'active', 1) \
             ON CONFLICT (device, role) DO UPDATE SET state = 'active', imported = 1",
            params![device, of.role, of.name],
        )?;
        let sql = "SELECT name FROM assignment WHERE device = ? AND role = ?";
        let name: String = tx.query_row(sql, params![device, of.role], |row| row.get(0))?;
        if name != of.name {
            return Ok(Some(index));
        }
    }
    Ok(None)
}
