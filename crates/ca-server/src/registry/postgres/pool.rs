//! Connections to the database, and the transactions over them.

mod line;

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand_core::{OsRng, RngCore};
use tokio::time::sleep;
use tokio_postgres::error::SqlState;

use super::location::Location;
use crate::Refusal;

use line::Line;
pub(super) use line::{Session, Values};

/// The most connections of a node: one for each of its 16 workers, and some for administrators.
const MAX: usize = 20;
/// The longest wait for a connection, and the longest time for the work of one request. A slower database counts as unavailable.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest time for a command of an administrator, such as an import of all machines.
const LONG: Duration = Duration::from_secs(10 * 60);
/// How often a transaction is tried that collides with others.
const ATTEMPTS: u32 = 20;

/// Why a query or a transaction failed.
#[derive(Debug)]
pub(super) enum Fault {
    Database(tokio_postgres::Error),
    Refusal(Refusal),
}

impl From<tokio_postgres::Error> for Fault {
    fn from(err: tokio_postgres::Error) -> Self {
        Self::Database(err)
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self::Refusal(refusal)
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Database(err) => Self::Unavailable(err.into()),
            Fault::Refusal(refusal) => refusal,
        }
    }
}

impl Fault {
    /// Whether the transaction collided with another one, and may succeed if it is repeated.
    pub(super) fn is_collision(&self) -> bool {
        let Self::Database(err) = self else {
            return false;
        };
        let collisions = [
            &SqlState::T_R_SERIALIZATION_FAILURE,
            &SqlState::T_R_DEADLOCK_DETECTED,
            // Two transactions have inserted the same new row.
            &SqlState::UNIQUE_VIOLATION,
        ];
        err.code().is_some_and(|code| collisions.contains(&code))
    }
}

/// The refusal of a database that does not serve, for this reason.
fn away(why: &str) -> Refusal {
    Refusal::Unavailable(why.into())
}

/// The connections of a node. Its calls block, so they must not be made on threads of an asynchronous runtime.
pub(super) struct Pool {
    location: Location,
    lines: Mutex<Lines>,
    /// Notified when a thread no longer uses a connection.
    free: Condvar,
    /// [`PATIENCE`], or less in a test.
    patience: Duration,
}

#[derive(Default)]
struct Lines {
    idle: Vec<Line>,
    /// How many threads use a connection.
    used: usize,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

/// The state of a connection after its use.
enum Left {
    Usable,
    /// Lost, or within a transaction.
    Broken,
}

impl Left {
    fn by(fault: Option<&Fault>) -> Self {
        match fault {
            None | Some(Fault::Refusal(_)) => Self::Usable,
            // An error that the database reported: it has rolled the statement back.
            Some(Fault::Database(err)) if err.as_db_error().is_some() => Self::Usable,
            Some(Fault::Database(_)) => Self::Broken,
        }
    }
}

/// The right to use one of the connections.
struct Permit<'a>(&'a Pool);

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.lines().used -= 1;
        self.0.free.notify_one();
    }
}

impl Pool {
    pub(super) fn new(location: Location) -> Self {
        Self {
            location,
            lines: Mutex::default(),
            free: Condvar::new(),
            patience: PATIENCE,
        }
    }

    /// Does `work` over one connection. Each statement is a transaction of its own.
    pub(super) fn run<T>(
        &self,
        work: impl AsyncFnOnce(&mut Session) -> Result<T, Fault>,
    ) -> Result<T, Refusal> {
        self.over_one(self.patience, async |session| {
            let done = work(session).await;
            let left = Left::by(done.as_ref().err());
            (done, left)
        })
    }

    /// Does `work` for an administrator, without a time limit. The connection is closed afterwards, which rolls back a transaction that `work` left open.
    pub(super) fn patiently<T>(
        &self,
        work: impl AsyncFnOnce(&mut Session) -> Result<T, Fault>,
    ) -> Result<T, Refusal> {
        self.over_one(Duration::MAX, async |session| {
            (work(session).await, Left::Broken)
        })
    }

    /// Does `work` in a SERIALIZABLE transaction. It is rolled back unless `work` returns `true` with its result, and repeated if it collides with
    /// another transaction.
    pub(super) fn transaction<T>(
        &self,
        work: impl AsyncFnMut(&mut Session) -> Result<(T, bool), Fault>,
    ) -> Result<T, Refusal> {
        self.transaction_within(self.patience, work)
    }

    /// As [`Self::transaction`], for commands of administrators that change many rows.
    pub(super) fn long_transaction<T>(
        &self,
        work: impl AsyncFnMut(&mut Session) -> Result<(T, bool), Fault>,
    ) -> Result<T, Refusal> {
        self.transaction_within(LONG, work)
    }

