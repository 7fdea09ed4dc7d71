//! The tables: creating and updating them, and checking their version.

use super::pool::{Fault, Pool, Session};
use super::{Location, corrupt};
use crate::Refusal;

/// The schemas, oldest first. `schema_version` holds how many of them were applied.
const SCHEMAS: &[&str] = &[
    include_str!("schema_1.sql"),
    include_str!("schema_2.sql"),
    include_str!("schema_3.sql"),
    include_str!("schema_4.sql"),
    include_str!("schema_5.sql"),
];
/// The rights of nodes, with `:"role"` for the name of their role.
const ROLE: &str = include_str!("role.sql");

/// Creates or updates the tables in the database at `location`, and gives the rights of a node to `role`. The user of the connection owns the tables.
/// A lock makes a second call wait for the first.
///
/// # Errors
///
/// [`Refusal::Unavailable`], also for a database that has other tables, or tables of a newer version.
pub fn prepare(location: Location, role: Option<&str>) -> Result<(), Refusal> {
    Pool::new(location).patiently(async |session| {
        session
            .batch("SET statement_timeout = 0; SET lock_timeout = '30s'; BEGIN")
            .await?;
        // The number of the lock is "tpCA".
        session
            .batch("SELECT pg_advisory_xact_lock(1953514305)")
            .await?;
        let done = version(session).await?.unwrap_or(0);
        if done == 0 && has_tables(session).await? {
            return Err(corrupt(
                "the database has tables, and they are none of tpmssh-ca",
            ));
        }
        for schema in missing(done)? {
            session.batch(schema).await?;
        }
        let version = format!("UPDATE schema_version SET version = {}", SCHEMAS.len());
        session.batch(&version).await?;
        if let Some(role) = role {
            let quoted = format!("\"{}\"", role.replace('"', "\"\""));
            session.batch(&ROLE.replace(":\"role\"", &quoted)).await?;
        }
        session.batch("COMMIT").await
    })
}

/// Checks that the tables are those of this version.
pub(super) async fn check(session: &mut Session) -> Result<(), Fault> {
    let Some(done) = version(session).await? else {
        return Err(corrupt(
            "the database has no tables of tpmssh-ca (tpmssh-ca database prepare)",
        ));
    };
    if missing(done)?.is_empty() {
        Ok(())
    } else {
        Err(corrupt(
            "the tables in the database are those of an older tpmssh-ca (tpmssh-ca database prepare)",
        ))
    }
}

async fn version(session: &mut Session) -> Result<Option<usize>, Fault> {
    let sql = "SELECT to_regclass('public.schema_version') IS NOT NULL";
    if !session.one(sql, &[]).await?.try_get::<_, bool>(0)? {
        return Ok(None);
    }
    let row = session
        .one("SELECT version FROM public.schema_version", &[])
        .await?;
    Ok(Some(
        usize::try_from(row.try_get::<_, i32>(0)?).unwrap_or(usize::MAX),
    ))
}

async fn has_tables(session: &mut Session) -> Result<bool, Fault> {
    let sql = "SELECT EXISTS (SELECT FROM pg_tables WHERE schemaname = 'public')";
    Ok(session.one(sql, &[]).await?.try_get(0)?)
}

fn missing(done: usize) -> Result<&'static [&'static str], Fault> {
    SCHEMAS
        .get(done..)
        .ok_or_else(|| corrupt("the tables in the database are those of a newer tpmssh-ca"))
}
