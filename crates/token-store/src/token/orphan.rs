//! PIN counters that a killed program left in the chip.

use rusqlite::Transaction;
use tpm_core::{ChangeGuard, Name, OpenSrk, OwnerAuth, PinCounter, Presence, SoObject, Srk, Tpm};

use super::{Parts, TokenId, delete, intent, row};
use crate::{Error, Result, Store};

/// A PIN counter in the chip that belongs to no token of this store.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Orphan {
    /// Its NV handle.
    pub handle: u32,
    /// Whether it is known to come from this store: it was made for a token that was not finished,
    /// or left over from a deleted one. If not, it only has the form of a PIN counter and may
    /// belong to another user's store.
    pub ours: bool,
}

/// A counter that this store has made.
struct Claim {
    counter: PinCounter,
    so: Name,
    /// The token that was being deleted, if it is from one.
    token: Option<TokenId>,
}

/// Finds PIN counters without a token. If the store can be written, also deletes the notes of
/// counters that the chip no longer has.
///
/// # Errors
///
/// Those of the TPM and of the store.
pub fn orphans(store: &Store, tpm: &Tpm) -> Result<Vec<Orphan>> {
    let op = tpm.begin()?;
    let Some(srk) = Srk::find_serving(&op)? else {
        return Ok(Vec::new());
    };
    let (claims, in_use) = store.read(|tx| Ok((claims(tx, &srk)?, in_use(tx)?)))?;
    let mut ours = Vec::new();
    let mut stale = Vec::new();
    for claim in claims {
        match claim.counter.presence(&op)? {
            Presence::Unwritten | Presence::Ready => ours.push(claim.counter.handle()),
            Presence::Absent | Presence::Foreign => stale.push(claim),
        }
    }
    let orphans = PinCounter::list(&op)?
        .into_iter()
        .filter(|handle| !in_use.contains(handle))
        .map(|handle| Orphan {
            handle,
            ours: ours.contains(&handle),
        })
        .collect();
    drop(op);
    if !stale.is_empty() && !store.is_read_only() {
        store.write(|tx| stale.iter().try_for_each(|claim| claim.tidy(tx)))?;
    }
    Ok(orphans)
}

/// Removes an orphan from the chip.
///
/// # Errors
///
/// [`Error::Conflict`] if a token of this store uses it now; an error for a wrong `owner`; errors
/// of the TPM and of the store.
pub fn remove_orphan(
    store: &mut Store,
    tpm: &Tpm,
    orphan: &Orphan,
    owner: &OwnerAuth,
) -> Result<()> {
    let op = tpm.begin()?;
    let srk = Srk::find_serving(&op)?.ok_or(Error::OtherTpm)?;
    // From here on no token can be stored with it.
    let claims = store.write(|tx| {
        if in_use(tx)?.contains(&orphan.handle) {
            return Err(Error::Conflict);
        }
        let mut claims = claims(tx, &srk)?;
        claims.retain(|claim| claim.counter.handle() == orphan.handle);
        for claim in &claims {
            intent::abandon(tx, orphan.handle, &claim.so)?;
        }
        Ok(claims)
    })?;
    match PinCounter::undefine_at(&srk.open(&op)?, owner, orphan.handle) {
        Ok(()) | Err(tpm_core::Error::NvMissing(_)) => {}
        Err(err) => return Err(err.into()),
    }
    store.write(|tx| claims.iter().try_for_each(|claim| claim.remove(tx)))
}

/// Removes the counters that killed programs left in the chip with the SRK `root`. The caller must
/// hold [`Store::making`] exclusively. A counter that cannot be removed stays noted.
pub(super) fn sweep(store: &Store, root: &OpenSrk<'_>, owner: &OwnerAuth) -> Result<()> {
    for claim in store.read(|tx| claims(tx, root.srk()))? {
        let handle = claim.counter.handle();
        match intent::remove_counter(root, &claim.counter, owner) {
            Ok(()) => store.write(|tx| claim.remove(tx))?,
            Err(err) => log::warn!("NV index {handle:#010x} of a killed program stays: {err}"),
        }
    }
    Ok(())
}

impl Claim {
    /// Deletes the note of a counter that the chip does not have.
    ///
    /// Leaves a note from the last hour, because its counter may still be made.
    fn tidy(&self, tx: &Transaction<'_>) -> Result<()> {
        match self.token {
            Some(_) => self.remove(tx),
            None => intent::strike_out_old(tx, self.counter.handle(), &self.so),
        }
    }

    fn remove(&self, tx: &Transaction<'_>) -> Result<()> {
        match self.token {
            Some(token) => delete::remove(tx, token),
            None => intent::strike_out(tx, self.counter.handle(), &self.so),
        }
    }
}

/// The counters of unfinished and of half-deleted tokens of the TPM with this SRK.
fn claims(tx: &Transaction<'_>, srk: &Srk) -> Result<Vec<Claim>> {
    let mut claims: Vec<_> = intent::notes(tx, srk.name())?
        .into_iter()
        .map(|(counter, so)| Claim {
            counter,
            so,
            token: None,
        })
        .collect();
    for token in row::being_deleted(tx)? {
        let Parts {
            srk: parent,
            so: Some(so),
            guard: Some(guard),
            ..
        } = token.parts
        else {
            continue;
        };
        if let (Some(handle), Ok(so), Ok(guard)) = (
            token.nv_handle,
            SoObject::from_blob(so),
            ChangeGuard::from_blob(guard),
        ) && parent.name() == srk.name()
        {
            let so = so.name().clone();
            let counter = PinCounter::from_parts(handle, &so, guard.name());
            claims.push(Claim {
                counter,
                so,
                token: Some(token.id),
            });
        }
    }
    Ok(claims)
}

/// The handles of the counters of all tokens.
fn in_use(tx: &Transaction<'_>) -> Result<Vec<u32>> {
    let mut query =
        tx.prepare("SELECT nv_handle FROM token WHERE nv_handle NOT NULL AND state = 'ready'")?;
    let handles = query.query_map([], |row| row.get(0))?;
    Ok(handles.collect::<rusqlite::Result<_>>()?)
}
