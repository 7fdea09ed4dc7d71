//! The list of what an authority revoked.

use anyhow::{Context, Result};
use ssh_format::{AnyKey, Krl};
use token_store::{Revoked, Store};

use crate::keys::signing::SigningKey;
use crate::show::date;

/// The list of what `authority` revoked, made now.
///
/// # Errors
///
/// Whatever is wrong with the store.
pub(crate) fn list(store: &Store, authority: &SigningKey) -> Result<Krl> {
    let revocations = store.revocations(authority.object)?;
    let mut krl = Krl::new(revocations.number, date::now(), &authority.label);
    for revoked in revocations.revoked {
        match revoked {
            Revoked::Serial(serial) => krl.revoke_serial(&authority.public, serial)?,
            Revoked::KeyId(id) => krl.revoke_key_id(&authority.public, &id),
            Revoked::Key(blob) => {
                let key = AnyKey::from_blob(&blob).context("the record of a revoked key")?;
                krl.revoke_key(&key);
            }
        }
    }
    Ok(krl)
}
