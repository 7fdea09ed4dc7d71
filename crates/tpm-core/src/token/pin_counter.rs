//! The PIN counter: an NV index in which the chip itself counts wrong PINs.
//!
//! The authorization value of the index is derived from the user's PIN. Each wrong value adds 1 to
//! the count. The right value, or the SO, sets the count to 0. At the limit the chip refuses also
//! the right value. Each token has its own index, and the lockout of the whole chip is not
//! involved.
//!
//! A thief with the owner's authorization (empty by default) can delete the index and define it
//! again with a PIN of his own. He cannot write it, because that needs the SO object's
//! authorization value. An index that was never written has another Name, so it does not satisfy a
//! policy that has the Name of the written one. This holds only if the attribute OWNERWRITE is
//! clear.

use rand_core::{OsRng, RngCore};

use crate::{
    ChangeGuard, Entity, Error, GuardAuth, Name, OpenSrk, Operation, OwnerAuth, PinAuth, Result,
    SoAuth, SoObject,
    chip::info,
    command::{
        Command, CommandCode,
        crypto::DIGEST,
        exception::Exception,
        policy::{self, Branch},
        session::{Session, Use},
    },
    error::rc,
    object::nv::{self, NvPublic},
};

/// The owner's NV handles for general use.
///
/// # Source
///
/// TCG Registry of Reserved TPM 2.0 Handles, section 2.2.2.
const FIRST: u32 = 0x0180_0000;
const LAST: u32 = 0x01bf_ffff;

/// `TPM_NT_PIN_FAIL`, POLICYWRITE, AUTHREAD, POLICYREAD, NO_DA. With AUTHREAD, `TPM2_PolicySecret`
/// can use the authorization value (part 2, section 13.4).
const ATTRIBUTES: u32 = 0x80 | 1 << 3 | 1 << 18 | 1 << 19 | 1 << 25;
const WRITTEN: u32 = 1 << 29;

/// `TPMS_NV_PIN_COUNTER_PARAMETERS`: count and limit, 4 bytes each.
const SIZE: u16 = 8;

/// A PIN counter: its handle, and the Names of the SO object that may write it and of the change
/// guard with which the user changes the PIN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinCounter {
    handle: u32,
    so: Name,
    guard: Name,
    name: Name,
}

/// The contents of a PIN counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PinState {
    /// Wrong PINs since the last right one.
    pub count: u32,
    /// At how many wrong PINs the token is locked.
    pub limit: u32,
}

/// The state of a PIN counter's handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// Nothing.
    Absent,
    /// The counter is defined and was never written: [`PinCounter::define`] was interrupted, or a
    /// thief defined it again. It does not satisfy the token key's policy.
    Unwritten,
    /// The counter is there.
    Ready,
    /// Another index is at this handle.
    Foreign,
}

impl PinState {
    /// How many tries are left; at 0 the chip refuses also the right PIN.
    #[must_use]
    pub fn left(self) -> u32 {
        self.limit.saturating_sub(self.count)
    }
}

impl PinCounter {
    /// A random NV handle that is free.
    ///
    /// # Errors
    ///
    /// Failures of the chip.
    pub fn pick_handle(op: &Operation<'_>) -> Result<u32> {
        for _ in 0..16 {
            let handle = FIRST + OsRng.next_u32() % (LAST - FIRST + 1);
            if nv::read_public(op, handle, Exception::ClaimedName)?.is_none() {
                return Ok(handle);
            }
        }
        Err(Error::NvSpace)
    }

    /// The counter at `handle` with the Names of its SO object and its change guard; sends no
    /// command.
    #[must_use]
    pub fn from_parts(handle: u32, so: &Name, guard: &Name) -> Self {
        let branches = branches(so, guard);
        Self {
            handle,
            so: so.clone(),
            guard: guard.clone(),
            name: public(handle, &branches, ATTRIBUTES | WRITTEN).name(),
        }
    }

    /// Defines this counter in the chip, with the authorization value `pin`, then writes its limit,
    /// `limit` wrong PINs.
    ///
    /// If the process dies between the two, it leaves an index that was never written, which does
    /// not satisfy the token key's policy.
    ///
    /// # Errors
    ///
    /// [`Error::AuthRejected`] for a wrong owner authorization; [`Error::NvSpace`];
    /// [`Error::NotSupported`] on chips before revision 1.38; [`Error::NvDefined`].
    pub fn define(
        &self,
        root: &OpenSrk<'_>,
        owner: &OwnerAuth,
        so: &SoObject,
        so_auth: &SoAuth,
        pin: &PinAuth,
        limit: u32,
    ) -> Result<()> {
        nv::define(root, owner, &self.public(ATTRIBUTES), pin.value())?;
        let written = root.within(|| self.write(root, so, so_auth, limit, ATTRIBUTES));
        if written.is_err() {
            // If this fails, too, the index stays, and [`PinCounter::list`] lists it.
            let _ = nv::undefine(root, owner, self.handle);
        }
        written
    }

    /// The NV handle.
    #[must_use]
    pub fn handle(&self) -> u32 {
        self.handle
    }

