//! `tpmssh export`: public keys for `authorized_keys`.

use std::fmt;

use serde::Serialize;

use crate::app::App;
use crate::error::Error;
use crate::keys::{self, Key};

/// Print public keys as lines for authorized_keys, without asking the TPM
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The label, id or fingerprint of one key (all keys)
    key: Option<String>,
}

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    let store = app.store()?;
    let mut keys = Vec::new();
    for token in app.some_tokens(&store)? {
        keys.extend(keys::of_token(&store, &token)?);
    }
    if let Some(name) = &args.key {
        keys = vec![keys::find(keys, name)?];
    }
    if keys.is_empty() {
        return Err(Error::NoKey.into());
    }
    app.out.print(&Report(keys))
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Report(Vec<Key>);

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for key in &self.0 {
            writeln!(f, "{}", key.public_key)?;
        }
        Ok(())
    }
}
