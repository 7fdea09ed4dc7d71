//! Enrolments and renewals: the role and names that a proven key gets, and the row of each certificate.

use key_proof::{Kind, Name, TpmTime, Verified};
use rusqlite::{OptionalExtension, Transaction, params};

use super::{execute, query_row, signed, unsigned};
use crate::Refusal;
use crate::policy::Rebind;
use crate::registry::{Admission, Answer, Enrolment, Outcome, Sign};

pub(super) fn enrol(
    tx: &Transaction<'_>,
    enrolment: &Enrolment<'_>,
    principals: &[String],
    sign: Sign<'_>,
) -> Result<Outcome, Refusal> {
    let verified = enrolment.verified;
    if let Some(known) = answered(tx, enrolment.answer)? {
        return Ok(known);
    }
    let Some(device) = device(tx, verified, enrolment.answer.now)? else {
        return Ok(Outcome::Unknown);
    };
    if is_elsewhere(tx, device, verified)? {
        return Ok(Outcome::Unknown);
    }
    if let Admission::Token(hash) = enrolment.admission
        && !has_come(tx, device, enrolment)?
        && !use_token(tx, hash, enrolment.answer.now)?
    {
        return Ok(Outcome::NoToken);
    }
    let state = match assign(tx, device, enrolment)? {
        Ok(state) => state,
        Err(refused) => return Ok(refused),
    };
    if went_back(tx, &verified.attestation_key, verified.time)? {
        return Ok(Outcome::TimeWentBack);
    }
    let waits = state == "pending";
    let (binding, state) = bind(tx, device, enrolment, waits)?;
    if state == "pending" {
        use_nonce(tx, enrolment.answer, None, binding)?;
        return Ok(Outcome::Pending(binding));
    }
    if verified.kind == Kind::Host && !take_names(tx, binding, principals)? {
        return Ok(Outcome::NameTaken);
    }
    issue(tx, binding, verified.time, enrolment.answer, sign)
}

pub(super) fn renew(
    tx: &Transaction<'_>,
    bound: i64,
    names: &[String],
    time: TpmTime,
    answer: Answer<'_>,
    sign: Sign<'_>,
) -> Result<Outcome, Refusal> {
    if let Some(known) = answered(tx, answer)? {
        return Ok(known);
    }
    let sql = "SELECT ak_name FROM binding JOIN device ON device.id = binding.device \
               WHERE binding.id = ? AND binding.state = 'active' AND device.state = 'active'";
    let name: Option<Vec<u8>> = query_row(tx, sql, [bound], |row| row.get(0)).optional()?;
    let Some(name) = name else {
        return Ok(Outcome::Unknown);
    };
    if went_back(tx, &Name::from_bytes(&name).map_err(super::corrupt)?, time)? {
        return Ok(Outcome::TimeWentBack);
    }
    // The policy may allow the host a new name, which another host may have taken already.
    if !take_names(tx, bound, names)? {
        return Ok(Outcome::NameTaken);
    }
    issue(tx, bound, time, answer, sign)
}

/// The outcome that this nonce had before, if it was answered already. The same answer gets the same outcome, so a client can repeat a request.
fn answered(tx: &Transaction<'_>, answer: Answer<'_>) -> Result<Option<Outcome>, Refusal> {
    let sql = "SELECT body, certificate, binding FROM used_nonce WHERE nonce = ?";
    let row: Option<(Vec<u8>, Option<Vec<u8>>, i64)> = query_row(tx, sql, [answer.nonce], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    })
    .optional()?;
    let Some((body, certificate, binding)) = row else {
        return Ok(None);
    };
    if body != answer.body {
        return Ok(Some(Outcome::NonceUsed));
    }
    // A key that was revoked since does not get its certificate again.
    let sql = "SELECT state FROM binding WHERE id = ?";
    let state: String = query_row(tx, sql, [binding], |row| row.get(0))?;
    Ok(Some(match (state.as_str(), certificate) {
        ("revoked" | "retired", _) => Outcome::Unknown,
        (_, Some(certificate)) => Outcome::Issued(certificate),
        (_, None) => Outcome::Pending(binding),
    }))
}

