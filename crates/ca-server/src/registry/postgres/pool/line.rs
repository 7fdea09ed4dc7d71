//! One connection to the database. The thread that uses the connection also reads and writes it, so that no other thread has to be woken for an answer.

use std::collections::HashMap;
use std::pin::{Pin, pin};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;
use tokio::time::{error::Elapsed, timeout};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, NoTls, Row, Statement};

use super::super::location::Location;
use super::{Fault, PATIENCE, away};
use crate::Refusal;

/// The settings of a connection. A row is locked for the time of one statement, or of one enrolment with its signature. A lock that is held longer
/// belongs to a node that hangs.
const SETTINGS: &str = "SET statement_timeout = '5s'; SET lock_timeout = '4s'; SET idle_in_transaction_session_timeout = '30s'; \
                        SET search_path = public; \
                        SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'";

/// One connection, and its prepared statements.
pub(in super::super) struct Session {
    client: Client,
    statements: HashMap<&'static str, Statement>,
}

pub(in super::super) type Values<'a> = &'a [&'a (dyn ToSql + Sync)];

impl Session {
    async fn statement(&mut self, sql: &'static str) -> Result<Statement, Fault> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(sql).await?;
        self.statements.insert(sql, statement.clone());
        Ok(statement)
    }

    pub(in super::super) async fn rows(
        &mut self,
        sql: &'static str,
        values: Values<'_>,
    ) -> Result<Vec<Row>, Fault> {
        let statement = self.statement(sql).await?;
        Ok(self.client.query(&statement, values).await?)
    }

    pub(in super::super) async fn optional(
        &mut self,
        sql: &'static str,
        values: Values<'_>,
    ) -> Result<Option<Row>, Fault> {
        let statement = self.statement(sql).await?;
        Ok(self.client.query_opt(&statement, values).await?)
    }

    pub(in super::super) async fn one(
        &mut self,
        sql: &'static str,
        values: Values<'_>,
    ) -> Result<Row, Fault> {
        let statement = self.statement(sql).await?;
        Ok(self.client.query_one(&statement, values).await?)
    }

    /// Executes a statement, and returns the number of rows that it changed.
    pub(in super::super) async fn execute(
        &mut self,
        sql: &'static str,
        values: Values<'_>,
    ) -> Result<u64, Fault> {
        let statement = self.statement(sql).await?;
        Ok(self.client.execute(&statement, values).await?)
    }

    /// The types of the values that a statement takes.
    pub(in super::super) async fn types(&mut self, sql: &'static str) -> Result<Vec<Type>, Fault> {
        Ok(self.statement(sql).await?.params().to_vec())
    }

    /// Runs several statements without values.
    pub(in super::super) async fn batch(&mut self, sql: &str) -> Result<(), Fault> {
        Ok(self.client.batch_execute(sql).await?)
    }
}

fn slow(_: Elapsed) -> Refusal {
    away("the database does not answer")
}

/// The future that reads and writes a connection. It ends with the connection.
type Transport = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A connection, with the runtime that drives it.
pub(super) struct Line {
    session: Session,
    /// `None` once the connection has ended.
    transport: Option<Transport>,
    /// `None` only while the line is dropped.
    runtime: Option<Runtime>,
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Dropping a runtime blocks, which is not allowed on a thread of another runtime.
            runtime.shutdown_background();
        }
    }
}

impl Line {
    /// Connects.
    ///
    /// # Errors
    ///
    /// [`Fault`], also if the database does not answer within [`PATIENCE`].
    pub(super) fn open(location: &Location) -> Result<Self, Fault> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|err| Refusal::Unavailable(err.into()))?;
        let connected = runtime.block_on(async { timeout(PATIENCE, connect(location)).await });
        let (client, transport) = connected.map_err(slow)??;
        let mut line = Self {
            session: Session {
                client,
                statements: HashMap::new(),
            },
            transport: Some(transport),
            runtime: Some(runtime),
        };
        let set = line.drive(PATIENCE, async |session| session.batch(SETTINGS).await);
        set??;
        Ok(line)
    }

    /// Does `work` over the connection.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unavailable`] after `patience`. Then the state of the connection is unknown.
    pub(super) fn drive<T>(
        &mut self,
        patience: Duration,
        work: impl AsyncFnOnce(&mut Session) -> T,
    ) -> Result<T, Refusal> {
        let runtime = self.runtime.as_ref();
        let runtime = runtime.ok_or_else(|| away("the database is closed"))?;
        let (session, transport) = (&mut self.session, &mut self.transport);
        // The timer needs the runtime.
        let done = async { timeout(patience, beside(transport, work(session))).await };
        runtime.block_on(done).map_err(slow)
    }

    /// Whether the connection still stands. The database may have ended it since it was last used.
    pub(super) fn stands(&mut self) -> bool {
        // During the yield, the runtime asks the system whether the connection can be read, and `transport` reads it.
        let looked = self.drive(PATIENCE, async |_| yield_now().await);
        looked.is_ok() && self.transport.is_some()
    }
}

/// Does `work` while `transport` reads and writes for it.
async fn beside<T>(transport: &mut Option<Transport>, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    if let Some(reading) = transport {
        tokio::select! {
            // The connection is read first, so that the check of `stands` takes one yield.
            biased;
            () = reading => {}
            done = &mut work => return done,
        }
        *transport = None;
    }
    // The connection has ended, so the next statement fails.
    work.await
}

async fn connect(location: &Location) -> Result<(Client, Transport), Fault> {
    // The error of the connection is ignored, because the waiting statement fails with it as well.
    Ok(match &location.tls {
        Some(tls) => {
            let (client, connection) = location.config.connect(tls.clone()).await?;
            (client, Box::pin(async move { drop(connection.await) }))
        }
        None => {
            let (client, connection) = location.config.connect(NoTls).await?;
            (client, Box::pin(async move { drop(connection.await) }))
        }
    })
}
