//! A registry that was restored from a backup.

use super::manage::{last_list, revoke};
use super::pool::{Fault, Session};
use super::signed;
use crate::registry::{NotedRevocation, Restored, number_after_restore};

pub(super) async fn restored(
    session: &mut Session,
    revocations: &[NotedRevocation],
    now: u64,
) -> Result<Restored, Fault> {
    let mut revoked = Vec::new();
    for one in revocations {
        let ek_name = one.ek_name.bytes();
        let sql = "INSERT INTO device (ek_name, state, first_seen) VALUES ($1, 'active', $2) ON CONFLICT DO NOTHING";
        session.execute(sql, &[&ek_name, &signed(one.made)]).await?;
        let sql = "SELECT id FROM device WHERE ek_name = $1 AND state = 'active'";
        if let Some(row) = session.optional(sql, &[&ek_name]).await? {
            let device = row.try_get(0)?;
            revoke(session, device, &one.reason, one.made, &one.by).await?;
            revoked.push(one.ek_name.clone());
        }
    }
    let sql = "UPDATE join_token SET uses_left = 0 WHERE uses_left > 0 AND expires > $1";
    let tokens = session.execute(sql, &[&signed(now)]).await?;
    let krl_number = number_after_restore(last_list(session).await?.number, now);
    let sql = "UPDATE meta SET krl_number = $1, krl_keys = -1, krl_made = 0, keys_number = greatest(keys_number, $1)";
    session.execute(sql, &[&signed(krl_number)]).await?;
    Ok(Restored {
        revoked,
        tokens,
        krl_number,
    })
}
