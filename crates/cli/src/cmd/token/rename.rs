//! `tpmssh token rename`: another label.

use ssh_format::text::shown;
use token_store::token;

use crate::app::App;
use crate::keys::make_token;
use crate::show::output::tell;

/// Give a token another label
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The new label, at most 32 bytes
    label: String,
}

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    token::check_label(&args.label)?;
    let mut store = app.store()?;
    let token = app.token(&store)?;
    if args.label != token.label {
        make_token::check_free(&store, &args.label)?;
    }
    token::rename(&mut store, &token, &args.label)?;
    let (old, new) = (shown(&token.label), shown(&args.label));
    tell(&format!("tpmssh: token \"{old}\" is called \"{new}\" now"));
    Ok(())
}