/// The device's number, for a new device as well; `None` if the device was revoked.
fn device(tx: &Transaction<'_>, verified: &Verified, now: u64) -> Result<Option<i64>, Refusal> {
    let maker = verified.maker.as_ref().map_or_else(String::new, |maker| {
        format!("{} {} {}", maker.manufacturer, maker.model, maker.version)
    });
    execute(
        tx,
        "INSERT INTO device (ek_name, state, maker, first_seen) VALUES (?1, 'active', ?2, ?3) \
         ON CONFLICT (ek_name) DO UPDATE SET maker = ?2 WHERE ?2 <> ''",
        params![verified.ek_name.bytes(), maker, signed(now)],
    )?;
    let sql = "SELECT id FROM device WHERE ek_name = ? AND state = 'active'";
    let id = query_row(tx, sql, [verified.ek_name.bytes()], |row| row.get(0));
    Ok(id.optional()?)
}

/// Whether the attestation key belongs to another device here, or the key was revoked.
///
/// A TPM has several endorsement keys, so without this check a revoked machine could enrol again as a new device.
fn is_elsewhere(tx: &Transaction<'_>, device: i64, verified: &Verified) -> Result<bool, Refusal> {
    let sql = "SELECT EXISTS (SELECT 1 FROM binding WHERE ak_name = ?1 AND device <> ?2) \
               OR EXISTS (SELECT 1 FROM revocation WHERE ssh_key = ?3) OR EXISTS (SELECT 1 FROM revoked_print WHERE sha256 = ?4)";
    let key = &verified.binding.ssh_key;
    let print = key.fingerprint();
    let values = params![
        verified.attestation_key.bytes(),
        device,
        key.blob(),
        print.as_bytes()
    ];
    Ok(query_row(tx, sql, values, |row| row.get(0))?)
}

/// Whether the device has enrolled this key for this role before. Then it needs no second join token: it repeats an enrolment whose answer was lost.
fn has_come(tx: &Transaction<'_>, device: i64, enrolment: &Enrolment<'_>) -> Result<bool, Refusal> {
    let verified = enrolment.verified;
    let sql = "SELECT EXISTS (SELECT 1 FROM binding JOIN assignment ON assignment.device = binding.device AND assignment.role = binding.role \
               WHERE binding.device = ? AND binding.role = ? AND ak_name = ? AND key_name = ? \
               AND (binding.state = 'active' OR (binding.state = 'pending' AND assignment.state = 'pending')))";
    let values = params![
        device,
        enrolment.assignment.role,
        verified.attestation_key.bytes(),
        verified.binding.key.bytes()
    ];
    Ok(query_row(tx, sql, values, |row| row.get(0))?)
}

fn use_token(tx: &Transaction<'_>, hash: &[u8; 32], now: u64) -> Result<bool, Refusal> {
    let sql = "UPDATE join_token SET uses_left = uses_left - 1 WHERE hash = ? AND uses_left > 0 AND expires > ?";
    Ok(execute(tx, sql, params![hash, signed(now)])? == 1)
}

/// The state of the device's assignment for this role. A device without one gets it by a join token or an identity.
fn assign(
    tx: &Transaction<'_>,
    device: i64,
    enrolment: &Enrolment<'_>,
) -> Result<Result<String, Outcome>, Refusal> {
    let wanted = enrolment.assignment;
    let sql = "SELECT name, state FROM assignment WHERE device = ? AND role = ?";
    let row: Option<(String, String)> = query_row(tx, sql, params![device, wanted.role], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })
    .optional()?;
    Ok(match row {
        Some((name, state)) if name == wanted.name => Ok(state),
        Some(_) => Err(Outcome::OtherName),
        None if !enrolment.admission.gives_role() => Err(Outcome::Unknown),
        None => {
            let state = if enrolment.approve_first {
                "pending"
            } else {
                "active"
            };
            execute(
                tx,
                "INSERT INTO assignment (device, role, name, state, imported) VALUES (?, ?, ?, ?, 0)",
                params![device, wanted.role, wanted.name, state],
            )?;
            Ok(state.to_owned())
        }
    })
}

