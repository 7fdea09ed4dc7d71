//! `tpmssh token delete`: end a token and its keys for ever.

use token_store::{Class, token};
use tpm_core::info;

use crate::app::App;
use crate::ask::confirm::confirm;
use crate::ask::hierarchy_auth;
use crate::fail::failure::prevented;
use crate::keys::public_files;
use crate::options::{OwnerAuthArgs, TokenArg};
use crate::show::output::escape;

/// Delete a token with its keys
///
/// Nothing brings the keys back. The PIN counter is removed from the TPM, which takes the owner
/// password if there is one. An older copy of the store may still open: SECURITY.md says which.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    token: TokenArg,

    /// Do not ask
    #[arg(long, short)]
    yes: bool,

    /// Only remove it from the store: for a token whose TPM is gone or was cleared
    #[arg(long)]
    forget: bool,

    #[command(flatten)]
    owner: OwnerAuthArgs,
}

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    let mut store = app.store()?;
    let token = app.named_token(&store, &args.token)?;
    let label = escape(&token.label);
    let objects = store.objects(token.id)?;
    let keys = objects
        .iter()
        .filter(|object| object.class() == Class::PrivateKey)
        .count();
    let keys = match keys {
        1 => "its key".into(),
        keys => format!("its {keys} keys"),
    };
    confirm(
        &format!("Delete token \"{label}\" and {keys} for ever?"),
        args.yes,
    )?;
    if args.forget {
        token::forget(&mut store, &token)?;
    } else {
        let tpm = app.tpm()?;
        let info = tpm
            .begin()
            .and_then(|op| info::read(&op))
            .map_err(token_store::Error::from)?;
        let owner = hierarchy_auth::read_owner(&args.owner.source(), &info)?;
        prevented(
            token::delete(&mut store, &tpm, &token, &owner),
            "the token was not deleted",
        )?;
    }
    public_files::update(&store);
    app.out.done(&format!("token \"{label}\" is deleted"))
}
