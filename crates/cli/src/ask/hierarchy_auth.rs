//! The passwords of the TPM's three hierarchies: owner, endorsement and lockout.
//!
//! They are used as the bytes that were typed, at most 32, so that other programs which do
//! the same (tpm2-tools among them) agree on what the password is.

use anyhow::Context;
use token_store::Error as StoreError;
use tpm_core::info::Info;
use tpm_core::ownership::Hierarchy;
use tpm_core::{AuthValue, EndorsementAuth, Entity, Error as Tpm, LockoutAuth, OwnerAuth};

use crate::ask::pin_prompt::Source;
use crate::fail::error::{Error, HierarchyError};

/// Whether a hierarchy has a password.
pub(crate) fn is_set(info: &Info, hierarchy: Hierarchy) -> bool {
    match hierarchy {
        Hierarchy::Owner => info.auth_set.owner,
        Hierarchy::Endorsement => info.auth_set.endorsement,
        Hierarchy::Lockout => info.auth_set.lockout,
    }
}

/// Gets the present password of a hierarchy. Asks only if the hierarchy has a password.
///
/// # Errors
///
/// If it cannot be got or is longer than a TPM takes; [`HierarchyError::NoPassword`] if one is given
/// and the hierarchy has none, before a wrong try can be counted.
pub(crate) fn read(
    source: &Source,
    info: &Info,
    hierarchy: Hierarchy,
) -> anyhow::Result<AuthValue> {
    let name = hierarchy.name();
    match (is_set(info, hierarchy), source) {
        (false, Source::Ask) => Ok(AuthValue::empty()),
        (false, _) => Err(HierarchyError::NoPassword { hierarchy: name }.into()),
        (true, source) => {
            let name = hierarchy.name();
            let what = format!("{name} password of the TPM");
            auth_value(&source.read(&what)?, name)
        }
    }
}

/// Gets the present password of the owner hierarchy, as [`read`] does.
///
/// # Errors
///
/// As for [`read`].
pub(crate) fn read_owner(source: &Source, info: &Info) -> anyhow::Result<OwnerAuth> {
    read(source, info, Hierarchy::Owner).map(OwnerAuth::from)
}

/// Gets the present password of the endorsement hierarchy, as [`read`] does.
///
/// # Errors
///
/// As for [`read`].
pub(crate) fn read_endorsement(source: &Source, info: &Info) -> anyhow::Result<EndorsementAuth> {
    read(source, info, Hierarchy::Endorsement).map(EndorsementAuth::from)
}

/// Gets the present password of the lockout hierarchy, as [`read`] does.
///
/// # Errors
///
/// As for [`read`].
pub(crate) fn read_lockout(source: &Source, info: &Info) -> anyhow::Result<LockoutAuth> {
    read(source, info, Hierarchy::Lockout).map(LockoutAuth::from)
}

/// Gets a password that is being chosen.
///
/// # Errors
///
/// If it cannot be got, is longer than a TPM takes, or is empty.
pub(crate) fn read_new(source: &Source, hierarchy: Hierarchy) -> anyhow::Result<AuthValue> {
    let name = hierarchy.name();
    let what = format!("new {name} password of the TPM");
    let rule = "A password of the TPM has at most 32 bytes; nothing sets a lost one again.";
    source.read_new_as(&what, rule, |typed| {
        let auth = auth_value(typed, name)?;
        match auth.is_empty() {
            true => Err(Error::EmptyPassword.into()),
            false => Ok(auth),
        }
    })
}

fn auth_value(typed: &[u8], name: &str) -> anyhow::Result<AuthValue> {
    AuthValue::new(typed)
        .map_err(StoreError::from)
        .with_context(|| format!("unusable {name} password"))
}

/// `err`, as an error about a password if it is one.
///
/// After one wrong lockout password the TPM refuses also the right one for the recovery time. Its
/// counters do not show that.
pub(crate) fn explain(err: Tpm, info: &Info, hierarchy: Hierarchy) -> anyhow::Error {
    let recovery = info.lockout.recovery;
    match (err, hierarchy) {
        (
            Tpm::AuthRejected {
                entity: Entity::Lockout,
                ..
            },
            Hierarchy::Lockout,
        ) => HierarchyError::WrongLockoutPassword { recovery }.into(),
        (Tpm::Lockout, Hierarchy::Lockout) => HierarchyError::LockoutClosed { recovery }.into(),
        (Tpm::AuthRejected { entity, .. }, _) => {
            let rejected = Hierarchy::ALL
                .into_iter()
                .find(|hierarchy| Entity::from(*hierarchy) == entity);
            let hierarchy = rejected.unwrap_or(hierarchy).name();
            HierarchyError::WrongPassword { hierarchy }.into()
        }
        (err, _) => StoreError::from(err).into(),
    }
}

/// Gets the password of the owner hierarchy; empty unless a file or descriptor is named.
///
/// # Errors
///
/// If it cannot be read, or is longer than a TPM takes.
pub(crate) fn read_owner_auth(source: &Source) -> anyhow::Result<OwnerAuth> {
    match source {
        Source::Ask => Ok(OwnerAuth::empty()),
        source => {
            let password = source.read("owner password")?;
            OwnerAuth::new(&password)
                .map_err(StoreError::from)
                .context("unusable owner password")
        }
    }
}
