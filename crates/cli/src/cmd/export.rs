//! `tpmssh export`: public keys for `authorized_keys` and files of allowed signers.

use std::fmt;

use anyhow::Result;
use serde::Serialize;
use ssh_format::{AllowedSigners, AnyKey};

use crate::app::App;
use crate::fail::error::Error;
use crate::keys::{self, Key};

/// Print a public key as the line for authorized_keys
///
/// It needs neither the TPM nor a PIN. Keys of certificate authorities are not for logins: such a
/// key is printed only if it is named.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The key, by label, id or fingerprint (the only one)
    key: Option<String>,

    /// Print all keys for logins: not those of authorities, nor those that do not sign
    #[arg(long, conflicts_with = "key")]
    all: bool,

    /// Print a line for an allowed signers file: WHO, such as a mail address, signs with this key
    #[arg(long, value_name = "WHO")]
    allowed_signer: Option<String>,

    /// The namespaces that WHO may sign for, such as file or git (any)
    #[arg(long, requires = "allowed_signer")]
    namespace: Option<String>,
}

pub(crate) fn run(app: &App, args: &Args) -> Result<()> {
    let store = app.store()?;
    let mut keys = Vec::new();
    for token in app.some_tokens(&store)? {
        keys.extend(keys::of_token(&store, &token)?);
    }
    let mut keys = match &args.key {
        Some(name) => vec![keys::find(keys, name)?],
        None => for_logins(keys, args.all)?,
    };
    if let Some(who) = &args.allowed_signer {
        for key in &mut keys {
            let (public, _) = AnyKey::from_line(&key.public_key)?;
            key.public_key =
                AllowedSigners::line(who, args.namespace.as_deref(), &public, &key.label)?;
        }
    }
    app.out.print(&Report(keys))
}

/// The keys that are not those of authorities: the only one, or all.
fn for_logins(mut keys: Vec<Key>, all: bool) -> Result<Vec<Key>> {
    if keys.is_empty() {
        return Err(Error::NoKey.into());
    }
    keys.retain(|key| !key.authority && (!key.private || key.signs()));
    match keys.len() {
        0 => Err(Error::NoLoginKey.into()),
        1 => Ok(keys),
        _ if all => Ok(keys),
        _ => Err(Error::WhichKey {
            labels: keys.into_iter().map(|key| key.label).collect(),
            hint: "say which one: tpmssh export LABEL; or all of them: tpmssh export --all",
        }
        .into()),
    }
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
