//! The PIN and the recovery code (SO PIN) of a token, asked for with its rules and the tries left.

use ssh_format::text::shown;
use token_store::token::refresh_tries;
use token_store::{
    Error as StoreError, MIN_PIN_LEN, MIN_SO_PIN_CHARS, Pin, PinError, SoPin, Store, Token, Tries,
    WallKind,
};
use tpm_core::info;

use crate::app::App;
use crate::ask::confirm;
use crate::ask::pin_prompt::Source;
use crate::fail::error::Error;
use crate::options::UserPinArgs;

/// Gets the user PIN of `token`; nothing if the token has none.
///
/// The TPM is asked first how many tries are left. A locked token asks nobody, and the last try is
/// spent only if a person agrees.
///
/// # Errors
///
/// If it cannot be got, or cannot be a PIN; no try is spent.
pub(crate) fn read_pin(
    app: &App,
    store: &Store,
    token: &Token,
    from: &UserPinArgs,
) -> anyhow::Result<Option<Pin>> {
    let tries = refuse_locked(app, store, token)?;
    read_pin_with(tries, token, from)
}

/// Gets the user PIN of `token` as [`read_pin`] does. Asks the TPM for the tries left only if the store does not say that all are
/// left, which saves 5 commands.
///
/// The store records the tries of all programs that use it, but not those with a copy of the store.
///
/// # Errors
///
/// As for [`read_pin`].
pub(crate) fn read_pin_quickly(
    app: &App,
    store: &Store,
    token: &Token,
    from: &UserPinArgs,
) -> anyhow::Result<Option<Pin>> {
    match token.tries {
        Some(known)
            if token.wall == WallKind::Counter
                && token.pin_is_set
                && known.left == known.max
                && known.left > 1 =>
        {
            read_pin_with(Some(known), token, from)
        }
        _ => read_pin(app, store, token, from),
    }
}

/// Gets the PIN of a token of which `tries` are left.
fn read_pin_with(
    tries: Option<Tries>,
    token: &Token,
    from: &UserPinArgs,
) -> anyhow::Result<Option<Pin>> {
    if token.wall == WallKind::None {
        return Ok(None);
    }
    let mut what = format!("PIN for token \"{}\"", shown(&token.label));
    if let Some(tries) = tries {
        check_last_try(tries, from)?;
        if tries.left < tries.max {
            what += &format!(" ({} of {} tries left)", tries.left, tries.max);
        }
    }
    let accept = |typed: &[u8]| Pin::new(typed).map_err(unusable);
    Ok(Some(from.source().read_as(&what, accept)?))
}

/// Refuses a token that no PIN opens now, and returns the tries that are left for its PIN if the TPM
/// counts them.
///
/// For commands that ask other questions before [`read_pin`], which calls it as well.
///
/// # Errors
///
/// [`StoreError::PinNotSet`], [`StoreError::PinLocked`], [`StoreError::ChipLocked`], and those of the
/// TPM and of the store.
pub(crate) fn refuse_locked(
    app: &App,
    store: &Store,
    token: &Token,
) -> anyhow::Result<Option<Tries>> {
    if token.wall == WallKind::None {
        return Ok(None);
    }
    if !token.pin_is_set {
        return Err(StoreError::PinNotSet.into());
    }
    let tries = refresh_tries(store, &*app.tpm()?, token)?;
    match (tries, token.wall) {
        (Some(Tries { left: 0, .. }), WallKind::Lockout) => {
            let tpm = app.tpm()?;
            let info = tpm.begin().and_then(|op| info::read(&op)).ok();
            let recovery = info.map(|info| info.lockout.interval);
            Err(StoreError::ChipLocked { recovery }.into())
        }
        (Some(Tries { left: 0, .. }), _) => Err(StoreError::PinLocked.into()),
        (tries, _) => Ok(tries),
    }
}

/// Refuses the last try unless somebody agrees.
fn check_last_try(tries: Tries, from: &UserPinArgs) -> anyhow::Result<()> {
    if tries.left > 1 || from.answers_yes() {
        return Ok(());
    }
    let question = "Only 1 try is left. A wrong PIN now locks the token. Try anyway?";
    match confirm::ask(question) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Error::NotConfirmed.into()),
        Err(Error::NeedsYes) => Err(Error::LastTry.into()),
        Err(err) => Err(err.into()),
    }
}

fn unusable(err: PinError) -> anyhow::Error {
    StoreError::from(err).into()
}

/// Gets a user PIN that is being chosen.
///
/// # Errors
///
/// If it cannot be got, or cannot be a PIN.
pub(crate) fn read_new_pin(label: &str, source: &Source) -> anyhow::Result<Pin> {
    let what = format!("new PIN for token \"{}\"", shown(label));
    let rule = format!("A PIN has at least {MIN_PIN_LEN} bytes; a letter or a digit is one.");
    source.read_new_as(&what, &rule, |typed| Pin::new(typed).map_err(unusable))
}

/// Gets the SO PIN of `token`.
///
/// # Errors
///
/// If it cannot be got, or cannot be an SO PIN; no try is spent.
pub(crate) fn read_so_pin(token: &Token, source: &Source) -> anyhow::Result<SoPin> {
    let what = format!(
        "recovery code (SO PIN) for token \"{}\"",
        shown(&token.label)
    );
    source.read_as(&what, |typed| SoPin::new(typed).map_err(unusable))
}

/// Gets an SO PIN that is being chosen.
///
/// # Errors
///
/// If it cannot be got, or cannot be an SO PIN.
pub(crate) fn read_new_so_pin(label: &str, source: &Source) -> anyhow::Result<SoPin> {
    let what = format!("new recovery code (SO PIN) for token \"{}\"", shown(label));
    let rule = format!("A recovery code (SO PIN) has at least {MIN_SO_PIN_CHARS} characters.");
    source.read_new_as(&what, &rule, |typed| SoPin::new(typed).map_err(unusable))
}
