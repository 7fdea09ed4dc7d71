//! Renewals: one statement that checks and changes everything. If it cannot, another one finds out why.

use key_proof::TpmTime;

use super::pool::{Fault, Session};
use super::{Once, day, signed, text};
use crate::Refusal;
use crate::registry::{Answer, Outcome, Signed};

/// A renewal. `names` are sorted and unique.
pub(super) struct Renewal<'a> {
    pub(super) bound: i64,
    pub(super) names: &'a [String],
    pub(super) time: TpmTime,
    pub(super) answer: Answer<'a>,
}

/// Why a renewal was not made.
enum Why {
    /// It can be made.
    Nothing,
    /// It can be made, but has to reserve names for the key first.
    Names,
    /// It is refused, or was made before.
    Known(Outcome),
}

pub(super) async fn renew(
    session: &mut Session,
    renewal: &Renewal<'_>,
    sign: &mut Once<'_>,
) -> Result<Outcome, Fault> {
    // The certificate is signed first, because nearly every renewal is made. It is sent only after its row is on the disk.
    let signed = match sign.sign() {
        Ok(signed) => signed,
        // A repeated request needs no signature.
        Err(refusal) => {
            return match look(session, renewal).await? {
                Why::Known(outcome) => Ok(outcome),
                _ => Err(refusal.into()),
            };
        }
    };
    let mut why = Why::Nothing;
    // Another try, because another renewal with the same key may come between.
    for _ in 0..3 {
        let done = match why {
            Why::Names => with_names(session, renewal, signed).await,
            _ => once(session, renewal, signed).await,
        };
        match done {
            Ok(true) => return Ok(Outcome::Issued(signed.certificate.blob().to_vec())),
            Err(fault) if !fault.is_collision() => return Err(fault),
            Ok(false) | Err(_) => {}
        }
        why = look(session, renewal).await?;
        if let Why::Known(outcome) = why {
            return Ok(outcome);
        }
    }
    Err(Fault::Refusal(Refusal::Unavailable(
        "other renewals of this key were in the way".into(),
    )))
}

async fn look(session: &mut Session, renewal: &Renewal<'_>) -> Result<Why, Fault> {
    let sql = "SELECT mine.state = 'active', \
               EXISTS (SELECT FROM binding WHERE ak_name = mine.ak_name AND went_back($3, $4, $5, clock, resets, restarts)), \
               EXISTS (SELECT FROM principal WHERE name = ANY ($6) AND binding <> $1), \
               (SELECT count(*) FROM principal WHERE name = ANY ($6) AND binding = $1), \
               nonce, body, certificate, used_nonce.binding, theirs.state \
               FROM (SELECT $1::BIGINT AS id) AS asked LEFT JOIN binding AS mine ON mine.id = asked.id \
               LEFT JOIN used_nonce ON nonce = $2 LEFT JOIN binding AS theirs ON theirs.id = used_nonce.binding";
    let Renewal {
        bound,
        names,
        time,
        answer,
    } = renewal;
    let (resets, restarts) = (i64::from(time.resets), i64::from(time.restarts));
    let row = session
        .one(
            sql,
            &[
                bound,
                &&answer.nonce[..],
                &signed(time.clock),
                &resets,
                &restarts,
                names,
            ],
        )
        .await?;
    if row.try_get::<_, Option<Vec<u8>>>(4)?.is_some() {
        let state: Option<String> = row.try_get(8)?;
        let known = again(
            *answer,
            &row.try_get::<_, Vec<u8>>(5)?,
            row.try_get(6)?,
            row.try_get(7)?,
            state.as_deref(),
        );
        return Ok(Why::Known(known));
    }
    if row.try_get::<_, Option<bool>>(0)? != Some(true) {
        return Ok(Why::Known(Outcome::Unknown));
    }
    if row.try_get(1)? {
        return Ok(Why::Known(Outcome::TimeWentBack));
    }
    // The policy may allow the host a new name, which another host may have taken already.
    if row.try_get(2)? {
        return Ok(Why::Known(Outcome::NameTaken));
    }
    let has: i64 = row.try_get(3)?;
    Ok(if usize::try_from(has) == Ok(names.len()) {
        Why::Nothing
    } else {
        Why::Names
    })
}

/// The outcome that this nonce had before, if it was answered already. The same answer gets the same outcome, so a client can repeat a request.
pub(super) async fn answered(
    session: &mut Session,
    answer: Answer<'_>,
) -> Result<Option<Outcome>, Fault> {
    let sql = "SELECT body, certificate, binding, state FROM used_nonce LEFT JOIN binding ON binding.id = binding WHERE nonce = $1";
    let Some(row) = session.optional(sql, &[&&answer.nonce[..]]).await? else {
        return Ok(None);
    };
    let state: Option<String> = row.try_get(3)?;
    let body: Vec<u8> = row.try_get(0)?;
    let known = again(
        answer,
        &body,
        row.try_get(1)?,
        row.try_get(2)?,
        state.as_deref(),
    );
    Ok(Some(known))
}

