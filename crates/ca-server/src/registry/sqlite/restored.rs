//! A registry that was restored from a backup.

use rusqlite::{OptionalExtension, Transaction, params};

use super::manage::{last_list, revoke};
use super::signed;
use crate::Refusal;
use crate::registry::{NotedRevocation, Restored, number_after_restore};

pub(super) fn restored(
    tx: &Transaction<'_>,
    revocations: &[NotedRevocation],
    now: u64,
) -> Result<Restored, Refusal> {
    let mut revoked = Vec::new();
    for one in revocations {
        let ek_name = one.ek_name.bytes();
        let sql = "INSERT INTO device (ek_name, state, first_seen) VALUES (?, 'active', ?) ON CONFLICT DO NOTHING";
        tx.execute(sql, params![ek_name, signed(one.made)])?;
        let sql = "SELECT id FROM device WHERE ek_name = ? AND state = 'active'";
        let device: Option<i64> = tx.query_row(sql, [ek_name], |row| row.get(0)).optional()?;
        if let Some(device) = device {
            revoke(tx, device, &one.reason, one.made, &one.by)?;
            revoked.push(one.ek_name.clone());
        }
    }
    let sql = "UPDATE join_token SET uses_left = 0 WHERE uses_left > 0 AND expires > ?";
    let tokens = tx.execute(sql, [signed(now)])?;
    let krl_number = number_after_restore(last_list(tx)?.number, now);
    let sql = "UPDATE meta SET krl_number = ?1, krl_keys = -1, krl_made = 0, keys_number = max(keys_number, ?1)";
    tx.execute(sql, [signed(krl_number)])?;
    Ok(Restored {
        revoked,
        tokens: u64::try_from(tokens).unwrap_or(u64::MAX),
        krl_number,
    })
}
