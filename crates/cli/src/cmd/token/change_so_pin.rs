//! `tpmssh token change-so-pin`: the SO changes the recovery code.

use anyhow::Context;
use ssh_format::text::shown;
use token_store::{Error as StoreError, SoPin, SoToken};

use crate::app::App;
use crate::ask::pin_prompt::Source;
use crate::ask::token_pin::{read_new_so_pin, read_so_pin};
use crate::options::{NewSoPinArgs, SoPinArgs, SoPinOutArgs, TokenArg};

/// Change the recovery code (SO PIN) of a token
///
/// A new one is made up and shown once, unless one is given. Copies of the store from before still
/// accept the old one.
#[derive(Debug, clap::Args)]
#[command(mut_arg("so_pin_out", |arg| {
    arg.conflicts_with_all(["choose", "new_so_pin_file", "new_so_pin_fd"])
}))]
pub(crate) struct Args {
    #[command(flatten)]
    token: TokenArg,

    #[command(flatten)]
    so_pin: SoPinArgs,

    /// Choose the new SO PIN on the terminal instead of having one made up
    #[arg(long, conflicts_with_all = ["new_so_pin_file", "new_so_pin_fd"])]
    choose: bool,

    #[command(flatten)]
    new_so_pin: NewSoPinArgs,
    #[command(flatten)]
    so_pin_out: SoPinOutArgs,
}

impl Args {
    fn new_so_pin(&self, label: &str) -> anyhow::Result<Option<SoPin>> {
        let source = self.new_so_pin.source();
        if matches!(source, Source::Ask) && !self.choose {
            return Ok(None);
        }
        read_new_so_pin(label, &source).map(Some)
    }
}

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    let tpm = app.tpm()?;
    let mut store = app.store()?;
    let token = app.named_token(&store, &args.token)?;
    if !token.so_pin_is_set {
        return Err(StoreError::NoSo.into());
    }
    let old = read_so_pin(&token, &args.so_pin.source())?;
    // Checks the old SO PIN before a new one is asked for.
    let mut so_token =
        SoToken::open(&store, &tpm, &token, &old).context("the SO PIN was not changed")?;
    let chosen = args.new_so_pin(&token.label)?;
    let generated = match chosen {
        None => Some((SoPin::generate(), args.so_pin_out.open()?)),
        Some(_) => None,
    };
    if let Some(new) = chosen.as_ref().or(generated.as_ref().map(|(so, _)| so)) {
        so_token
            .change_so_pin(&mut store, new)
            .context("the SO PIN was not changed")?;
    }
    if let Some((so, out)) = generated {
        let label = shown(&token.label);
        let unseen =
            format!("the SO PIN of token \"{label}\" is changed to one that nobody has seen");
        out.show(&so, unseen)?;
    }
    app.out.done(&format!(
        "the SO PIN of token \"{}\" is changed",
        shown(&token.label)
    ))
}