/// Whether `time` is before the last time that a proof with this attestation key has shown (check V14).
///
/// The TPM adds a constant offset to its counters, so only differences count, and the counters wrap. A power failure may set the clock back,
/// and then the counter of resets has gone up.
fn went_back(tx: &Transaction<'_>, ak: &Name, time: TpmTime) -> Result<bool, Refusal> {
    let mut statement =
        tx.prepare_cached("SELECT resets, restarts, clock FROM binding WHERE ak_name = ?")?;
    let mut rows = statement.query([ak.bytes()])?;
    while let Some(row) = rows.next()? {
        let (resets, restarts): (u32, u32) = (row.get(0)?, row.get(1)?);
        let clock = unsigned(row.get(2)?);
        // Counters wrap: a difference of 2^31 or more is a step back.
        let ahead = |now: u32, then: u32| now.wrapping_sub(then).cast_signed().signum();
        let order = match (ahead(time.resets, resets), ahead(time.restarts, restarts)) {
            (0, 0) if time.clock < clock => -1,
            (0, restarts) => restarts,
            (resets, _) => resets,
        };
        if order < 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Stores the key in this role, and returns the number and the state of its row.
fn bind(
    tx: &Transaction<'_>,
    device: i64,
    enrolment: &Enrolment<'_>,
    waits: bool,
) -> Result<(i64, &'static str), Refusal> {
    let (verified, role) = (enrolment.verified, &enrolment.assignment.role);
    let binding = &verified.binding;
    let sql = "SELECT id, state FROM binding WHERE ak_name = ? AND key_name = ? AND role = ?";
    let names = params![verified.attestation_key.bytes(), binding.key.bytes(), role];
    let row: Option<(i64, String)> =
        query_row(tx, sql, names, |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    if let Some((id, state)) = &row {
        // The newest proof counts: a machine that enrolled again because the policy became stricter can renew after that.
        let sql = "UPDATE binding SET wall = ?, mode = ?, trusted = ? WHERE id = ?";
        let (wall, mode) = (verified.wall.name(), verified.mode.name());
        execute(tx, sql, params![wall, mode, verified.trusted, id])?;
        if state == "active" && !waits {
            return Ok((*id, "active"));
        }
    }
    let sql = "SELECT count(*) FROM binding WHERE device = ? AND role = ? AND state = 'active'";
    let others: i64 = query_row(tx, sql, params![device, role], |row| row.get(0))?;
    let state = if waits || (others > 0 && !may_replace(tx, device, enrolment)?) {
        "pending"
    } else {
        "active"
    };
    let id = match row {
        Some((id, _)) => {
            let sql = "UPDATE binding SET state = ? WHERE id = ?";
            execute(tx, sql, params![state, id])?;
            id
        }
        None => {
            let now = signed(enrolment.answer.now);
            execute(
                tx,
                "INSERT INTO binding (device, role, state, ak_name, ak_public, signer, key_name, ssh_key, qualified_name, \
                 wall, mode, trusted, clock, resets, restarts, last_seen) \
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                params![
                    device,
                    role,
                    state,
                    verified.attestation_key.bytes(),
                    binding.attestation_key.bytes(),
                    binding.signer.bytes(),
                    binding.key.bytes(),
                    binding.ssh_key.blob(),
                    binding.qualified_name.bytes(),
                    verified.wall.name(),
                    verified.mode.name(),
                    verified.trusted,
                    signed(verified.time.clock),
                    verified.time.resets,
                    verified.time.restarts,
                    now,
                ],
            )?;
            tx.last_insert_rowid()
        }
    };
    if state == "active" {
        replace_others(tx, device, role, id)?;
    }
    Ok((id, state))
}

/// Whether the key may replace the device's other key in this role without an administrator's approval.
fn may_replace(
    tx: &Transaction<'_>,
    device: i64,
    enrolment: &Enrolment<'_>,
) -> Result<bool, Refusal> {
    match (enrolment.rebind, enrolment.admission) {
        // An administrator made the token, which is an approval.
        (_, Admission::Token(_)) | (Rebind::Auto, _) => Ok(true),
        (Rebind::OldKey, Admission::OldKey(blob)) => {
            let sql = "SELECT EXISTS (SELECT 1 FROM binding WHERE device = ? AND role = ? AND state = 'active' AND ssh_key = ?)";
            let values = params![device, enrolment.assignment.role, blob];
            Ok(query_row(tx, sql, values, |row| row.get(0))?)
        }
        _ => Ok(false),
    }
}

/// Retires the other keys of the device in this role. Their host names go to `successor`.
///
/// The names do not become free, because certificates with them may still be valid.
pub(super) fn replace_others(
    tx: &Transaction<'_>,
    device: i64,
    role: &str,
    successor: i64,
) -> Result<(), Refusal> {
    let values = params![device, role, successor];
    let sql = "UPDATE principal SET binding = ?3 WHERE binding IN \
               (SELECT id FROM binding WHERE device = ?1 AND role = ?2 AND state = 'active' AND id <> ?3)";
    execute(tx, sql, values)?;
    let sql = "UPDATE binding SET state = 'retired' \
               WHERE device = ?1 AND role = ?2 AND state = 'active' AND id <> ?3";
    execute(tx, sql, values)?;
    Ok(())
}

/// Adds host names to those of this key; `false` if one of them belongs to another key.
fn take_names(tx: &Transaction<'_>, binding: i64, names: &[String]) -> Result<bool, Refusal> {
    for name in names {
        let sql = "INSERT INTO principal (name, binding) VALUES (?1, ?2) \
                   ON CONFLICT (name) DO UPDATE SET binding = ?2 WHERE binding = ?2";
        if execute(tx, sql, params![name, binding])? != 1 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Signs a certificate and stores it. The caller gives it out after this transaction is on the disk.
fn issue(
    tx: &Transaction<'_>,
    binding: i64,
    time: TpmTime,
    answer: Answer<'_>,
    sign: Sign<'_>,
) -> Result<Outcome, Refusal> {
    let signed_one = sign()?;
    let certificate = signed_one.certificate;
    let (now, blob) = (signed(answer.now), certificate.blob());
    execute(
        tx,
        "INSERT INTO issued (ca, serial, binding, issued, not_after, key_id, certificate) \
         VALUES (?, ?, ?, ?, ?, ?, ?)",
        params![
            signed_one.ca,
            certificate.serial().cast_signed(),
            binding,
            now,
            signed(certificate.valid_before()),
            certificate.key_id(),
            blob
        ],
    )?;
    execute(
        tx,
        "UPDATE binding SET clock = ?, resets = ?, restarts = ?, last_seen = ? WHERE id = ?",
        params![signed(time.clock), time.resets, time.restarts, now, binding],
    )?;
    use_nonce(tx, answer, Some(blob), binding)?;
    Ok(Outcome::Issued(blob.to_vec()))
}

fn use_nonce(
    tx: &Transaction<'_>,
    answer: Answer<'_>,
    certificate: Option<&[u8]>,
    binding: i64,
) -> Result<(), Refusal> {
    // Kept for an hour after it has expired, in case the clock of this machine was set back.
    let old = signed(answer.now.saturating_sub(60 * 60));
    execute(tx, "DELETE FROM used_nonce WHERE expires < ?", [old])?;
    execute(
        tx,
        "INSERT INTO used_nonce (nonce, expires, body, certificate, binding) VALUES (?, ?, ?, ?, ?)",
        params![
            answer.nonce,
            signed(answer.expires),
            answer.body,
            certificate,
            binding
        ],
    )?;
    Ok(())
}
