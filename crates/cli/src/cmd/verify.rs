//! `tpmssh verify`: check the signature of a file.

use std::fmt;
use std::path::PathBuf;

use anyhow::Context;
use serde::Serialize;
use ssh_format::{AllowedSigners, Signer, SshSig};

use crate::app::App;
use crate::fail::error::Error;
use crate::files::input_file;
use crate::show::date;
use crate::show::output::{Facts, escape, tell};
use crate::show::path;

/// The longest signature file and allowed signers file that are read, in bytes.
const MAX_SIGNATURE_LEN: usize = 1 << 20;
const MAX_SIGNERS_LEN: usize = 1 << 24;

/// Check a signature of tpmssh sign or ssh-keygen -Y sign
///
/// With --allowed-signers it says who signed, and fails for everybody else. Without, it says only
/// that the file is as it was signed, by the key in the signature. Needs neither a TPM nor a store.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The signed file, or - for standard input
    #[arg(default_value = "-")]
    file: PathBuf,

    /// The file with the signature
    #[arg(long, short, value_name = "FILE")]
    signature: PathBuf,

    /// The namespace that the signature must have
    #[arg(long, short, default_value = "file")]
    namespace: String,

    /// The file that says whose signatures count, as ssh-keygen takes it
    #[arg(long, short = 'f', value_name = "FILE")]
    allowed_signers: Option<PathBuf>,

    /// Accept a signature of WHO only (anybody in the file)
    #[arg(long, short = 'I', value_name = "WHO", requires = "allowed_signers")]
    identity: Option<String>,
}

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    let text = input_file::read_text(&args.signature, MAX_SIGNATURE_LEN)?;
    let signature = SshSig::from_armored(&text).with_context(|| path::name(&args.signature))?;
    let digest = input_file::open(&args.file)
        .and_then(|file| signature.hash().of(file))
        .map_err(|source| Error::Unreadable {
            from: path::name(&args.file),
            source,
        })?;
    signature.verify(&args.namespace, &digest)?;
    let signers = match &args.allowed_signers {
        None => Vec::new(),
        Some(file) => {
            let allowed = AllowedSigners::parse(input_file::read(file, MAX_SIGNERS_LEN)?);
            for line in allowed.skipped() {
                tell(&format!("tpmssh: {}: {line}", path::name(file)));
            }
            who(&allowed, args, &signature)?
        }
    };
    if args.allowed_signers.is_none() {
        tell(
            "tpmssh: the signature is intact, but the signer was not checked: see --allowed-signers",
        );
    }
    app.out.print(&Report {
        signers,
        key: signature.signer().key().fingerprint().to_string(),
        authority: match signature.signer() {
            Signer::Key(_) => None,
            Signer::Certificate(certificate) => {
                Some(certificate.authority().fingerprint().to_string())
            }
        },
        namespace: signature.namespace().to_owned(),
    })
}

/// The identities of the signer, by the file of allowed signers.
fn who(allowed: &AllowedSigners, args: &Args, signature: &SshSig) -> Result<Vec<String>, Error> {
    let (signer, now) = (signature.signer(), date::now());
    let found = match &args.identity {
        None => allowed.principals(Some(&args.namespace), signer, now),
        Some(who) if allowed.allow(who, &args.namespace, signer, now) => vec![who.clone()],
        Some(_) => Vec::new(),
    };
    if found.is_empty() {
        return Err(Error::SignerNotAllowed {
            fingerprint: signer.key().fingerprint().to_string(),
            identity: args.identity.as_deref().map(escape),
        });
    }
    Ok(found)
}

#[derive(Debug, Serialize)]
struct Report {
    /// Empty without `--allowed-signers`.
    signers: Vec<String>,
    key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    authority: Option<String>,
    namespace: String,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut facts = Facts::default();
        for signer in &self.signers {
            facts.add("signed by", signer);
        }
        facts.add("key", &self.key);
        if let Some(authority) = &self.authority {
            facts.add("authority", authority);
        }
        facts.add("namespace", &self.namespace);
        facts.fmt(f)
    }
}
