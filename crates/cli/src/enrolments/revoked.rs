//! The list of revoked keys, for sshd.

use std::path::Path;

use enroll::{Authorities, MAX_KRL_LEN, Server, krl};
use ssh_format::Krl;

use crate::files::output_file;
use crate::files::units::make_parent;
use crate::show::date;

/// Gets the newest list, checks it, and puts it in the place of the one at `path`. Returns its number, and whether it is new there.
///
/// # Errors
///
/// Those of the authority, of its list and of the file. The list that is there stays.
pub(crate) fn pull(
    server: &Server,
    trusted: &Authorities,
    path: &Path,
) -> anyhow::Result<(u64, bool)> {
    let max = usize::try_from(MAX_KRL_LEN).unwrap_or(usize::MAX);
    let here = output_file::existing(path, max)?;
    // A file that cannot be read has sshd refuse every key: it is replaced.
    let here = here.and_then(|bytes| Krl::from_bytes(&bytes).ok());
    let now = date::now();
    let known = here.as_ref().map(Krl::number);
    let fresh = |krl: &Krl| now.saturating_sub(krl.generated()) <= krl::MAX_AGE;
    // An authority that says for ever that nothing is new hides what it revoked: an old list is asked for whole.
    let asked = here.as_ref().filter(|it| fresh(it)).map(Krl::number);
    match server.krl(asked)? {
        None => Ok((asked.unwrap_or_default(), false)),
        Some(signed) => {
            let list = krl::check(&signed, trusted, known, now)?;
            make_parent(path, 0o755)?;
            output_file::write(path, 0o644, &signed.bytes)?;
            Ok((list.number(), true))
        }
    }
}
