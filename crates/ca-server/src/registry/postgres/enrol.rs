//! Enrolments: the role and names that a proven key gets, and the row of its first certificate.

use key_proof::{Kind, Verified};

use super::pool::{Fault, Session};
use super::renew::{answered, issue, take_names};
use super::{Once, corrupt, signed, text};
use crate::policy::Rebind;
use crate::registry::{Admission, Enrolment, Outcome};

pub(super) async fn enrol(
    session: &mut Session,
    enrolment: &Enrolment<'_>,
    principals: &[String],
    sign: &mut Once<'_>,
) -> Result<Outcome, Fault> {
    let verified = enrolment.verified;
    if let Some(known) = answered(session, enrolment.answer).await? {
        return Ok(known);
    }
    let Some(device) = device(session, verified, enrolment.answer.now).await? else {
        return Ok(Outcome::Unknown);
    };
    if is_elsewhere(session, device, verified).await? {
        return Ok(Outcome::Unknown);
    }
    if let Admission::Token(hash) = enrolment.admission
        && !has_come(session, device, enrolment).await?
        && !use_token(session, hash, enrolment.answer.now).await?
    {
        return Ok(Outcome::NoToken);
    }
    let state = match assign(session, device, enrolment).await? {
        Ok(state) => state,
        Err(refused) => return Ok(refused),
    };
    if went_back(session, verified).await? {
        return Ok(Outcome::TimeWentBack);
    }
    let waits = state == "pending";
    let (binding, is_active) = bind(session, device, enrolment, waits).await?;
    if !is_active {
        let answer = enrolment.answer;
        let sql = "INSERT INTO used_nonce (nonce, expires, body, certificate, binding) VALUES ($1, $2, $3, NULL, $4)";
        let expires = signed(answer.expires);
        session
            .execute(
                sql,
                &[&&answer.nonce[..], &expires, &&answer.body[..], &binding],
            )
            .await?;
        return Ok(Outcome::Pending(binding));
    }
    if verified.kind == Kind::Host && !take_names(session, binding, principals).await? {
        return Ok(Outcome::NameTaken);
    }
    let signed = sign.sign()?;
    let (time, answer) = (verified.time, enrolment.answer);
    if issue(session, binding, time, answer, &[], signed).await? {
        Ok(Outcome::Issued(signed.certificate.blob().to_vec()))
    } else {
        Err(corrupt("the key that was just bound is not there"))
    }
}

