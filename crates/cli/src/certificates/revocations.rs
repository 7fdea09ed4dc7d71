//! The revocations of an authority: its list, and the revoked certificates.

use anyhow::{Context, Result};
use ssh_format::{AnyKey, Certificate, Krl};
use token_store::{Revoked, Store};

use crate::keys::signing::SigningKey;
use crate::show::date;

/// The revocation list of `authority`, made now.
///
/// # Errors
///
/// Whatever is wrong with the store.
pub(crate) fn list(store: &Store, authority: &SigningKey) -> Result<Krl> {
    let revocations = store.revocations(authority.object)?;
    of(authority, revocations.number, revocations.revoked)
}

/// As [`list`], with the withdrawn revocations as well. A list within this one revokes nothing that
/// the store does not know of.
///
/// # Errors
///
/// Whatever is wrong with the store.
pub(crate) fn known(store: &Store, authority: &SigningKey) -> Result<Krl> {
    let revocations = store.revocations(authority.object)?;
    let withdrawn = revocations.withdrawn.into_iter().map(|it| it.revoked);
    let all = revocations.revoked.into_iter().chain(withdrawn);
    of(authority, revocations.number, all)
}

/// The certificates that a revocation is about, of those that the authority signed.
///
/// # Errors
///
/// Whatever is wrong with the store.
pub(crate) fn matched(
    store: &Store,
    authority: &SigningKey,
    revoked: &Revoked,
) -> Result<Vec<Certificate>> {
    let issued = store.issued(authority.object)?;
    let certificates = issued
        .iter()
        .filter_map(|it| Certificate::from_blob(&it.certificate).ok());
    Ok(certificates.filter(|it| is_about(revoked, it)).collect())
}

/// Whether a revocation is about `certificate`.
pub(crate) fn is_about(revoked: &Revoked, certificate: &Certificate) -> bool {
    match revoked {
        Revoked::Serial(serial) => certificate.serial() == *serial,
        Revoked::KeyId(id) => certificate.key_id() == id,
        Revoked::Key(blob) => certificate.key().blob() == blob,
    }
}

fn of(
    authority: &SigningKey,
    number: u64,
    revocations: impl IntoIterator<Item = Revoked>,
) -> Result<Krl> {
    let mut krl = Krl::new(number, date::now(), &authority.label);
    for revoked in revocations {
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