fn again(
    answer: Answer<'_>,
    body: &[u8],
    certificate: Option<Vec<u8>>,
    binding: i64,
    state: Option<&str>,
) -> Outcome {
    match (state, certificate) {
        _ if body != answer.body => Outcome::NonceUsed,
        // A key that was revoked since does not get its certificate again.
        (None | Some("revoked" | "retired"), _) => Outcome::Unknown,
        (_, Some(certificate)) => Outcome::Issued(certificate),
        (_, None) => Outcome::Pending(binding),
    }
}

/// Reserves the missing names for the key and renews, in one transaction.
async fn with_names(
    session: &mut Session,
    renewal: &Renewal<'_>,
    signed: &Signed,
) -> Result<bool, Fault> {
    session.batch("BEGIN").await?;
    let done = async {
        Ok(take_names(session, renewal.bound, renewal.names).await?
            && once(session, renewal, signed).await?)
    };
    let done = done.await;
    let end = if matches!(done, Ok(true)) {
        "COMMIT"
    } else {
        "ROLLBACK"
    };
    session.batch(end).await?;
    done
}

/// Renews. `false` if it is not possible any more.
async fn once(
    session: &mut Session,
    renewal: &Renewal<'_>,
    signed: &Signed,
) -> Result<bool, Fault> {
    let Renewal {
        bound,
        names,
        time,
        answer,
    } = renewal;
    issue(session, *bound, *time, *answer, names, signed).await
}

/// Stores the TPM's new time, the nonce and the certificate. The certificate may be sent after this is on the disk.
///
/// `false` if the key is not active, the TPM's time would go back, the nonce was used, or the key does not have all of `names`. Then nothing is changed.
pub(super) async fn issue(
    session: &mut Session,
    binding: i64,
    time: TpmTime,
    answer: Answer<'_>,
    names: &[String],
    one: &Signed,
) -> Result<bool, Fault> {
    // All rows with this attestation key are locked, in the same order each time. So of two renewals, the second one sees the time of the first.
    let sql = "WITH held AS MATERIALIZED ( \
                SELECT clock, resets, restarts FROM binding \
                WHERE ak_name = (SELECT ak_name FROM binding WHERE id = $1) ORDER BY id FOR UPDATE \
               ), moved AS ( \
                UPDATE binding SET clock = $2, resets = $3, restarts = $4, last_seen = $5, last_end = $6 \
                WHERE id = $1 AND state = 'active' \
                AND NOT EXISTS (SELECT FROM held WHERE went_back($2, $3, $4, held.clock, held.resets, held.restarts)) \
                AND (SELECT count(*) FROM principal WHERE name = ANY ($7) AND principal.binding = $1) = $8 \
                AND NOT EXISTS (SELECT FROM used_nonce WHERE nonce = $9) \
                RETURNING id \
               ), used AS ( \
                INSERT INTO used_nonce (nonce, expires, body, certificate, binding) SELECT $9, $10, $11, $12, id FROM moved \
               ), noted AS ( \
                INSERT INTO issued (day, ca, serial, binding, issued, not_after, key_id, certificate) \
                SELECT $13, $14, $15, id, $5, $6, $16, $12 FROM moved RETURNING ca \
               ) SELECT count(*) FROM noted";
    let certificate = &one.certificate;
    let ca = i16::try_from(one.ca).map_err(super::corrupt)?;
    let count = i64::try_from(names.len()).map_err(super::corrupt)?;
    let (resets, restarts) = (i64::from(time.resets), i64::from(time.restarts));
    let row = session
        .one(
            sql,
            &[
                &binding,
                &signed(time.clock),
                &resets,
                &restarts,
                &signed(answer.now),
                &signed(certificate.valid_before()),
                &names,
                &count,
                &&answer.nonce[..],
                &signed(answer.expires),
                &&answer.body[..],
                &certificate.blob(),
                &day(answer.now),
                &ca,
                &certificate.serial().cast_signed(),
                &super::text(certificate.key_id()),
            ],
        )
        .await?;
    Ok(row.try_get::<_, i64>(0)? == 1)
}

/// Adds host names to those of this key; `false` if one of them belongs to another key.
pub(super) async fn take_names(
    session: &mut Session,
    binding: i64,
    names: &[String],
) -> Result<bool, Fault> {
    for name in names {
        let sql = "INSERT INTO principal (name, binding) VALUES ($1, $2) \
                   ON CONFLICT (name) DO UPDATE SET binding = $2 WHERE principal.binding = $2";
        if session.execute(sql, &[&text(name), &binding]).await? != 1 {
            return Ok(false);
        }
    }
    Ok(true)
}
