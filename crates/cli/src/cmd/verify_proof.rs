//! `tpmssh verify-proof`: check a proof, and sign a statement about it.

use std::path::{Path, PathBuf};

use key_proof::{STATEMENT_NAMESPACE, Statement, Verified};
use ssh_format::{SigHash, SshSig};

use crate::app::App;
use crate::files::output_file;
use crate::keys::signing;
use crate::options::UserPinArgs;
use crate::proofs::{self, report::Report, trust::TrustArgs};
use crate::show::output::tell;
use crate::show::{date, duration};

/// Check a proof that a key was made in a TPM and cannot leave
///
/// It has to answer a challenge that was made here. Needs no TPM. With --sign-with it writes a signed statement, which others check with
/// ssh-keygen -Y verify -n statement@tpmssh.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The proof, or - for standard input
    proof: PathBuf,

    #[command(flatten)]
    trust: TrustArgs,

    /// Sign a statement with this key, by label, id or fingerprint
    #[arg(long, value_name = "KEY", requires = "output")]
    sign_with: Option<String>,

    /// Where to write the statement; its signature goes into FILE.sig
    #[arg(short, long, value_name = "FILE", requires = "sign_with")]
    output: Option<PathBuf>,

    /// How long the statement counts
    #[arg(long, value_name = "SPAN", default_value = "30d", value_parser = duration::parse)]
    expires_in: u32,

    #[command(flatten)]
    pin: UserPinArgs,
}

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    let verified = proofs::check(&args.proof, &args.trust, |_| {})?;
    if let (Some(key), Some(path)) = (&args.sign_with, &args.output) {
        state(app, args, &verified, key, path)?;
    }
    app.out.print(&Report::from(&verified))
}

/// Writes a statement and its signature.
fn state(
    app: &App,
    args: &Args,
    verified: &Verified,
    key: &str,
    path: &Path,
) -> anyhow::Result<()> {
    let store = app.store()?;
    let key = signing::find(signing::all(app, &store)?, Some(key))?;
    let expires = date::now().saturating_add(args.expires_in.into());
    let text = Statement::new(verified, expires).to_json();
    let hash = SigHash::Sha512;
    let data = SshSig::to_sign(STATEMENT_NAMESPACE, hash, &hash.of(text.as_bytes())?)?;
    let signature = key.sign(app, &store, &args.pin, &data)?;
    let signature = SshSig::new(key.public, STATEMENT_NAMESPACE, hash, &signature)?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(".sig");
    output_file::write(path, 0o644, text.as_bytes())?;
    output_file::write(Path::new(&beside), 0o644, signature.armored().as_bytes())?;
    tell(&format!(
        "tpmssh: the statement counts until {}",
        ssh_format::time::in_words(expires)
    ));
    Ok(())
}
