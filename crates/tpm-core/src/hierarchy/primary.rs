//! Primary keys: made from a hierarchy's seed and a template, and made persistent.

use tpm_wire::algorithm;

use crate::{
    Entity, Error, Name, Operation, Result,
    command::{
        Command, CommandCode, Response,
        crypto::{self, Salt},
        exception::Exception,
        session::{SaltKey, Use},
    },
    error::rc,
    object::transient::Transient,
    structures::hierarchy::{Hierarchy, permanent},
};

/// A primary key in a transient slot, with its public area.
#[derive(Debug)]
pub(crate) struct Primary<'op> {
    key: Transient<'op>,
    public: Vec<u8>,
}

impl Primary<'_> {
    /// The `TPMT_PUBLIC`.
    pub(crate) fn public(&self) -> &[u8] {
        &self.public
    }

    /// The Name, computed from the public area.
    pub(crate) fn name(&self) -> &Name {
        self.key.name()
    }
}

impl SaltKey for Primary<'_> {
    fn handle(&self) -> u32 {
        self.key.handle()
    }

    fn salt(&self) -> Result<Salt> {
        crypto::salt_to(&self.public)
    }
}

/// The public area and Name that the chip states for the object at `handle`.
///
/// The Name is computed from the public area and compared with the Name that the chip states.
///
/// # Errors
///
/// [`Error::ReplyForged`] if they differ.
pub(crate) fn read_public(
    op: &Operation<'_>,
    handle: u32,
    why: Exception,
) -> Result<Option<(Vec<u8>, Name)>> {
    let Some((public, stated)) = stated_public(op, handle, why)? else {
        return Ok(None);
    };
    let name = checked_name(&public, &stated, CommandCode::ReadPublic)?;
    Ok(Some((public, name)))
}

/// The public area and Name that the chip states for the object at `handle`; `None` if there is
/// none. They are not compared.
pub(crate) fn stated_public(
    op: &Operation<'_>,
    handle: u32,
    why: Exception,
) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
    // Without a session, the Name of the handle is not used.
    let command = Command::new(CommandCode::ReadPublic).permanent(handle);
    match op.run_unauthenticated(command, why) {
        Ok(response) => {
            let mut reader = response.reader();
            let public = reader.sized()?.to_vec();
            Ok(Some((public, reader.sized()?.to_vec())))
        }
        Err(err) if err.is_rc(rc::HANDLE) => Ok(None),
        Err(err) => Err(err),
    }
}

/// Checks in `session` that the object at `handle` has the Name `name`.
///
/// # Errors
///
/// [`Error::ReplyForged`] if its Name is another.
pub(crate) fn confirm(
    op: &Operation<'_>,
    handle: u32,
    name: &Name,
    session: Use<'_>,
) -> Result<()> {
    let command = Command::new(CommandCode::ReadPublic)
        .handle(handle, name)
        .session(session.hide_response());
    let response = op.run(command)?;
    let mut reader = response.reader();
    let public = reader.sized()?;
    if Name::of_public_area(public)? == *name {
        Ok(())
    } else {
        Err(forged(CommandCode::ReadPublic))
    }
}

fn forged(code: CommandCode) -> Error {
    Error::ReplyForged { command: code }
}

/// The Name of `public`, which must be the one that the chip states.
fn checked_name(public: &[u8], stated: &[u8], code: CommandCode) -> Result<Name> {
    let name = Name::of_public_area(public)?;
    if name.bytes() == stated {
        Ok(name)
    } else {
        Err(forged(code))
    }
}

/// Makes a primary key of `hierarchy` from `template`; `proof` authorizes the hierarchy.
pub(crate) fn create<'op>(
    op: &'op Operation<'op>,
    hierarchy: Hierarchy,
    proof: Use<'_>,
    template: &[u8],
) -> Result<Primary<'op>> {
    let command = Command::new(CommandCode::CreatePrimary)
        .about(hierarchy)
        .permanent(hierarchy.handle())
        .session(proof.hide_response());
    let response = op.run(with_template(command, template))?;
    made(op, &response)
}

/// Makes a primary key of the owner hierarchy, whose authorization value must be empty. The reply
/// is not authenticated.
pub(crate) fn create_unauthenticated<'op>(
    op: &'op Operation<'op>,
    template: &[u8],
    why: Exception,
) -> Result<Primary<'op>> {
    let hierarchy = Hierarchy::Owner;
    let command = Command::new(CommandCode::CreatePrimary)
        .about(hierarchy)
        .permanent(hierarchy.handle())
        .empty_auth();
    let response = op.run_unauthenticated(with_template(command, template), why)?;
    made(op, &response)
}

/// A storage key of the null hierarchy, to salt a session to if there is no storage root key yet.
/// Making one needs no authorization, and it does not outlast a reset.
///
/// The key is not authenticated: an attacker between this process and the chip can put his own key
/// in its place. It protects secrets only from an attacker who just listens.
pub(crate) fn throw_away<'op>(op: &'op Operation<'op>, template: &[u8]) -> Result<Primary<'op>> {
    let command = Command::new(CommandCode::CreatePrimary)
        .about(Entity::Null)
        .permanent(permanent::NULL)
        .empty_auth();
    let command = with_template(command, template);
    let response = op.run_unauthenticated(command, Exception::FirstUse)?;
    made(op, &response)
}

/// Adds the parameters of a `TPM2_CreatePrimary`.
fn with_template<'a, A>(command: Command<'a, A>, template: &[u8]) -> Command<'a, A> {
    // TPM2B_SENSITIVE_CREATE with empty auth and data; no outside info, no PCRs.
    command
        .makes_rsa(template.starts_with(&algorithm::RSA.to_be_bytes()))
        .param_sized(&[0; 4])
        .param_sized(template)
        .param_sized(&[])
        .param_u32(0)
}

fn made<'op>(op: &'op Operation<'op>, response: &Response) -> Result<Primary<'op>> {
    let mut reader = response.reader();
    let public = reader.sized()?.to_vec();
    // creationData, creationHash; creationTicket (tag, hierarchy, digest).
    reader.sized()?;
    reader.sized()?;
    reader.take(6)?;
    reader.sized()?;
    let name = checked_name(&public, reader.sized()?, CommandCode::CreatePrimary)?;
    Ok(Primary {
        key: Transient::new(op, response.handle, name),
        public,
    })
}

/// Gives a loaded primary key the persistent handle `handle`.
pub(crate) fn persist(
    op: &Operation<'_>,
    key: &Primary<'_>,
    handle: u32,
    proof: Use<'_>,
) -> Result<()> {
    evict(op, key.handle(), key.name(), handle, proof)
}

/// Removes the key `name` from its persistent handle.
pub(crate) fn remove(op: &Operation<'_>, handle: u32, name: &Name, proof: Use<'_>) -> Result<()> {
    evict(op, handle, name, handle, proof)
}

/// `TPM2_EvictControl`: makes a transient `object` persistent, or removes a persistent one.
fn evict(
    op: &Operation<'_>,
    object: u32,
    name: &Name,
    persistent: u32,
    proof: Use<'_>,
) -> Result<()> {
    let hierarchy = Hierarchy::Owner;
    let command = Command::new(CommandCode::EvictControl)
        .about(hierarchy)
        .permanent(hierarchy.handle())
        .handle(object, name)
        .session(proof)
        .param_u32(persistent);
    op.run(command).map(drop)
}
