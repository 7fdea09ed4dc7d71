//! `tpmssh delete`: end a key for ever.

use ssh_format::text::shown;
use token_store::Store;

use crate::app::App;
use crate::ask::confirm::confirm;
use crate::keys::{self, Key, public_files};
use crate::show::words::count;

/// Delete a key; nothing brings it back
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The label, id or fingerprint of the key
    key: String,

    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    let mut store = app.store()?;
    let mut found = Vec::new();
    for token in app.some_tokens(&store)? {
        found.extend(keys::of_token(&store, &token)?);
    }
    let key = keys::find(found, &args.key)?;
    let name = format!("{} key \"{}\"", key.key_type, shown(&key.label));
    let question = format!(
        "Delete {name} ({}) for ever?{}",
        key.fingerprint,
        consequences(&store, &key)?
    );
    confirm(&question, args.yes)?;
    store.delete_key(key.object)?;
    public_files::update(&store);
    app.out.done(&format!("{name} is deleted"))
}

/// What is lost with the key, for the question.
fn consequences(store: &Store, key: &Key) -> anyhow::Result<String> {
    if !key.authority {
        return Ok(String::new());
    }
    let signed = store.issued(key.object)?.len();
    Ok(format!(
        " It is a certificate authority: what it signed ({}) stays valid and cannot be revoked any more.",
        count(signed, "certificate")
    ))
}
