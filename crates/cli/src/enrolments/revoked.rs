//! The list of revoked keys, for sshd.

use std::path::Path;

use anyhow::Context;
use enroll::{Authorities, MAX_KRL_LEN, Server, SignedKrl, krl};
use ssh_format::Krl;

use crate::files::output_file;
use crate::files::units::make_parent;
use crate::show::date;

/// Gets the newest list, checks it, and replaces the list at `path`. Returns its number, and whether the file was replaced.
///
/// # Errors
///
/// Errors of the authority, of its list and of the file. The old list stays.
pub(crate) fn pull(
    server: &Server,
    trusted: &Authorities,
    path: &Path,
) -> anyhow::Result<(u64, bool)> {
    let max = usize::try_from(MAX_KRL_LEN).unwrap_or(usize::MAX);
    let here = output_file::existing(path, max)?;
    // With a damaged file, sshd refuses every key, so it is replaced.
    let here = here.and_then(|bytes| Krl::from_bytes(&bytes).ok());
    let now = date::now();
    let is_fresh = |krl: &&Krl| now.saturating_sub(krl.generated()) <= krl::MAX_AGE;
    // Somebody who always answers "nothing new" could hide revocations. So if the list here is old, the whole list is asked for.
    let known = here.as_ref().filter(is_fresh).map(Krl::number);
    match (server.krl(known)?, known) {
        (None, Some(known)) => Ok((known, false)),
        (signed, _) => {
            let installed = here.as_ref().map(Krl::number);
            Ok((put(signed, trusted, installed, path)?, true))
        }
    }
}

/// As [`pull`], if the list at `path` may be that of another authority.
///
/// # Errors
///
/// As for [`pull`].
pub(crate) fn pull_anew(
    server: &Server,
    trusted: &Authorities,
    path: &Path,
) -> anyhow::Result<u64> {
    put(server.krl(None)?, trusted, None, path)
}

fn put(
    signed: Option<SignedKrl>,
    trusted: &Authorities,
    installed: Option<u64>,
    path: &Path,
) -> anyhow::Result<u64> {
    let signed = signed.context("there is no list of revoked keys")?;
    let list = krl::check(&signed, trusted, installed, date::now())?;
    make_parent(path, 0o755)?;
    output_file::write(path, 0o644, &signed.bytes)?;
    Ok(list.number())
}
