//! The chip's dictionary-attack lockout: one counter for all objects that it protects.

use crate::{
    LockoutAuth, Operation, Result, Srk, command::CommandCode, hierarchy::ownership::with_lockout,
};

/// The parameters of the lockout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameters {
    /// At how many wrong authorizations the chip locks.
    pub max_tries: u32,
    /// Seconds until the chip takes one wrong authorization off the count; 0 switches the lockout
    /// off.
    pub interval: u32,
    /// Seconds that the lockout hierarchy stays closed after a wrong lockout authorization; 0 means
    /// until the next reset.
    pub recovery: u32,
}

/// Sets the count of wrong authorizations to 0.
///
/// `srk` is the storage root key to which the session that proves `lockout` is salted; `None` if
/// the chip has none.
///
/// # Errors
///
/// [`Error::AuthRejected`](crate::Error::AuthRejected) if `lockout` is wrong. The chip then refuses
/// also the right value for its recovery time.
pub fn reset(op: &Operation<'_>, srk: Option<&Srk>, lockout: &LockoutAuth) -> Result<()> {
    let code = CommandCode::DictionaryAttackLockReset;
    with_lockout(op, srk, code, lockout, lockout, &[])
}

/// Sets the parameters of the lockout.
///
/// # Errors
///
/// As for [`reset`].
pub fn set_parameters(
    op: &Operation<'_>,
    srk: Option<&Srk>,
    lockout: &LockoutAuth,
    new: Parameters,
) -> Result<()> {
    let params = [new.max_tries, new.interval, new.recovery];
    with_lockout(
        op,
        srk,
        CommandCode::DictionaryAttackParameters,
        lockout,
        lockout,
        &params,
    )
}
