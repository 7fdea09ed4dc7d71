//! The authority's own keys.

use super::pool::{Fault, Session};
use super::{corrupt, text, unsigned};
use crate::registry::{CaKey, CaKeys, Custody, Retired, check_known};

/// Stores a key, which is published from now on, and returns its number.
pub(super) async fn publish(
    session: &mut Session,
    kind: &str,
    public: &[u8],
    custody: &Custody<'_>,
) -> Result<i64, Fault> {
    let select = "SELECT id, kind, state FROM ca_key WHERE public = $1";
    let mut row = session.optional(select, &[&public]).await?;
    let mut is_new = row.is_none();
    if is_new {
        let insert = "INSERT INTO ca_key (kind, public, state) VALUES ($1, $2, 'active') ON CONFLICT DO NOTHING";
        session.execute(insert, &[&kind, &public]).await?;
        row = session.optional(select, &[&public]).await?;
    }
    let row = row.ok_or_else(|| corrupt("the authority's key has no number"))?;
    let (id, known, state): (i16, String, String) =
        (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    check_known(kind, &known, &state).map_err(Fault::Refusal)?;
    let activate = "UPDATE ca_key SET state = 'active' WHERE id = $1 AND state = 'past'";
    is_new |= session.execute(activate, &[&id]).await? > 0;
    if !custody.node.is_empty() {
        let sql = "UPDATE ca_key SET custody = $1, node = $2 WHERE id = $3 AND (custody, node) <> ($1, $2)";
        let (place, node) = (text(custody.place), text(custody.node));
        session.execute(sql, &[&place, &node, &id]).await?;
    }
    if is_new {
        count(session).await?;
    }
    Ok(i64::from(id))
}

/// Increases the number of the list of keys, since the list has changed.
async fn count(session: &mut Session) -> Result<(), Fault> {
    let sql = "UPDATE meta SET keys_number = keys_number + 1";
    session.execute(sql, &[]).await?;
    Ok(())
}

pub(super) async fn all(session: &mut Session) -> Result<CaKeys, Fault> {
    let sql = "SELECT keys_number, krl_number, id, kind, public, state, custody, node \
               FROM meta LEFT JOIN ca_key ON TRUE ORDER BY id";
    let mut all = CaKeys::default();
    for row in session.rows(sql, &[]).await? {
        all.number = unsigned(row.try_get(0)?);
        all.krl_number = unsigned(row.try_get(1)?);
        if let Some(id) = row.try_get::<_, Option<i16>>(2)? {
            all.keys.push(CaKey {
                id: i64::from(id),
                kind: row.try_get(3)?,
                public: row.try_get(4)?,
                state: row.try_get(5)?,
                custody: row.try_get(6)?,
                node: row.try_get(7)?,
            });
        }
    }
    Ok(all)
}

pub(super) async fn retire(session: &mut Session, id: i64, force: bool) -> Result<Retired, Fault> {
    let found = all(session).await?.retirable(id, force);
    if let Retired::Done(key) = &found {
        let sql = "UPDATE ca_key SET state = 'retired' WHERE public = $1";
        session.execute(sql, &[&key.public]).await?;
        count(session).await?;
    }
    Ok(found)
}
