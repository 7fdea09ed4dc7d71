//! `tpmssh export`: public keys for `authorized_keys` and files of allowed signers.

use std::fmt;

use serde::Serialize;
use ssh_format::{AllowedSigners, AnyKey};

use crate::app::App;
use crate::fail::error::Error;
use crate::keys::{self, Key};

/// Print public keys as lines for authorized_keys, without asking the TPM
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The label, id or fingerprint of one key (all keys)
    key: Option<String>,

    /// Print lines for a file of allowed signers instead, by which WHO (such as a mail address) signs
    #[arg(long, value_name = "WHO")]
    allowed_signer: Option<String>,

    /// What WHO may sign, such as file or git (anything)
    #[arg(long, requires = "allowed_signer")]
    namespace: Option<String>,
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
    if let Some(who) = &args.allowed_signer {
        for key in &mut keys {
            let (public, _) = AnyKey::from_line(&key.public_key)?;
            key.public_key =
                AllowedSigners::line(who, args.namespace.as_deref(), &public, &key.label)?;
        }
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
