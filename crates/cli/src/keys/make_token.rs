//! Making a token.

use ssh_format::text::shown;
use token_store::token::{self, InitOptions, Initialized};
use token_store::{Error as StoreError, Pin, SoPin, Store, WallKind};
use tpm_core::{OwnerAuth, Tpm, info};

use crate::app::App;
use crate::ask::confirm;
use crate::ask::hierarchy_auth;
use crate::ask::hierarchy_auth::read_owner_auth;
use crate::ask::pin_prompt::Source;
use crate::ask::token_pin::read_new_pin;
use crate::fail::error::Error;
use crate::options::SoPinOutArgs;
use crate::show::output::tell;

/// The label of a token that nobody named.
pub(crate) const DEFAULT_LABEL: &str = "ssh";

/// Makes a token, and prints the messages about it on stderr.
///
/// Its PIN wall is that of `options`, else the one that the configuration names, else a PIN
/// counter. If the chip can have no counter, the person at the terminal is asked whether to use the
/// lockout.
///
/// Returns the token and the PIN that was chosen for it.
///
/// # Errors
///
/// Whatever prevented it; no token exists then.
pub(crate) fn init(
    app: &App,
    options: &InitOptions,
    pin: &Source,
    so: &Source,
    owner: &Source,
    so_pin_out: &SoPinOutArgs,
) -> anyhow::Result<(Initialized, Option<Pin>)> {
    // Before a person is asked for anything.
    token::check_label(&options.label)?;
    let mut options = options.clone();
    options.wall = options.wall.or(app.config.pin_wall);
    let tpm = app.tpm()?;
    let mut store = app.store_or_new()?;
    check_free(&store, &options.label)?;

    let owner = match owner {
        Source::Ask => ask_owner(&tpm, options.wall)?,
        source => read_owner_auth(source)?,
    };
    let chosen = match so {
        Source::Ask => None,
        source => Some(read_chosen_so_pin(&options.label, source)?),
    };
    let pin = match options.wall {
        Some(WallKind::None) => None,
        _ => Some(read_new_pin(&options.label, pin)?),
    };
    let generated = match chosen {
        // The file is made before the token, whose SO PIN would be lost if that failed.
        None => Some((SoPin::generate(), so_pin_out.open()?)),
        Some(_) => None,
    };
    let so = chosen.as_ref().or(generated.as_ref().map(|(so, _)| so));
    let mut make =
        |options: &InitOptions| token::init(&mut store, &tpm, options, so, pin.as_ref(), &owner);
    let made = match make(&options) {
        Err(err @ StoreError::NoCounterWall(_)) => {
            let question =
                format!("{err}. Let the lockout of the whole TPM guard this token instead?");
            if !confirm::ask(&question).unwrap_or(false) {
                return Err(err.into());
            }
            options.wall = Some(WallKind::Lockout);
            make(&options)?
        }
        made => made?,
    };

    if let Some(why) = made.own_srk {
        tell(&format!(
            "tpmssh: the TPM's storage root key stays as it is, as others may use it, and does not \
             serve tpmssh: {why}; tpmssh has one of its own beside it"
        ));
    }
    if let Some(reason) = made.fallback {
        tell(&format!(
            "tpmssh: no PIN counter can be made: {reason}; so the lockout of the whole TPM guards this token"
        ));
    }
    if let Some((so, out)) = generated {
        let label = shown(&made.token.label);
        let unseen = format!("token \"{label}\" is made, with an SO PIN that nobody has seen");
        out.show(&so, unseen)?;
    }
    Ok((made, pin))
}

/// Asks for the owner password if the TPM has one and a PIN counter needs it. If nobody can be asked,
/// making the counter fails with the TPM's error.
fn ask_owner(tpm: &Tpm, wall: Option<WallKind>) -> anyhow::Result<OwnerAuth> {
    if matches!(wall, Some(WallKind::Lockout | WallKind::None)) {
        return Ok(OwnerAuth::empty());
    }
    let info = tpm
        .begin()
        .and_then(|op| info::read(&op))
        .map_err(StoreError::from)?;
    match hierarchy_auth::read_owner(&Source::Ask, &info) {
        Err(err) if matches!(err.downcast_ref(), Some(Error::NobodyToAsk { .. })) => {
            Ok(OwnerAuth::empty())
        }
        read => read,
    }
}

/// Refuses a label that another token has: commands find a token by it.
///
/// # Errors
///
/// [`Error::LabelTaken`], and whatever is wrong with the store.
pub(crate) fn check_free(store: &Store, label: &str) -> anyhow::Result<()> {
    match store.tokens()?.iter().any(|token| token.label == label) {
        true => Err(Error::LabelTaken {
            what: "token",
            label: shown(label),
        }
        .into()),
        false => Ok(()),
    }
}

fn read_chosen_so_pin(label: &str, source: &Source) -> anyhow::Result<SoPin> {
    let typed = source.read(&format!(
        "recovery code (SO PIN) for token \"{}\"",
        shown(label)
    ))?;
    Ok(SoPin::new(&typed).map_err(token_store::Error::from)?)
}
