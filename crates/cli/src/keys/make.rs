//! Making a key.

use std::fs;

use anyhow::{Context, Result};
use ssh_format::text::shown;
use token_store::object::MAX_LABEL_LEN;
use token_store::{KeySpec, OpenToken, Pin, Store, Token};

use crate::app::App;
use crate::fail::error::Error;
use crate::keys::{self, Key, public_files};
use crate::machine::user;
use crate::show::progress;

/// Opens the token and makes the key, and shows progress meanwhile.
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
    public_files::update(store);
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

/// Refuses a label for a new key that the token has already, or that cannot be one: empty, too
/// long, or with characters that would make two lines of it.
///
/// Only this program refuses a second key with the same label. PKCS#11 callers need not have unique
/// labels, and some, such as NSS, give several keys the same one.
///
/// # Errors
///
/// [`Error::LabelTaken`] and [`Error::BadLabel`], and whatever is wrong with the store.
pub(crate) fn check_label(store: &Store, token: &Token, label: &str) -> Result<()> {
    if label.trim().is_empty() {
        return Err(Error::BadLabel("it is empty").into());
    }
    if label.chars().any(breaks_lines) {
        return Err(Error::BadLabel("it has control characters").into());
    }
    if label.len() > MAX_LABEL_LEN {
        return Err(Error::BadLabel("it is longer than 128 bytes").into());
    }
    match labels(store, token)?.iter().any(|it| it == label) {
        true => Err(Error::LabelTaken {
            what: "key",
            label: shown(label),
        }
        .into()),
        false => Ok(()),
    }
}

fn breaks_lines(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

fn labels(store: &Store, token: &Token) -> Result<Vec<String>> {
    let keys = keys::of_token(store, token)?;
    Ok(keys.into_iter().map(|key| key.label).collect())
}

/// The label of a key that nobody named: `user@host key`, with a number if the token has that.
///
/// # Errors
///
/// Whatever is wrong with the store.
pub(crate) fn free_label(store: &Store, token: &Token) -> Result<String> {
    Ok(numbered(&default_label(), &labels(store, token)?))
}

/// `label`, or the first of `label 2`, `label 3`… that is not among `taken`.
fn numbered(label: &str, taken: &[String]) -> String {
    let is_free = |label: &String| !taken.contains(label);
    let mut others = (2u64..).map(|number| format!("{label} {number}"));
    let first = Some(label.to_owned()).filter(is_free);
    first.or_else(|| others.find(is_free)).unwrap_or_default()
}

/// `user@host key`.
fn default_label() -> String {
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
    fn a_key_that_nobody_named_gets_a_number_if_there_is_one() {
        let taken = |labels: &[&str]| labels.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(numbered("k", &[]), "k");
        assert_eq!(numbered("k", &taken(&["k 2"])), "k");
        assert_eq!(numbered("k", &taken(&["k", "k 3"])), "k 2");
        assert_eq!(numbered("k", &taken(&["k 2", "k"])), "k 3");
    }

    #[test]
    fn the_default_label_names_user_and_host() {
        let label = default_label();
        assert!(label.contains('@') && label.ends_with(" key"), "{label}");
        assert_eq!(label.lines().count(), 1);
    }
}
