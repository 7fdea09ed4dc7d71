//! The registry in PostgreSQL, for several nodes.
//!
//! An enrolment is one SERIALIZABLE transaction, which is repeated if it collides with another one. A renewal is one statement that locks the rows of
//! its key, because renewals are by far the most requests.

mod copy;
mod enrol;
mod keys;
mod location;
mod manage;
mod migrate;
mod pool;
mod renew;
mod restored;

use std::sync::atomic::{AtomicU64, Ordering};

use key_proof::{Binding, Name, PublicArea, TpmTime};
use ssh_format::AnyKey;
use ssh_format::text::error_line;
use tokio_postgres::Row;

use super::{
    Answer, Assignment, Bound, CaKeys, Custody, DeviceLine, Enrolment, Expected, JoinToken, Noted,
    Outcome, Registry, Restored, Retired, Revoked, Sign, Standing, TokenLine,
};
use crate::Refusal;

pub use copy::{Copied, copy};
pub use location::Location;
pub use migrate::prepare;
use pool::{Fault, Pool};

/// Seconds between two deletions of old nonces.
const TIDY: u64 = 60;
/// For how many days after today partitions are made.
const AHEAD: u64 = 3;
const DAY: u64 = 24 * 60 * 60;

/// A registry in PostgreSQL.
///
/// Its calls block, so do not use them within an asynchronous task: there they panic.
#[derive(Debug)]
pub struct Postgres {
    pool: Pool,
    /// When old nonces were last deleted, in seconds since 1970.
    tidied: AtomicU64,
    /// The last day that has a partition, in days since 1970.
    partitioned: AtomicU64,
}

impl Postgres {
    /// Opens the registry at `location`, whose tables were made by [`prepare`].
    ///
    /// # Errors
    ///
    /// [`Refusal::Unavailable`], also if there are no tables, or those of another version.
    pub fn open(location: Location) -> Result<Self, Refusal> {
        let pool = Pool::new(location);
        pool.run(async |session| migrate::check(session).await)?;
        Ok(Self {
            pool,
            tidied: AtomicU64::new(0),
            partitioned: AtomicU64::new(0),
        })
    }

