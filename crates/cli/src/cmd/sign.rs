//! `tpmssh sign`: sign a file.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;
use ssh_format::{SigHash, SshSig};

use crate::app::App;
use crate::fail::error::Error;
use crate::files::input_file;
use crate::keys::signing as signing_keys;
use crate::options::UserPinArgs;
use crate::show::path;

/// Sign a file as ssh-keygen -Y sign does
///
/// The signature is printed; tpmssh verify and ssh-keygen -Y verify check it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file to sign, or - for standard input
    #[arg(default_value = "-")]
    file: PathBuf,

    /// What the signature is for; a verifier refuses another namespace than its own
    #[arg(long, short, default_value = "file")]
    namespace: String,

    /// The key to sign with, by label, id or fingerprint (the only key)
    #[arg(long, short, value_name = "KEY")]
    key: Option<String>,

    #[command(flatten)]
    pin: UserPinArgs,
}

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    let hash = SigHash::Sha512;
    let store = app.store()?;
    let key = signing_keys::find(signing_keys::all(app, &store)?, args.key.as_deref())?;
    let digest = input_file::open(&args.file)
        .and_then(|file| hash.of(file))
        .map_err(|source| Error::Unreadable {
            from: path::name(&args.file),
            source,
        })?;
    let data = SshSig::to_sign(&args.namespace, hash, &digest)?;
    let signature = key.sign(app, &store, &args.pin, &data)?;
    let signature = SshSig::new(key.public, &args.namespace, hash, &signature)?;
    app.out.print(&Report {
        signature: signature.armored(),
    })
}

#[derive(Debug, Serialize)]
struct Report {
    signature: String,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.signature)
    }
}
