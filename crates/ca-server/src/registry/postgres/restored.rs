//! A registry that was restored from a backup.

use ssh_format::Fingerprint;

use super::manage::{last_list, revoke};
use super::pool::{Fault, Session, Values};
use super::signed;
use crate::registry::{Noted, Restored, number_after_restore};

pub(super) async fn restored(
    session: &mut Session,
    noted: &Noted,
    now: u64,
) -> Result<Restored, Fault> {
    let (mut revoked, mut fingerprints) = (Vec::new(), Vec::new());
    for one in &noted.revocations {
        let ek_name = one.ek_name.bytes();
        let sql = "INSERT INTO device (ek_name, state, first_seen) VALUES ($1, 'active', $2) ON CONFLICT DO NOTHING";
        session.execute(sql, &[&ek_name, &signed(one.made)]).await?;
        let sql = "SELECT id FROM device WHERE ek_name = $1 AND state = 'active'";
        if let Some(row) = session.optional(sql, &[&ek_name]).await? {
            let device = row.try_get(0)?;
            revoke(session, device, &one.reason, one.made, &one.by).await?;
            revoked.push(one.ek_name.clone());
        }
        let sql = "SELECT ssh_key FROM revocation JOIN device ON device.id = revocation.device WHERE ek_name = $1";
        let known = prints(session, sql, &[&ek_name]).await?;
        let lost = one.keys.iter().filter(|it| !known.contains(it));
        fingerprints.extend(lost.map(|it| (*it, one.made)));
    }
    let known = prints(session, "SELECT public FROM ca_key", &[]).await?;
    let lost = noted.retired.iter().filter(|it| !known.contains(it));
    fingerprints.extend(lost.map(|it| (*it, now)));
    let mut added = Vec::new();
    for (print, made) in fingerprints {
        let sql = "INSERT INTO revoked_print (sha256, made) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        let hash = &print.as_bytes()[..];
        if session.execute(sql, &[&hash, &signed(made)]).await? == 1 {
            added.push(print);
        }
    }
    let sql = "UPDATE join_token SET uses_left = 0 WHERE uses_left > 0 AND expires > $1";
    let tokens = session.execute(sql, &[&signed(now)]).await?;
    let krl_number = number_after_restore(last_list(session).await?.number, now);
    let sql = "UPDATE meta SET krl_number = $1, krl_keys = -1, krl_made = 0, keys_number = greatest(keys_number, $1)";
    session.execute(sql, &[&signed(krl_number)]).await?;
    Ok(Restored {
        revoked,
        fingerprints: added,
        tokens,
        krl_number,
    })
}

/// The fingerprints of the keys that a query returns.
async fn prints(
    session: &mut Session,
    sql: &'static str,
    values: Values<'_>,
) -> Result<Vec<Fingerprint>, Fault> {
    let mut found = Vec::new();
    for row in session.rows(sql, values).await? {
        found.push(Fingerprint::of_blob(&row.try_get::<_, Vec<u8>>(0)?));
    }
    Ok(found)
}
