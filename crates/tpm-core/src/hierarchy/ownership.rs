//! Owning the chip: the authorization values of its hierarchies, and clearing it.

pub use crate::structures::hierarchy::Hierarchy;
use crate::{
    AuthValue, LockoutAuth, OpenSrk, Operation, Result, Srk,
    command::{Command, CommandCode, session::Session},
    hierarchy::srk::open::session_for_hierarchy,
};

/// Changes the authorization value of a hierarchy; the new one crosses the bus encrypted.
///
/// # Errors
///
/// [`Error::AuthRejected`](crate::Error::AuthRejected) if `old` is wrong. One wrong value closes
/// the lockout hierarchy for its recovery time ([`Error::Lockout`](crate::Error::Lockout)).
pub fn change_auth(
    root: &OpenSrk<'_>,
    hierarchy: Hierarchy,
    old: &AuthValue,
    new: &AuthValue,
) -> Result<()> {
    let session = root.within(|| Session::proven(root.op(), root))?;
    let command = Command::new(CommandCode::HierarchyChangeAuth)
        .about(hierarchy)
        .permanent(hierarchy.handle())
        .session(session.authorizes(old).hide_command().becomes(new).last())
        .param_sized(new.bytes());
    root.op().run(command).map(drop)
}

/// Clears the chip: all keys below the owner and endorsement hierarchies are lost for ever, all NV
/// indexes of the owner are deleted, and the three authorization values are empty again.
///
/// `srk` is the storage root key to which the session that proves `lockout` is salted; `None` if
/// the chip has none.
///
/// # Errors
///
/// [`Error::AuthRejected`](crate::Error::AuthRejected) if `lockout` is wrong;
/// [`Error::Disabled`](crate::Error::Disabled) if the platform does not allow it.
pub fn clear(op: &Operation<'_>, srk: Option<&Srk>, lockout: &LockoutAuth) -> Result<()> {
    let empty = LockoutAuth::empty();
    with_lockout(op, srk, CommandCode::Clear, lockout, &empty, &[])
}

/// Runs a command that the lockout hierarchy authorizes. `after` is the hierarchy's authorization
/// value after the command.
pub(crate) fn with_lockout(
    op: &Operation<'_>,
    srk: Option<&Srk>,
    code: CommandCode,
    lockout: &LockoutAuth,
    after: &LockoutAuth,
    params: &[u32],
) -> Result<()> {
    let hierarchy = Hierarchy::Lockout;
    let session = session_for_hierarchy(op, srk)?;
    let command = Command::new(code)
        .about(hierarchy)
        .permanent(hierarchy.handle())
        .session(
            session
                .authorizes(lockout.value())
                .becomes(after.value())
                .last(),
        );
    let command = params
        .iter()
        .fold(command, |command, &param| command.param_u32(param));
    op.run(command).map(drop)
}
