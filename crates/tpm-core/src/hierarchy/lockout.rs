//! The chip's dictionary-attack lockout: one counter for everything that it protects.

use crate::{
    LockoutAuth, Operation, Result, Srk, command::CommandCode, hierarchy::ownership::with_lockout,
};

/// The parameters of the lockout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parameters {
    /// How many failures there may be before the chip locks.
    pub max_tries: u32,
    /// Seconds after which one failure is forgiven; 0 switches the lockout off.
    pub interval: u32,
    /// Seconds for which a wrong lockout authorization closes the lockout hierarchy; 0 means
    /// until the next reset.
    pub recovery: u32,
}

/// Sets the count of failures back to 0.
///
/// `srk` is the storage root key to which the session that proves `lockout` is salted; `None` if
/// the chip has none.
///
/// # Errors
///
/// [`Error::AuthRejected`](crate::Error::AuthRejected) where `lockout` is wrong: the chip then
/// refuses the right one as well for its recovery time.
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
