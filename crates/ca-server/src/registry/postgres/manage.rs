//! Queries and changes by an administrator: devices, approvals, revocations, imports.

use ssh_format::AnyKey;

use super::enrol::replace_others;
use super::pool::{Fault, Session};
use super::{corrupt, signed, text, unsigned};
use crate::registry::{DeviceLine, Expected, LastList, Revoked};

pub(super) async fn devices(session: &mut Session) -> Result<Vec<DeviceLine>, Fault> {
    let sql = "SELECT device.id, ek_name, device.state, maker, coalesce(assignment.role, ''), coalesce(name, ''), \
               waits.id, waits.ssh_key, seen.last_seen, seen.last_end \
               FROM device LEFT JOIN assignment ON assignment.device = device.id \
               LEFT JOIN binding AS waits ON waits.device = device.id AND waits.role = assignment.role AND waits.state = 'pending' \
               LEFT JOIN LATERAL (SELECT max(last_seen) AS last_seen, max(last_end) AS last_end FROM binding \
                WHERE binding.device = device.id AND binding.role = assignment.role) AS seen ON TRUE \
               ORDER BY device.id, assignment.role, waits.id";
    let mut lines = Vec::new();
    for row in session.rows(sql, &[]).await? {
        let ek_name: Vec<u8> = row.try_get(1)?;
        let waits: Option<Vec<u8>> = row.try_get(7)?;
        let key = waits.map(|blob| AnyKey::from_blob(&blob)).transpose();
        lines.push(DeviceLine {
            device: row.try_get(0)?,
            ek_name: base16ct::lower::encode_string(&ek_name),
            state: row.try_get(2)?,
            maker: row.try_get(3)?,
            role: row.try_get(4)?,
            name: row.try_get(5)?,
            pending: row.try_get(6)?,
            pending_key: key
                .map_err(corrupt)?
                .map(|key| key.fingerprint().to_string()),
            last_seen: row.try_get::<_, Option<i64>>(8)?.map(unsigned),
            valid_until: row.try_get::<_, Option<i64>>(9)?.map(unsigned),
        });
    }
    Ok(lines)
}

pub(super) async fn approve(session: &mut Session, pending: i64) -> Result<Option<AnyKey>, Fault> {
    let sql = "SELECT device, role, ssh_key FROM binding JOIN device ON device.id = binding.device \
               WHERE binding.id = $1 AND binding.state = 'pending' AND device.state = 'active'";
    let Some(row) = session.optional(sql, &[&pending]).await? else {
        return Ok(None);
    };
    let (device, role): (i64, String) = (row.try_get(0)?, row.try_get(1)?);
    let key = AnyKey::from_blob(&row.try_get::<_, Vec<u8>>(2)?).map_err(corrupt)?;
    let sql = "UPDATE binding SET state = 'active' WHERE id = $1";
    session.execute(sql, &[&pending]).await?;
    replace_others(session, device, &role, pending).await?;
    let sql = "UPDATE assignment SET state = 'active' WHERE device = $1 AND role = $2";
    session.execute(sql, &[&device, &role]).await?;
    Ok(Some(key))
}

pub(super) async fn revoke(
    session: &mut Session,
    device: i64,
    reason: &str,
    now: u64,
    by: &str,
) -> Result<bool, Fault> {
    let sql = "UPDATE device SET state = 'revoked' WHERE id = $1";
    if session.execute(sql, &[&device]).await? == 0 {
        return Ok(false);
    }
    // Also the keys that were replaced: their certificates may still be valid.
    let sql = "INSERT INTO revocation (device, ssh_key, reason, made, made_by) \
               SELECT DISTINCT device, ssh_key, $2, $3::BIGINT, $4 FROM binding WHERE device = $1 ON CONFLICT DO NOTHING";
    let values: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
        [&device, &text(reason), &signed(now), &text(by)];
    session.execute(sql, &values).await?;
    // A TPM has several endorsement keys, so the same SSH key may belong to several devices here.
    let sql = "DELETE FROM principal WHERE binding IN (SELECT id FROM binding WHERE device = $1 \
               OR ssh_key IN (SELECT ssh_key FROM binding WHERE device = $1))";
    session.execute(sql, &[&device]).await?;
    let sql = "UPDATE binding SET state = 'revoked' WHERE device = $1 \
               OR ssh_key IN (SELECT ssh_key FROM binding WHERE device = $1)";
    session.execute(sql, &[&device]).await?;
    Ok(true)
}

