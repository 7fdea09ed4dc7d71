//! Connections to the database, and the transactions over them.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rand_core::{OsRng, RngCore};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, NoTls, Row, Statement};

use super::location::Location;
use crate::Refusal;

/// The most connections of a node: one for each of its 16 workers, and some for administrators.
const MAX: usize = 20;
/// The longest wait for a connection, and the longest time for the work of one request. A slower database counts as unavailable.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest time for a command of an administrator, such as an import of all machines.
const LONG: Duration = Duration::from_secs(10 * 60);
/// How often a transaction is tried that collides with others.
const ATTEMPTS: u32 = 20;
/// The settings of a connection. A row is locked for the time of one statement, or of one enrolment with its signature. A lock that is held longer
/// belongs to a node that hangs.
const SETTINGS: &str = "SET statement_timeout = '5s'; SET lock_timeout = '4s'; SET idle_in_transaction_session_timeout = '30s'; \
                        SET search_path = public; \
                        SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'";

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

/// One connection, and its prepared statements.
pub(super) struct Session {
    client: Client,
    statements: HashMap<&'static str, Statement>,
}

pub(super) type Values<'a> = &'a [&'a (dyn ToSql + Sync)];

impl Session {
    async fn statement(&mut self, sql: &'static str) -> Result<Statement, Fault> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(sql).await?;
        self.statements.insert(sql, statement.clone());
        Ok(statement)
    }

    pub(super) async fn rows(
        &mut self,
        sql: &'static str,
        values: Values<'_>,
    ) -> Result<Vec<Row>, Fault> {
        let statement = self.statement(sql).await?;
        Ok(self.client.query(&statement, values).await?)
    }

    pub(super) async fn optional(
        &mut self,
        sql: &'static str,
        values: Values<'_>,
    ) -> Result<Option<Row>, Fault> {
        let statement = self.statement(sql).await?;
        Ok(self.client.query_opt(&statement, values).await?)
    }

    pub(super) async fn one(
        &mut self,
        sql: &'static str,
        values: Values<'_>,
    ) -> Result<Row, Fault> {
        let statement = self.statement(sql).await?;
        Ok(self.client.query_one(&statement, values).await?)
    }

    /// Executes a statement, and returns the number of rows that it changed.
    pub(super) async fn execute(
        &mut self,
        sql: &'static str,
        values: Values<'_>,
    ) -> Result<u64, Fault> {
        let statement = self.statement(sql).await?;
        Ok(self.client.execute(&statement, values).await?)
    }

    /// The types of the values that a statement takes.
    pub(super) async fn types(&mut self, sql: &'static str) -> Result<Vec<Type>, Fault> {
        Ok(self.statement(sql).await?.params().to_vec())
    }

    /// Runs several statements without values.
    pub(super) async fn batch(&mut self, sql: &str) -> Result<(), Fault> {
        Ok(self.client.batch_execute(sql).await?)
    }
}

/// The connections of a node. Its calls block, so they must not be made on threads of an asynchronous runtime.
pub(super) struct Pool {
    location: Location,
    idle: Mutex<Vec<Session>>,
    permits: Semaphore,
    /// [`PATIENCE`], or less in a test.
    patience: Duration,
    /// Reads from all connections, also from idle ones, so that a connection which was closed is noticed.
    runtime: Option<Runtime>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Dropping a runtime blocks, which is not allowed on a thread of another runtime.
            runtime.shutdown_background();
        }
    }
}

impl Pool {
    pub(super) fn new(location: Location) -> Result<Self, Refusal> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("postgres")
            .enable_all()
            .build();
        Ok(Self {
            location,
            idle: Mutex::default(),
            permits: Semaphore::new(MAX),
            patience: PATIENCE,
            runtime: Some(runtime.map_err(|err| Refusal::Unavailable(err.into()))?),
        })
    }

    /// Does `work` over one connection. Each statement is a transaction of its own.
    pub(super) fn run<T>(
        &self,
        work: impl AsyncFnOnce(&mut Session) -> Result<T, Fault>,
    ) -> Result<T, Refusal> {
        self.wait(self.patience, async {
            let mut session = self.session().await?;
            let done = work(&mut session).await;
            self.give_back(session, done.as_ref().err());
            done
        })
    }

    /// Does `work` for an administrator, without a time limit. The connection is closed afterwards, which rolls back a transaction that `work` left open.
    pub(super) fn patiently<T>(
        &self,
        work: impl AsyncFnOnce(&mut Session) -> Result<T, Fault>,
    ) -> Result<T, Refusal> {
        self.wait(Duration::MAX, async {
            let mut session = self.session().await?;
            work(&mut session).await
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
        self.wait(patience, async {
            let mut session = self.session().await?;
            for attempt in 1.. {
                let done = once(&mut session, &mut work).await;
                match done {
                    Err(fault) if fault.is_collision() && attempt < ATTEMPTS => {
                        session.batch("ROLLBACK").await?;
                        sleep(pause(attempt)).await;
                    }
                    Err(fault) => {
                        // If this fails, the connection is lost, and the database rolls back by itself.
                        let rolled_back = session.batch("ROLLBACK").await;
                        self.give_back(session, rolled_back.as_ref().err());
                        return Err(fault);
                    }
                    Ok(done) => {
                        self.give_back(session, None);
                        return Ok(done);
                    }
                }
            }
            unreachable!("the last attempt returns")
        })
    }

    fn wait<T>(
        &self,
        patience: Duration,
        work: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Refusal> {
        let away = |why: &str| Refusal::Unavailable(why.into());
        let runtime = self.runtime.as_ref();
        let runtime = runtime.ok_or_else(|| away("the database is closed"))?;
        runtime.block_on(async {
            let _permit = timeout(PATIENCE, self.permits.acquire())
                .await
                .map_err(|_| away("all connections to the database are in use"))?;
            let done = timeout(patience, work).await;
            done.map_err(|_| away("the database does not answer"))?
                .map_err(Refusal::from)
        })
    }

    async fn session(&self) -> Result<Session, Fault> {
        while let Some(session) = self.idle().pop() {
            if !session.client.is_closed() {
                return Ok(session);
            }
        }
        let client = match &self.location.tls {
            Some(tls) => {
                let (client, connection) = self.location.config.connect(tls.clone()).await?;
                // The error of the connection is ignored, because the waiting statement fails with it as well.
                tokio::spawn(async move { drop(connection.await) });
                client
            }
            None => {
                let (client, connection) = self.location.config.connect(NoTls).await?;
                tokio::spawn(async move { drop(connection.await) });
                client
            }
        };
        let mut session = Session {
            client,
            statements: HashMap::new(),
        };
        session.batch(SETTINGS).await?;
        Ok(session)
    }

    /// Keeps a connection for later use, unless its state is unknown after a fault.
    fn give_back(&self, session: Session, fault: Option<&Fault>) {
        let usable = match fault {
            None | Some(Fault::Refusal(_)) => true,
            // An error that the database reported: it has rolled the statement back.
            Some(Fault::Database(err)) => err.as_db_error().is_some(),
        };
        if usable && !session.client.is_closed() {
            self.idle().push(session);
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Session>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
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
        let mut pool = Pool::new(location).unwrap();
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
}
