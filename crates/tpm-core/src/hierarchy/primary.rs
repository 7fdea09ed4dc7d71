//! Primary keys: made from a hierarchy's seed and a template, and kept in the chip.

use crate::{
    AuthValue, Error, Name, Operation, Result, Srk,
    command::{Code, Command, session::Session},
    error::rc,
    object::transient::Transient,
    structures::{algorithm, hierarchy::Hierarchy},
};

/// The public area and Name of an object, if there is one at `handle`.
pub(crate) fn read_public(op: &Operation<'_>, handle: u32) -> Result<Option<(Vec<u8>, Name)>> {
    // ReadPublic needs no authorization, so the Name of the handle is not used.
    let command = Command::new(Code::ReadPublic).permanent(handle);
    match op.run(command) {
        Ok(response) => {
            let mut reader = response.reader();
            let public = reader.sized()?.to_vec();
            let name = Name::from_bytes(reader.sized()?);
            Ok(Some((public, name)))
        }
        Err(err) if err.is_rc(rc::HANDLE) => Ok(None),
        Err(err) => Err(err),
    }
}

/// Makes a primary key of `hierarchy` from `template`.
pub(crate) fn create<'op>(
    op: &'op Operation<'op>,
    hierarchy: Hierarchy,
    auth: &AuthValue,
    template: &[u8],
) -> Result<Transient<'op>> {
    let command = Command::new(Code::CreatePrimary)
        .about(hierarchy.words())
        .permanent(hierarchy.handle())
        .makes_rsa(template.starts_with(&algorithm::RSA.to_be_bytes()))
        // TPM2B_SENSITIVE_CREATE with empty auth and data; no outside info, no PCRs.
        .param_sized(&[0; 4])
        .param_sized(template)
        .param_sized(&[])
        .param_u32(0);
    let session = proof(op, auth)?;
    let response = op.run(authorized(command, session.as_ref(), auth))?;
    let mut reader = response.reader();
    // outPublic, creationData, creationHash, creationTicket (tag, hierarchy, digest), name.
    for _ in 0..3 {
        reader.sized()?;
    }
    reader.take(6)?;
    reader.sized()?;
    let name = Name::from_bytes(reader.sized()?);
    Ok(Transient::new(op, response.handle, name))
}

/// Gives a loaded primary key the persistent handle `handle`.
pub(crate) fn persist(
    op: &Operation<'_>,
    key: &Transient<'_>,
    handle: u32,
    owner: &AuthValue,
) -> Result<()> {
    evict(op, key.handle(), key.name(), handle, owner)
}

/// Removes the key `name` from its persistent handle.
pub(crate) fn remove(
    op: &Operation<'_>,
    handle: u32,
    name: &Name,
    owner: &AuthValue,
) -> Result<()> {
    evict(op, handle, name, handle, owner)
}

/// `TPM2_EvictControl` does both, depending on what kind of handle `object` is.
fn evict(
    op: &Operation<'_>,
    object: u32,
    name: &Name,
    persistent: u32,
    owner: &AuthValue,
) -> Result<()> {
    let hierarchy = Hierarchy::Owner;
    let command = Command::new(Code::EvictControl)
        .about(hierarchy.words())
        .permanent(hierarchy.handle())
        .handle(object, name)
        .param_u32(persistent);
    let session = proof(op, owner)?;
    op.run(authorized(command, session.as_ref(), owner))
        .map(drop)
}

/// The session that proves the authorization value of a hierarchy, unless that is empty.
///
/// It is salted to whatever storage root key is there, so that who records the bus cannot try
/// guesses; before there is one, there is nothing to salt to.
pub(crate) fn proof<'op>(
    op: &'op Operation<'op>,
    auth: &AuthValue,
) -> Result<Option<Session<'op>>> {
    if auth.is_empty() {
        return Ok(None);
    }
    match Srk::find(op) {
        Ok(Some(srk)) => match Session::hmac(op, &srk.open(op)?) {
            // The chip opens no session with it.
            Err(Error::Command { .. }) => {}
            session => return session.map(Some),
        },
        Ok(None) | Err(Error::HandleOccupied(_)) => {}
        Err(err) => return Err(err),
    }
    match Srk::find_own(op)? {
        Some(srk) => Session::hmac(op, &srk.open(op)?).map(Some),
        None => Session::unsalted(op).map(Some),
    }
}

fn authorized<'a>(
    command: Command<'a>,
    session: Option<&'a Session<'a>>,
    auth: &'a AuthValue,
) -> Command<'a> {
    match session {
        Some(session) => command.session(session.authorizes(auth).last()),
        None => command.empty_auth(),
    }
}