/// The keys of revoked devices, and after them the retired keys of the authority, in one query.
const REVOKED: &str = "SELECT key FROM (SELECT 1 AS part, id, ssh_key AS key FROM revocation \
                       UNION ALL SELECT 2, id, public FROM ca_key WHERE state = 'retired') AS revoked ORDER BY part, id";

/// What the registry knows of the last list of revoked keys: its number, its time, and how many keys it had.
pub(super) async fn last_list(session: &mut Session) -> Result<LastList, Fault> {
    let sql = "SELECT krl_number, krl_made, krl_keys, (SELECT count(*) FROM revocation) \
               + (SELECT count(*) FROM ca_key WHERE state = 'retired') + (SELECT count(*) FROM revoked_print) FROM meta";
    let row = session.one(sql, &[]).await?;
    Ok(LastList {
        number: unsigned(row.try_get(0)?),
        made: unsigned(row.try_get(1)?),
        had: row.try_get(2)?,
        has: row.try_get(3)?,
    })
}

pub(super) async fn revoked(session: &mut Session, now: u64, fresh: u64) -> Result<Revoked, Fault> {
    let mut last = last_list(session).await?;
    if last.is_over(now, fresh) {
        last = last.next(now);
        let sql = "UPDATE meta SET krl_number = $1, krl_made = $2, krl_keys = $3";
        session
            .execute(sql, &[&signed(last.number), &signed(last.made), &last.has])
            .await?;
    }
    let rows = session.rows(REVOKED, &[]).await?;
    let keys = rows.iter().map(|row| row.try_get(0));
    let keys = keys.collect::<Result<_, _>>()?;
    let sql = "SELECT sha256 FROM revoked_print ORDER BY made, sha256";
    let mut prints = Vec::new();
    for row in session.rows(sql, &[]).await? {
        let hash: [u8; 32] = row
            .try_get::<_, Vec<u8>>(0)?
            .try_into()
            .map_err(|_| corrupt("a hash has 32 bytes"))?;
        prints.push(hash.into());
    }
    Ok(last.with(keys, prints))
}

pub(super) async fn import(
    session: &mut Session,
    expected: &[Expected],
    now: u64,
) -> Result<Option<usize>, Fault> {
    for (index, one) in expected.iter().enumerate() {
        let ek_name = one.ek_name.bytes();
        let sql = "INSERT INTO device (ek_name, state, first_seen) VALUES ($1, 'active', $2) ON CONFLICT DO NOTHING";
        session.execute(sql, &[&ek_name, &signed(now)]).await?;
        let sql = "SELECT id FROM device WHERE ek_name = $1 AND state = 'active'";
        let Some(row) = session.optional(sql, &[&ek_name]).await? else {
            return Ok(Some(index));
        };
        let device: i64 = row.try_get(0)?;
        let (role, name) = (text(&one.assignment.role), text(&one.assignment.name));
        let sql = "INSERT INTO assignment (device, role, name, state, imported) VALUES ($1, $2, $3, 'active', TRUE) \
                   ON CONFLICT (device, role) DO UPDATE SET state = 'active', imported = TRUE RETURNING name";
        let row = session.one(sql, &[&device, &role, &name]).await?;
        if row.try_get::<_, String>(0)? != name {
            return Ok(Some(index));
        }
    }
    Ok(None)
}
