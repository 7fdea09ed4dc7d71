//! Keys that sign certificates.

use anyhow::Result;
use ssh_format::text::shown;
use token_store::Store;

use crate::app::App;
use crate::fail::error::AuthorityError;
use crate::keys::signing::{self, SigningKey};
use crate::show::output::tell;

/// The authority called `name`, else the only one.
///
/// # Errors
///
/// If there is none, or several and none is named, or the key of that name is no authority.
pub(crate) fn find(app: &App, store: &Store, name: Option<&str>) -> Result<SigningKey> {
    let keys = signing::all(app, store)?;
    let mut authorities = Vec::new();
    for token in app.some_tokens(store)? {
        authorities.extend(store.authorities(token.id)?);
    }
    if name.is_some() {
        let key = signing::find(keys, name)?;
        if !authorities.contains(&key.object) {
            let label = shown(&key.label);
            return Err(AuthorityError::NotAnAuthority { label }.into());
        }
        return Ok(key);
    }
    let mut found = keys
        .into_iter()
        .filter(|key| authorities.contains(&key.object));
    match (found.next(), found.next()) {
        (None, _) => Err(AuthorityError::NoAuthority.into()),
        (Some(one), None) => Ok(one),
        (Some(first), Some(second)) => {
            let all = [first, second].into_iter().chain(found);
            let labels = all.map(|key| key.label).collect();
            Err(AuthorityError::WhichAuthority { labels }.into())
        }
    }
}

/// Says on stderr that the key of `authority` was made outside of the TPM.
pub(crate) fn tell_if_imported(authority: &SigningKey) {
    if authority.shown.is_imported() {
        tell(&format!(
            "tpmssh: the key of the authority \"{}\" is imported: anyone with a copy of it can sign as well",
            shown(&authority.label)
        ));
    }
}