    fn transaction_within<T>(
        &self,
        patience: Duration,
        mut work: impl AsyncFnMut(&mut Session) -> Result<(T, bool), Fault>,
    ) -> Result<T, Refusal> {
        self.over_one(patience, async |session| {
            for attempt in 1.. {
                let fault = match once(session, &mut work).await {
                    Ok(done) => return (Ok(done), Left::Usable),
                    Err(fault) => fault,
                };
                // If this fails, the connection is lost, and the database rolls back by itself.
                let rolled_back = session.batch("ROLLBACK").await;
                let left = Left::by(rolled_back.as_ref().err());
                if !fault.is_collision() || attempt == ATTEMPTS || matches!(left, Left::Broken) {
                    return (Err(fault), left);
                }
                sleep(pause(attempt)).await;
            }
            unreachable!("the last attempt returns")
        })
    }

    /// Does `work` over a connection, which is kept for later use unless its state is unknown.
    fn over_one<T>(
        &self,
        patience: Duration,
        work: impl AsyncFnOnce(&mut Session) -> (Result<T, Fault>, Left),
    ) -> Result<T, Refusal> {
        let _permit = self.permit()?;
        let mut line = self.line()?;
        let (done, left) = line.drive(patience, work)?;
        if matches!(left, Left::Usable) {
            self.lines().idle.push(line);
        }
        done.map_err(Refusal::from)
    }

    /// Waits until less than [`MAX`] connections are used.
    fn permit(&self) -> Result<Permit<'_>, Refusal> {
        let full = |lines: &mut Lines| lines.used >= MAX;
        let waited = self.free.wait_timeout_while(self.lines(), PATIENCE, full);
        let (mut lines, end) = waited.unwrap_or_else(PoisonError::into_inner);
        if end.timed_out() {
            return Err(away("all connections to the database are in use"));
        }
        lines.used += 1;
        Ok(Permit(self))
    }

    fn line(&self) -> Result<Line, Refusal> {
        // A function of its own, so that the lock is not held while a connection is checked.
        let idle = || self.lines().idle.pop();
        while let Some(mut line) = idle() {
            if line.stands() {
                return Ok(line);
            }
        }
        Ok(Line::open(&self.location)?)
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn once<T>(
    session: &mut Session,
    work: &mut impl AsyncFnMut(&mut Session) -> Result<(T, bool), Fault>,
) -> Result<T, Fault> {
    session.batch("BEGIN ISOLATION LEVEL SERIALIZABLE").await?;
    let (done, keep) = work(session).await?;
    // If the connection is lost here, nobody knows whether the transaction was committed. The caller gets the error, and sends no certificate.
    session
        .batch(if keep { "COMMIT" } else { "ROLLBACK" })
        .await?;
    Ok(done)
}

/// The wait before the next attempt: random, and longer after each attempt.
fn pause(attempt: u32) -> Duration {
    let most = 4_u64 << attempt.min(6);
    Duration::from_millis(1 + OsRng.next_u64() % most)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An import of all machines of a fleet changes many rows, each of them quickly.
    #[test]
    fn an_administrator_may_take_longer_than_a_request() {
        let server = testing::Postgres::start();
        let location = Location::parse(&server.url("owner", "postgres")).unwrap();
        let mut pool = Pool::new(location);
        pool.patience = Duration::from_millis(500);
        let work = async |session: &mut Session| {
            for _ in 0..10 {
                session.batch("SELECT pg_sleep(0.1)").await?;
            }
            Ok(((), true))
        };
        pool.long_transaction(work).unwrap();
        let cut = pool.transaction(work).unwrap_err();
        let cause = std::error::Error::source(&cut).map(ToString::to_string);
        assert_eq!(cause.as_deref(), Some("the database does not answer"));
        // The connection was left within a transaction, and is not used again.
        pool.run(async |session| session.batch("BEGIN; COMMIT").await)
            .unwrap();
    }

    #[test]
    fn a_connection_that_the_database_has_closed_meanwhile_is_not_used() {
        let server = testing::Postgres::start();
        let location = Location::parse(&server.url("owner", "postgres")).unwrap();
        let pool = Pool::new(location);
        let id = async |session: &mut Session| {
            let row = session.one("SELECT pg_backend_pid()", &[]).await?;
            Ok(row.try_get::<_, i32>(0)?)
        };
        let first = pool.run(id).unwrap();
        assert_eq!(pool.run(id).unwrap(), first, "it is kept");
        // The second value is in milliseconds: it waits until the backend has ended.
        let end = format!("SELECT pg_terminate_backend({first}, 30000)");
        assert!(server.sql("postgres", &end).contains('t'));
        assert_ne!(pool.run(id).unwrap(), first);
    }
}
