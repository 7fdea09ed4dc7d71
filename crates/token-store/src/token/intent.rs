//! Notes of PIN counters that are about to be made. They reveal a counter that a kill left in the chip.

use rusqlite::{Transaction, params};
use tpm_core::{ChangeGuard, Name, OpenSrk, OwnerAuth, PinCounter, Presence, SoObject, Srk};

use super::{check::COUNTER_HANDLES, now, parts::TokenObjects};
use crate::{Change, Error, Result, Store};

/// Notes that a counter is about to be made. Call it before a command is sent.
pub(super) fn note(
    store: &Store,
    handle: u32,
    so: &SoObject,
    guard: &ChangeGuard,
    srk: &Srk,
) -> Result<()> {
    let names = [so.name(), guard.name(), srk.name()].map(Name::bytes);
    store.write(|tx| {
        tx.execute(
            "INSERT INTO nv_intent (handle, so_name, guard_name, srk_name, created, abandoned) \
             VALUES (?, ?, ?, ?, ?, 0)",
            params![handle, names[0], names[1], names[2], now()],
        )?;
        Ok(())
    })
}

/// Notes the old counter of a token, if it has one, in the transaction that replaces the token. No
/// token can be stored with that counter from then on.
pub(super) fn note_left_over(tx: &Transaction<'_>, old: &TokenObjects) -> Result<()> {
    let Some(counter) = old.counter() else {
        return Ok(());
    };
    let names = [old.so()?.name(), old.guard()?.name(), old.srk.name()].map(Name::bytes);
    tx.execute(
        "INSERT INTO nv_intent (handle, so_name, guard_name, srk_name, created, abandoned) \
         VALUES (?, ?, ?, ?, ?, 1)",
        params![counter.handle(), names[0], names[1], names[2], now()],
    )?;
    Ok(())
}

/// Deletes the note in the transaction that stores the token.
///
/// If the note is gone or marked, another program removes the counter as an orphan:
/// [`Error::Conflict`].
pub(super) fn fulfil(tx: &Transaction<'_>, handle: u32, so: &Name) -> Result<()> {
    let sql = "DELETE FROM nv_intent WHERE handle = ? AND so_name = ? AND abandoned = 0";
    match tx.execute(sql, params![handle, so.bytes()])? {
        1 => Ok(()),
        _ => Err(Error::Conflict),
    }
}

/// Marks the note of a counter that will be removed: from then on no token can be stored with it.
pub(super) fn abandon(tx: &Transaction<'_>, handle: u32, so: &Name) -> Result<()> {
    let sql = "UPDATE nv_intent SET abandoned = 1 WHERE handle = ? AND so_name = ?";
    tx.execute(sql, params![handle, so.bytes()])?;
    Ok(())
}

/// Deletes the note of a counter that is gone from the chip.
pub(super) fn strike_out(tx: &Transaction<'_>, handle: u32, so: &Name) -> Result<()> {
    let sql = "DELETE FROM nv_intent WHERE handle = ? AND so_name = ?";
    tx.execute(sql, params![handle, so.bytes()])?;
    Ok(())
}

/// The same, only for a note that is more than an hour old, whose counter no running program still
/// makes.
pub(super) fn strike_out_old(tx: &Transaction<'_>, handle: u32, so: &Name) -> Result<()> {
    const HOUR: u64 = 3600;
    let sql = "DELETE FROM nv_intent WHERE handle = ? AND so_name = ? AND created < ?";
    tx.execute(sql, params![handle, so.bytes(), now().saturating_sub(HOUR)])?;
    Ok(())
}

/// The counters of the notes about the TPM with this SRK, and the Names of their SO objects.
pub(super) fn notes(tx: &Transaction<'_>, srk: &Name) -> Result<Vec<(PinCounter, Name)>> {
    let mut query = tx.prepare(
        "SELECT handle, so_name, guard_name FROM nv_intent WHERE srk_name = ? ORDER BY handle",
    )?;
    let notes = query.query_map([srk.bytes()], |row| {
        let name =
            |column| Ok::<_, rusqlite::Error>(Name::from_bytes(&row.get::<_, Vec<u8>>(column)?));
        let so = name("so_name")?;
        let handle = row.get("handle")?;
        let counter = PinCounter::from_parts(handle, &so, &name("guard_name")?);
        Ok((counter, so))
    })?;
    let notes: Vec<(PinCounter, Name)> = notes.collect::<rusqlite::Result<_>>()?;
    let out_of_range = notes
        .iter()
        .find(|(counter, _)| !COUNTER_HANDLES.contains(&counter.handle()));
    match out_of_range {
        None => Ok(notes),
        Some((counter, _)) => Err(Error::corrupt(format!(
            "{:#010x} is noted as the handle of a PIN counter",
            counter.handle()
        ))),
    }
}

/// Removes a counter from the chip, also an unfinished one. Does nothing if it is gone or another
/// index is at its handle.
pub(super) fn remove_counter(
    root: &OpenSrk<'_>,
    counter: &PinCounter,
    owner: &OwnerAuth,
) -> Result<()> {
    match counter.presence(root.op())? {
        Presence::Absent | Presence::Foreign => Ok(()),
        Presence::Unwritten | Presence::Ready => counter
            .undefine(root, owner)
            .map_err(|err| Change::Deletion.failed(err.into())),
    }
}