    /// The Name that the index has after it was written.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// The public area that it has once it is written (`TPMS_NV_PUBLIC`), of which its Name is the hash.
    #[must_use]
    pub fn public_area(&self) -> Vec<u8> {
        self.public(ATTRIBUTES | WRITTEN).to_bytes()
    }

    /// The Name of the SO object that may write it.
    #[must_use]
    pub fn so(&self) -> &Name {
        &self.so
    }

    /// The Name of the change guard.
    #[must_use]
    pub fn guard(&self) -> &Name {
        &self.guard
    }

    /// What the chip states to have at this counter's handle. The answer is not authenticated.
    ///
    /// [`PinCounter::state`] reads a counter with an authenticated reply.
    ///
    /// # Errors
    ///
    /// Failures of the chip.
    pub fn presence(&self, op: &Operation<'_>) -> Result<Presence> {
        let unwritten = self.public(ATTRIBUTES).name();
        Ok(
            match nv::read_public(op, self.handle, Exception::ClaimedName)? {
                None => Presence::Absent,
                Some((_, name)) if name == self.name => Presence::Ready,
                Some((_, name)) if name == unwritten => Presence::Unwritten,
                Some(_) => Presence::Foreign,
            },
        )
    }

    /// Reads count and limit. This needs no secret, and the reply is authenticated.
    ///
    /// # Errors
    ///
    /// [`Error::NvMissing`] if the chip has no such counter; [`Error::OtherTpm`].
    pub fn state(&self, root: &OpenSrk<'_>) -> Result<PinState> {
        root.within(|| {
            let policy = Session::policy(root.op(), root)?;
            policy.allow_command(CommandCode::NvRead)?;
            policy.one_of(&self.branches())?;
            let command = Command::new(CommandCode::NvRead)
                .about(Entity::PinCounter)
                .handle(self.handle, &self.name)
                .handle(self.handle, &self.name)
                .session(policy.plain().last())
                .param_u16(SIZE)
                .param_u16(0);
            let response = root.op().run(command).map_err(|err| self.missing(err))?;
            let mut reader = response.reader();
            reader.u16()?;
            let (count, limit) = (reader.u32()?, reader.u32()?);
            reader.finish()?;
            Ok(PinState { count, limit })
        })
    }

    /// Changes the PIN value. This needs the old value and the change guard's secret.
    ///
    /// Chips do not check the limit in this command. The limit holds all the same, because only the
    /// right PIN unseals the secret ([`TokenKey::unseal`](crate::TokenKey::unseal)).
    ///
    /// # Errors
    ///
    /// [`Error::AuthRejected`] for a wrong value or secret, [`Error::OtherTpm`].
    pub fn change_auth(
        &self,
        root: &OpenSrk<'_>,
        (guard, secret): (&ChangeGuard, &GuardAuth),
        old: &PinAuth,
        new: &PinAuth,
    ) -> Result<()> {
        let (old, new) = (old.value(), new.value());
        root.within(|| {
            let policy = Session::proven_policy(root.op(), root)?;
            policy.allow_command(CommandCode::NvChangeAuth)?;
            let mut command = Command::new(CommandCode::NvChangeAuth)
                .about(Entity::PinCounter)
                .handle(self.handle, &self.name)
                .session(policy.authorizes(old).hide_command().becomes(new).last())
                .param_sized(new.bytes());
            let cp_hash = command.cp_hash()?;
            guard.prove_in(root, secret, &policy, &cp_hash)?;
            policy.prove_auth_value()?;
            policy.one_of(&self.branches())?;
            let changed = root.op().run(command).map(drop);
            changed.map_err(|err| self.missing(err))
        })
    }

    /// Sets a new PIN value. This needs the SO value and not the old PIN value.
    ///
    /// # Errors
    ///
    /// [`Error::AuthRejected`] for a wrong SO value, which the chip counts.
    pub fn set_auth(
        &self,
        root: &OpenSrk<'_>,
        so: &SoObject,
        so_auth: &SoAuth,
        new: &PinAuth,
    ) -> Result<()> {
        root.within(|| {
            let policy = Session::policy(root.op(), root)?;
            policy.allow_command(CommandCode::NvChangeAuth)?;
            // A session that authorizes the index would use the old PIN value in its encryption
            // key, and the SO does not know that value. So a second session encrypts.
            let hiding = Session::proven(root.op(), root)?;
            let mut command = Command::new(CommandCode::NvChangeAuth)
                .about(Entity::PinCounter)
                .handle(self.handle, &self.name)
                .session(policy.plain().last())
                .session(hiding.plain().hide_command().last())
                .param_sized(new.value().bytes());
            let cp_hash = command.cp_hash()?;
            so.prove_in(root, so_auth, &policy, &cp_hash)?;
            policy.one_of(&self.branches())?;
            let changed = root.op().run(command).map(drop);
            changed.map_err(|err| self.missing(err))
        })
    }