    /// Deletes old nonces, and makes the partitions of the coming days. A failure is printed and not returned, because the next call tries again.
    fn tidy(&self, now: u64) {
        let before = self.tidied.load(Ordering::Relaxed);
        let is_time = now.saturating_sub(before) >= TIDY || now < before;
        let mine = is_time
            && self
                .tidied
                .compare_exchange(before, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if !mine {
            return;
        }
        // Nonces are kept for an hour after they have expired, in case the clock of this machine was set back.
        let old = signed(now.saturating_sub(60 * 60));
        let forgotten = self.pool.run(async |session| {
            let sql = "DELETE FROM used_nonce WHERE expires < $1";
            session.execute(sql, &[&old]).await
        });
        let last = now / DAY + AHEAD;
        let made = if self.partitioned.load(Ordering::Relaxed) < last {
            self.pool.run(async |session| {
                for day in now / DAY..=last {
                    let day = i32::try_from(day).unwrap_or(i32::MAX);
                    session
                        .optional("SELECT make_partition($1)", &[&day])
                        .await?;
                }
                self.partitioned.store(last, Ordering::Relaxed);
                Ok(())
            })
        } else {
            Ok(())
        };
        for failed in [forgotten.err(), made.err()].into_iter().flatten() {
            let why = error_line(&failed);
            eprintln!("tpmssh-ca: the database is not tidied: {}", why);
        }
    }
}

/// A time or counter as a BIGINT, which is signed. Larger values become the largest.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// The day of a time, in days since 1970.
fn day(time: u64) -> i32 {
    i32::try_from(time / DAY).unwrap_or(i32::MAX)
}

/// The error for a stored structure that cannot be parsed.
fn corrupt(err: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Fault {
    Fault::Refusal(Refusal::Unavailable(err.into()))
}

/// A text without NUL, which PostgreSQL does not accept.
fn text(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// A proven key from a row of the query in [`Postgres::bound`](Registry::bound).
fn read_bound(row: &Row) -> Result<Bound, Fault> {
    let blob = |column: usize| row.try_get::<_, Vec<u8>>(column);
    let name = |column| Name::from_bytes(&blob(column)?).map_err(corrupt);
    Ok(Bound {
        id: row.try_get(0)?,
        ek_name: name(1)?,
        assignment: Assignment {
            role: row.try_get(2)?,
            name: row.try_get(3)?,
        },
        active: row.try_get(4)?,
        binding: Binding {
            attestation_key: PublicArea::parse(&blob(5)?).map_err(corrupt)?,
            signer: name(6)?,
            ssh_key: AnyKey::from_blob(&blob(7)?).map_err(corrupt)?,
            key: name(8)?,
            qualified_name: name(9)?,
        },
        wall: row.try_get(10)?,
        mode: row.try_get(11)?,
        trusted: row.try_get(12)?,
        maker: row.try_get(13)?,
        ended: row.try_get(14)?,
    })
}

impl Registry for Postgres {
    fn states(&self) -> Result<Vec<(String, i64)>, Refusal> {
        let sql = "SELECT state, count(*) FROM device GROUP BY state";
        self.pool.run(async |session| {
            let rows = session.rows(sql, &[]).await?;
            let of = |row: &Row| Ok((row.try_get(0)?, row.try_get(1)?));
            rows.iter().map(of).collect()
        })
    }

    fn ready(&self) -> Result<Option<u64>, Refusal> {
        let sql = "SELECT current_setting('transaction_read_only') = 'off', extract(epoch FROM clock_timestamp())::BIGINT";
        self.pool.run(async |session| {
            let row = session.optional(sql, &[]).await?;
            let row = row.ok_or_else(|| corrupt("the database has no clock"))?;
            if !row.try_get(0)? {
                return Err(corrupt("the database is read-only"));
            }
            Ok(Some(unsigned(row.try_get(1)?)))
        })
    }

    fn standing(&self, ek_name: &Name) -> Result<Option<Standing>, Refusal> {
        let sql = "SELECT device.state = 'revoked', role, name, imported FROM device \
                   LEFT JOIN assignment ON assignment.device = device.id WHERE ek_name = $1 ORDER BY role";
        self.pool.run(async |session| {
            let rows = session.rows(sql, &[&ek_name.bytes()]).await?;
            let Some(first) = rows.first() else {
                return Ok(None);
            };
            let mut standing = Standing {
                revoked: first.try_get(0)?,
                ..Standing::default()
            };
            for row in &rows {
                let Some(role) = row.try_get::<_, Option<String>>(1)? else {
                    continue;
                };
                if row.try_get(3)? {
                    standing.imported.push(role.clone());
                }
                let name = row.try_get(2)?;
                standing.assignments.push(Assignment { role, name });
            }
            Ok(Some(standing))
        })
    }

    fn join_token(&self, hash: &[u8; 32], now: u64) -> Result<Option<JoinToken>, Refusal> {
        let sql =
            "SELECT role, name, uses_left > 0 AND expires > $2 FROM join_token WHERE hash = $1";
        self.pool.run(async |session| {
            let row = session.optional(sql, &[&&hash[..], &signed(now)]).await?;
            let Some(row) = row else { return Ok(None) };
            let (role, name) = (row.try_get(0)?, row.try_get(1)?);
            Ok(Some(JoinToken {
                assignment: Assignment { role, name },
                is_good: row.try_get(2)?,
            }))
        })
    }

    fn bound(&self, attestation_key: &Name, key: &Name) -> Result<Vec<Bound>, Refusal> {
        let sql = "SELECT binding.id, ek_name, binding.role, name, binding.state = 'active' AND device.state = 'active', \
                   ak_public, signer, ssh_key, key_name, qualified_name, wall, mode, trusted, maker, binding.state IN ('retired', 'revoked') \
                   FROM binding JOIN device ON device.id = binding.device \
                   JOIN assignment ON assignment.device = binding.device AND assignment.role = binding.role \
                   WHERE ak_name = $1 AND key_name = $2 ORDER BY binding.last_seen DESC, binding.id";
        self.pool.run(async |session| {
            let rows = session
                .rows(sql, &[&attestation_key.bytes(), &key.bytes()])
                .await?;
            rows.iter().map(read_bound).collect()
        })
    }

    fn has_key(&self, ek_name: &Name, ssh_key: &[u8]) -> Result<Vec<Assignment>, Refusal> {
        let sql = "SELECT binding.role, name FROM binding JOIN device ON device.id = binding.device \
                   JOIN assignment ON assignment.device = binding.device AND assignment.role = binding.role \
                   WHERE ek_name = $1 AND ssh_key = $2 AND binding.state = 'active' AND device.state = 'active' ORDER BY binding.role";
        self.pool.run(async |session| {
            let rows = session.rows(sql, &[&ek_name.bytes(), &ssh_key]).await?;
            let assignment = |row: &Row| {
                let (role, name) = (row.try_get(0)?, row.try_get(1)?);
                Ok(Assignment { role, name })
            };
            rows.iter().map(assignment).collect()
        })
    }

    fn enrol(
        &self,
        enrolment: &Enrolment<'_>,
        principals: &[String],
        sign: Sign<'_>,
    ) -> Result<Outcome, Refusal> {
        self.tidy(enrolment.answer.now);
        let mut sign = Once::new(sign);
        self.pool.transaction(async |session| {
            let outcome = enrol::enrol(session, enrolment, principals, &mut sign).await?;
            let keep = matches!(outcome, Outcome::Issued(_) | Outcome::Pending(_));
            Ok((outcome, keep))
        })
    }

    fn renew(
        &self,
        bound: i64,
        names: &[String],
        time: TpmTime,
        answer: Answer<'_>,
        sign: Sign<'_>,
    ) -> Result<Outcome, Refusal> {
        self.tidy(answer.now);
        let mut sign = Once::new(sign);
        let mut names = names.to_vec();
        // All requests take names in the same order, which avoids deadlocks.
        names.sort();
        names.dedup();
        let renewal = renew::Renewal {
            bound,
            names: &names,
            time,
            answer,
        };
        self.pool
            .run(async |session| renew::renew(session, &renewal, &mut sign).await)
    }

    fn ca_key(&self, kind: &str, public: &[u8], custody: &Custody<'_>) -> Result<i64, Refusal> {
        self.pool.transaction(async |session| {
            let id = keys::publish(session, kind, public, custody).await?;
            Ok((id, true))
        })
    }

    fn ca_keys(&self) -> Result<CaKeys, Refusal> {
        self.pool.run(async |session| keys::all(session).await)
    }

    fn retire_ca_key(&self, id: i64, force: bool) -> Result<Retired, Refusal> {
        self.pool.transaction(async |session| {
            let done = keys::retire(session, id, force).await?;
            let keep = matches!(done, Retired::Done(_));
            Ok((done, keep))
        })
    }

    fn revoked(
        &self,
        known: Option<u64>,
        now: u64,
        fresh: u64,
    ) -> Result<Option<Revoked>, Refusal> {
        let last = self
            .pool
            .run(async |session| manage::last_list(session).await)?;
        if !last.is_over(now, fresh) && known == Some(last.number) {
            return Ok(None);
        }
        self.pool.transaction(async |session| {
            let list = manage::revoked(session, now, fresh).await?;
            Ok((Some(list), true))
        })
    }

    fn devices(&self) -> Result<Vec<DeviceLine>, Refusal> {
        self.pool
            .run(async |session| manage::devices(session).await)
    }

    fn add_join_token(&self, token: &TokenLine) -> Result<(), Refusal> {
        let sql = "INSERT INTO join_token (hash, role, name, expires, uses_left, made_by) VALUES ($1, $2, $3, $4, $5, $6)";
        self.pool.run(async |session| {
            let (role, name) = (text(&token.assignment.role), text(&token.assignment.name));
            let (expires, uses) = (signed(token.expires), i64::from(token.uses));
            let hash = &token.hash[..];
            session
                .execute(
                    sql,
                    &[&hash, &role, &name, &expires, &uses, &text(&token.by)],
                )
                .await?;
            Ok(())
        })
    }

    fn join_tokens(&self, now: u64) -> Result<Vec<TokenLine>, Refusal> {
        let sql = "SELECT hash, role, name, uses_left, expires, made_by FROM join_token \
                   WHERE uses_left > 0 AND expires > $1 ORDER BY expires, role, name, hash";
        let line = |row: &Row| {
            let (role, name) = (row.try_get(1)?, row.try_get(2)?);
            let hash: Vec<u8> = row.try_get(0)?;
            Ok(TokenLine {
                hash: hash
                    .try_into()
                    .map_err(|_| corrupt("a hash has 32 bytes"))?,
                assignment: Assignment { role, name },
                uses: u32::try_from(row.try_get::<_, i64>(3)?).unwrap_or(u32::MAX),
                expires: unsigned(row.try_get(4)?),
                by: row.try_get(5)?,
            })
        };
        self.pool.run(async |session| {
            let rows = session.rows(sql, &[&signed(now)]).await?;
            rows.iter().map(line).collect()
        })
    }

    fn withdraw_join_token(&self, hash: &[u8; 32]) -> Result<bool, Refusal> {
        let sql = "UPDATE join_token SET uses_left = 0 WHERE hash = $1";
        self.pool
            .run(async |session| Ok(session.execute(sql, &[&&hash[..]]).await? > 0))
    }

    fn approve(&self, pending: i64) -> Result<Option<AnyKey>, Refusal> {
        self.pool.transaction(async |session| {
            let key = manage::approve(session, pending).await?;
            let keep = key.is_some();
            Ok((key, keep))
        })
    }

    fn revoke(&self, device: i64, reason: &str, now: u64, by: &str) -> Result<bool, Refusal> {
        self.pool.transaction(async |session| {
            let done = manage::revoke(session, device, reason, now, by).await?;
            Ok((done, done))
        })
    }

    fn ek_name(&self, device: i64) -> Result<Option<Name>, Refusal> {
        let sql = "SELECT ek_name FROM device WHERE id = $1";
        self.pool.run(async |session| {
            let row = session.optional(sql, &[&device]).await?;
            row.map(|row| Name::from_bytes(&row.try_get::<_, Vec<u8>>(0)?).map_err(corrupt))
                .transpose()
        })
    }

    fn device_keys(&self, ek_name: &Name) -> Result<Vec<(String, Vec<u8>)>, Refusal> {
        let sql = "SELECT role, ssh_key FROM binding JOIN device ON device.id = binding.device WHERE ek_name = $1 ORDER BY binding.id";
        self.pool.run(async |session| {
            let rows = session.rows(sql, &[&ek_name.bytes()]).await?;
            let of = |row: &Row| Ok((row.try_get(0)?, row.try_get(1)?));
            rows.iter().map(of).collect()
        })
    }

    fn has_issued(&self, serial: u64, time: u64) -> Result<bool, Refusal> {
        let sql = "SELECT EXISTS (SELECT FROM issued WHERE day IN ($1, $1 - 1) AND ca IN (SELECT id FROM ca_key) AND serial = $2)";
        let (day, serial) = (day(time), serial.cast_signed());
        self.pool
            .run(async |session| Ok(session.one(sql, &[&day, &serial]).await?.try_get(0)?))
    }

    fn last_seen(&self) -> Result<u64, Refusal> {
        let sql = "SELECT coalesce(max(last_seen), 0) FROM binding";
        self.pool
            .run(async |session| Ok(unsigned(session.one(sql, &[]).await?.try_get(0)?)))
    }

    fn restored(&self, noted: &Noted, now: u64) -> Result<Restored, Refusal> {
        self.pool.long_transaction(async |session| {
            let done = restored::restored(session, noted, now).await?;
            Ok((done, true))
        })
    }

    fn import(&self, expected: &[Expected], now: u64) -> Result<Option<usize>, Refusal> {
        self.pool.long_transaction(async |session| {
            let refused = manage::import(session, expected, now).await?;
            Ok((refused, refused.is_none()))
        })
    }
}

/// Signs only once, even if the transaction is repeated.
struct Once<'a> {
    sign: Sign<'a>,
    signed: Option<super::Signed>,
}

impl<'a> Once<'a> {
    fn new(sign: Sign<'a>) -> Self {
        Self { sign, signed: None }
    }

    fn sign(&mut self) -> Result<&super::Signed, Refusal> {
        let signed = match self.signed.take() {
            Some(signed) => signed,
            None => (self.sign)()?,
        };
        Ok(self.signed.insert(signed))
    }
}