/// The device's number, for a new device as well; `None` if the device was revoked.
async fn device(
    session: &mut Session,
    verified: &Verified,
    now: u64,
) -> Result<Option<i64>, Fault> {
    let maker = verified.maker.as_ref().map_or_else(String::new, |maker| {
        text(&format!(
            "{} {} {}",
            maker.manufacturer, maker.model, maker.version
        ))
    });
    let ek_name = verified.ek_name.bytes();
    let sql = "INSERT INTO device (ek_name, state, maker, first_seen) VALUES ($1, 'active', $2, $3) \
               ON CONFLICT (ek_name) DO UPDATE SET maker = $2 WHERE $2 <> ''";
    session
        .execute(sql, &[&ek_name, &maker, &signed(now)])
        .await?;
    let sql = "SELECT id FROM device WHERE ek_name = $1 AND state = 'active'";
    let row = session.optional(sql, &[&ek_name]).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

/// Whether the attestation key belongs to another device here, or the key was revoked.
///
/// A TPM has several endorsement keys, so without this check a revoked machine could enrol again as a new device.
async fn is_elsewhere(
    session: &mut Session,
    device: i64,
    verified: &Verified,
) -> Result<bool, Fault> {
    let sql = "SELECT EXISTS (SELECT FROM binding WHERE ak_name = $1 AND device <> $2) \
               OR EXISTS (SELECT FROM revocation WHERE ssh_key = $3) OR EXISTS (SELECT FROM revoked_print WHERE sha256 = $4)";
    let (ak, key) = (verified.attestation_key.bytes(), &verified.binding.ssh_key);
    let print = key.fingerprint();
    let values: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
        [&ak, &device, &key.blob(), &&print.as_bytes()[..]];
    let row = session.one(sql, &values).await?;
    Ok(row.try_get(0)?)
}

/// Whether the device has enrolled this key for this role before. Then it needs no second join token: it repeats an enrolment whose answer was lost.
async fn has_come(
    session: &mut Session,
    device: i64,
    enrolment: &Enrolment<'_>,
) -> Result<bool, Fault> {
    let (verified, role) = (enrolment.verified, &enrolment.assignment.role);
    let sql = "SELECT EXISTS (SELECT FROM binding JOIN assignment ON assignment.device = binding.device AND assignment.role = binding.role \
               WHERE binding.device = $1 AND binding.role = $2 AND ak_name = $3 AND key_name = $4 \
               AND (binding.state = 'active' OR (binding.state = 'pending' AND assignment.state = 'pending')))";
    let (ak, key) = (
        verified.attestation_key.bytes(),
        verified.binding.key.bytes(),
    );
    let row = session.one(sql, &[&device, role, &ak, &key]).await?;
    Ok(row.try_get(0)?)
}

async fn use_token(session: &mut Session, hash: &[u8; 32], now: u64) -> Result<bool, Fault> {
    let sql = "UPDATE join_token SET uses_left = uses_left - 1 WHERE hash = $1 AND uses_left > 0 AND expires > $2";
    Ok(session.execute(sql, &[&&hash[..], &signed(now)]).await? == 1)
}

/// The state of the device's assignment for this role. A device without one gets it by a join token or an identity.
async fn assign(
    session: &mut Session,
    device: i64,
    enrolment: &Enrolment<'_>,
) -> Result<Result<String, Outcome>, Fault> {
    let wanted = enrolment.assignment;
    let sql = "SELECT name, state FROM assignment WHERE device = $1 AND role = $2";
    let row = session.optional(sql, &[&device, &wanted.role]).await?;
    let Some(row) = row else {
        if !enrolment.admission.gives_role() {
            return Ok(Err(Outcome::Unknown));
        }
        let state = if enrolment.approve_first {
            "pending"
        } else {
            "active"
        };
        let sql = "INSERT INTO assignment (device, role, name, state, imported) VALUES ($1, $2, $3, $4, FALSE)";
        session
            .execute(sql, &[&device, &wanted.role, &wanted.name, &state])
            .await?;
        return Ok(Ok(state.to_owned()));
    };
    if row.try_get::<_, String>(0)? == wanted.name {
        Ok(Ok(row.try_get(1)?))
    } else {
        Ok(Err(Outcome::OtherName))
    }
}

/// Check V14: whether the TPM's time went back. The rows are locked, so that no renewal changes the time meanwhile.
async fn went_back(session: &mut Session, verified: &Verified) -> Result<bool, Fault> {
    let time = verified.time;
    let sql = "SELECT went_back($2, $3, $4, clock, resets, restarts) FROM binding WHERE ak_name = $1 ORDER BY id FOR UPDATE";
    let (resets, restarts) = (i64::from(time.resets), i64::from(time.restarts));
    let ak = verified.attestation_key.bytes();
    let rows = session
        .rows(sql, &[&ak, &signed(time.clock), &resets, &restarts])
        .await?;
    for row in rows {
        if row.try_get(0)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Stores the key in this role, and returns the number of its row and whether it is active.
async fn bind(
    session: &mut Session,
    device: i64,
    enrolment: &Enrolment<'_>,
    waits: bool,
) -> Result<(i64, bool), Fault> {
    let (verified, role) = (enrolment.verified, &enrolment.assignment.role);
    let (binding, ak) = (&verified.binding, verified.attestation_key.bytes());
    let (wall, mode) = (verified.wall.name(), verified.mode.name());
    let trusted = verified.trusted.as_ref().map(|it| &it[..]);
    // The newest proof counts: a machine that enrolled again because the policy became stricter can renew after that.
    let sql = "UPDATE binding SET wall = $4, mode = $5, trusted = $6 WHERE ak_name = $1 AND key_name = $2 AND role = $3 RETURNING id, state";
    let row = session
        .optional(
            sql,
            &[&ak, &binding.key.bytes(), role, &wall, &mode, &trusted],
        )
        .await?;
    let known: Option<i64> = row.as_ref().map(|row| row.try_get(0)).transpose()?;
    let was: Option<String> = row.as_ref().map(|row| row.try_get(1)).transpose()?;
    if let (Some(id), Some("active"), false) = (known, was.as_deref(), waits) {
        return Ok((id, true));
    }
    let sql =
        "SELECT EXISTS (SELECT FROM binding WHERE device = $1 AND role = $2 AND state = 'active')";
    let has_others: bool = session.one(sql, &[&device, role]).await?.try_get(0)?;
    let is_active = !waits && (!has_others || may_replace(session, device, enrolment).await?);
    let state = if is_active { "active" } else { "pending" };
    let id = match known {
        Some(id) => {
            let sql = "UPDATE binding SET state = $1 WHERE id = $2";
            session.execute(sql, &[&state, &id]).await?;
            id
        }
        None => {
            let sql = "INSERT INTO binding (device, role, state, ak_name, ak_public, signer, key_name, ssh_key, qualified_name, \
                       wall, mode, trusted, clock, resets, restarts, last_seen) \
                       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) RETURNING id";
            let (resets, restarts) = (
                i64::from(verified.time.resets),
                i64::from(verified.time.restarts),
            );
            let row = session
                .one(
                    sql,
                    &[
                        &device,
                        role,
                        &state,
                        &ak,
                        &binding.attestation_key.bytes(),
                        &binding.signer.bytes(),
                        &binding.key.bytes(),
                        &binding.ssh_key.blob(),
                        &binding.qualified_name.bytes(),
                        &wall,
                        &mode,
                        &trusted,
                        &signed(verified.time.clock),
                        &resets,
                        &restarts,
                        &signed(enrolment.answer.now),
                    ],
                )
                .await?;
            row.try_get(0).map_err(corrupt)?
        }
    };
    if is_active {
        replace_others(session, device, role, id).await?;
    }
    Ok((id, is_active))
}

/// Whether the key may replace the device's other key in this role without an administrator's approval.
async fn may_replace(
    session: &mut Session,
    device: i64,
    enrolment: &Enrolment<'_>,
) -> Result<bool, Fault> {
    match (enrolment.rebind, enrolment.admission) {
        // An administrator made the token, which is an approval.
        (_, Admission::Token(_)) | (Rebind::Auto, _) => Ok(true),
        (Rebind::OldKey, Admission::OldKey(blob)) => {
            let sql = "SELECT EXISTS (SELECT FROM binding WHERE device = $1 AND role = $2 AND state = 'active' AND ssh_key = $3)";
            let row = session
                .one(sql, &[&device, &enrolment.assignment.role, blob])
                .await?;
            Ok(row.try_get(0)?)
        }
        _ => Ok(false),
    }
}

/// Retires the other keys of the device in this role. Their host names go to `successor`.
///
/// The names do not become free, because certificates with them may still be valid.
pub(super) async fn replace_others(
    session: &mut Session,
    device: i64,
    role: &str,
    successor: i64,
) -> Result<(), Fault> {
    let sql = "UPDATE principal SET binding = $3 WHERE binding IN \
               (SELECT id FROM binding WHERE device = $1 AND role = $2 AND state = 'active' AND id <> $3)";
    session.execute(sql, &[&device, &role, &successor]).await?;
    let sql = "UPDATE binding SET state = 'retired' \
               WHERE device = $1 AND role = $2 AND state = 'active' AND id <> $3";
    session.execute(sql, &[&device, &role, &successor]).await?;
    Ok(())
}