    /// Sets the count to 0 and the limit to `limit`. This needs the SO value.
    ///
    /// # Errors
    ///
    /// As for [`PinCounter::set_auth`].
    pub fn reset(
        &self,
        root: &OpenSrk<'_>,
        so: &SoObject,
        so_auth: &SoAuth,
        limit: u32,
    ) -> Result<()> {
        root.within(|| self.write(root, so, so_auth, limit, ATTRIBUTES | WRITTEN))
    }

    /// Removes the counter from the chip. Its token key can then never be used again.
    ///
    /// # Errors
    ///
    /// [`Error::NvMissing`]; [`Error::AuthRejected`] for a wrong owner authorization.
    pub fn undefine(&self, root: &OpenSrk<'_>, owner: &OwnerAuth) -> Result<()> {
        Self::undefine_at(root, owner, self.handle)
    }

    /// Removes the counter at `handle`, of any token.
    ///
    /// # Errors
    ///
    /// As for [`PinCounter::undefine`].
    pub fn undefine_at(root: &OpenSrk<'_>, owner: &OwnerAuth, handle: u32) -> Result<()> {
        nv::undefine(root, owner, handle)
    }

    /// The handles of all indexes in the owner's range with the attributes of this crate's PIN
    /// counters, of all tokens and users.
    ///
    /// # Errors
    ///
    /// Failures of the chip.
    pub fn list(op: &Operation<'_>) -> Result<Vec<u32>> {
        let mut found = Vec::new();
        for handle in info::handles(op, FIRST, LAST)? {
            if let Some((public, _)) = nv::read_public(op, handle, Exception::Shown)?
                && public.attributes & !WRITTEN == ATTRIBUTES
                && public.size == SIZE
            {
                found.push(handle);
            }
        }
        Ok(found)
    }

    fn write(
        &self,
        root: &OpenSrk<'_>,
        so: &SoObject,
        so_auth: &SoAuth,
        limit: u32,
        attributes: u32,
    ) -> Result<()> {
        let policy = Session::policy(root.op(), root)?;
        policy.allow_command(CommandCode::NvWrite)?;
        let name = self.public(attributes).name();
        let contents = [0_u32.to_be_bytes(), limit.to_be_bytes()].concat();
        let mut command = Command::new(CommandCode::NvWrite)
            .about(Entity::PinCounter)
            .handle(self.handle, &name)
            .handle(self.handle, &name)
            .session(policy.plain().last())
            .param_sized(&contents)
            .param_u16(0);
        let cp_hash = command.cp_hash()?;
        so.prove_in(root, so_auth, &policy, &cp_hash)?;
        policy.one_of(&self.branches())?;
        root.op().run(command).map_err(|err| self.missing(err))?;
        let wanted = PinState { count: 0, limit };
        if self.state(root)? == wanted {
            Ok(())
        } else {
            Err(Error::WrongLimit)
        }
    }

    fn branches(&self) -> [Branch; 4] {
        branches(&self.so, &self.guard)
    }

    fn public(&self, attributes: u32) -> NvPublic {
        public(self.handle, &self.branches(), attributes)
    }

    /// Runs `TPM2_PolicySecret` with this counter in `policy`, only for the command with the hash
    /// `cp_hash`. A wrong `pin` costs one try.
    pub(crate) fn prove_in<S>(
        &self,
        policy: &Session<'_, S>,
        pin: Use<'_>,
        cp_hash: &[u8; DIGEST],
    ) -> Result<()> {
        policy
            .prove_secret((self.handle, &self.name, Entity::PinCounter), pin, cp_hash)
            .map_err(|err| self.missing(err))
    }

    /// Turns the chip's error for an unused handle into [`Error::NvMissing`].
    fn missing(&self, err: Error) -> Error {
        if err.is_rc(rc::HANDLE) {
            Error::NvMissing(self.handle)
        } else {
            err
        }
    }
}

fn public(index: u32, branches: &[Branch], attributes: u32) -> NvPublic {
    NvPublic {
        index,
        is_sha256: true,
        attributes,
        policy: policy::any_of(branches).to_vec(),
        size: SIZE,
    }
}

/// The branches of the index' policy: the SO writes it and sets the PIN, the user changes the PIN,
/// anybody reads.
fn branches(so: &Name, guard: &Name) -> [Branch; 4] {
    let change = Branch::new().command(CommandCode::NvChangeAuth);
    [
        Branch::new().command(CommandCode::NvWrite).secret(so),
        change.secret(so),
        change.secret(guard).auth_value(),
        Branch::new().command(CommandCode::NvRead),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With OWNERWRITE (bit 1), AUTHWRITE (bit 2) or PPWRITE (bit 0), a thief could write an index
    /// that he defined again.
    #[test]
    fn nobody_but_the_policy_may_write_the_counter() {
        assert_eq!(ATTRIBUTES & 0b111, 0);
        assert_eq!(ATTRIBUTES, 0x020c_0088);
    }

    #[test]
    fn an_unwritten_counter_has_another_name() {
        let (so, guard) = (Name::of_public(b"so"), Name::of_public(b"guard"));
        let written = PinCounter::from_parts(FIRST, &so, &guard);
        assert_ne!(*written.name(), written.public(ATTRIBUTES).name());
    }
}
