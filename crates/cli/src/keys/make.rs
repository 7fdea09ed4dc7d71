//! Making a key.

use std::fs;

use anyhow::{Context, Result};
use token_store::{KeySpec, OpenToken, Pin, Store, Token};

use crate::app::App;
use crate::keys::Key;
use crate::machine::user;
use crate::show::progress;

/// Opens the token and makes the key, showing that it works while it does.
///
/// # Errors
///
/// Whatever prevented it; there is no key then.
pub(crate) fn key(
    app: &App,
    store: &mut Store,
    token: &Token,
    spec: &KeySpec,
    pin: Option<&Pin>,
) -> Result<Key> {
    let tpm = app.tpm()?;
    let open = OpenToken::open(store, &tpm, token, pin)?;
    let what = format!("the TPM makes an {} key", spec.key_type);
    let pair = if spec.key_type.is_rsa() {
        open.check_spec(store, spec)
            .and_then(|()| progress::while_running(&tpm, &what, || open.make(spec)))
            .and_then(|blob| open.keep(store, spec, &blob))
    } else {
        open.generate(store, spec)
    };
    let pair = pair.with_context(|| format!("cannot make an {} key", spec.key_type))?;
    Key::of(token, &pair.private)?.context("the new key has no public key")
}

/// Refuses a kind of key that the token's chip does not make, as far as that is known already.
///
/// # Errors
///
/// The same as [`key`] has, without a question to the chip.
pub(crate) fn check_offered(token: &Token, spec: &KeySpec) -> Result<()> {
    match &token.chip {
        Some(chip) if !chip.has_key_type(spec.key_type) => {
            let lacks = tpm_core::Error::NotSupported(spec.key_type.name());
            Err(token_store::Error::from(lacks))
                .with_context(|| format!("cannot make an {} key", spec.key_type))
        }
        _ => Ok(()),
    }
}

/// `user@host key`.
pub(crate) fn default_label() -> String {
    format!("{}@{} key", user::name(), host_name())
}

/// The name of this machine.
pub(crate) fn host_name() -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match host.trim() {
        "" => "localhost".to_owned(),
        host => host.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_label_names_user_and_host() {
        let label = default_label();
        assert!(label.contains('@') && label.ends_with(" key"), "{label}");
        assert_eq!(label.lines().count(), 1);
    }
}
