//! `tpmssh token rename`: another label.

use ssh_format::text::shown;
use token_store::token;

use crate::app::App;
use crate::keys::make_token;
use crate::options::TokenArg;

/// Give a token another label
#[derive(Debug, clap::Args)]
#[command(allow_missing_positional = true)]
pub(crate) struct Args {
    #[command(flatten)]
    token: TokenArg,

    /// The new label, at most 32 bytes
    label: String,
}

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    token::check_label(&args.label)?;
    let mut store = app.store()?;
    let token = app.named_token(&store, &args.token)?;
    if args.label != token.label {
        make_token::check_free(&store, &args.label)?;
    }
    token::rename(&mut store, &token, &args.label)?;
    let (old, new) = (shown(&token.label), shown(&args.label));
    app.out
        .done(&format!("token \"{old}\" is called \"{new}\" now"))
}
