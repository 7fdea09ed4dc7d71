//! `tpmssh rename`: another label for a key.

use ssh_format::text::shown;

use crate::app::App;
use crate::keys::{self, make, public_files};

/// Give a key another label
///
/// The label is also the comment of its public key. The key stays the same: servers that have the old line let it in as before.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The key, by label, id or fingerprint
    key: String,

    /// The new label
    label: String,
}

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    let mut store = app.store()?;
    let mut found = Vec::new();
    let tokens = app.some_tokens(&store)?;
    for token in &tokens {
        found.extend(keys::of_token(&store, token)?);
    }
    let key = keys::find(found, &args.key)?;
    let token = store.object(key.object)?.token;
    let token = tokens.iter().find(|it| it.id == token);
    if let Some(token) = token.filter(|_| args.label != key.label) {
        make::check_label(&store, token, &args.label)?;
    }
    store.rename_key(key.object, &args.label)?;
    public_files::update(&store);
    let (old, new) = (shown(&key.label), shown(&args.label));
    app.out
        .done(&format!("key \"{old}\" is called \"{new}\" now"))
}
