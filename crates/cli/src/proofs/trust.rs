//! What a verifier accepts: the options of `verify-proof` and `ca sign-*` for TPMs, walls and times, and the certificates of makers.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::ValueEnum;
use key_proof::{Anchors, Name, Policy, Wall};
use token_store::config_dir;

use crate::fail::error::{Error, ProofError};
use crate::files::input_file;
use crate::show::duration;

/// The longest file of certificates, in bytes.
pub(crate) const MAX_ROOTS_LEN: usize = 1 << 20;

/// What a verifier asks of a proof.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "What the proof has to show")]
pub(crate) struct TrustArgs {
    /// Accept TPMs with a certificate by a maker in DIR, or in a file (those of tpmssh ek roots)
    #[arg(long, value_name = "DIR", requires = "proof")]
    ek_roots: Option<PathBuf>,

    /// Accept only this TPM, by the Name of its endorsement key; may be given several times
    #[arg(long = "ek", value_name = "NAME", value_parser = ek_name, requires = "proof")]
    eks: Vec<Name>,

    /// Accept any TPM, also a simulated one
    #[arg(long, conflicts_with_all = ["ek_roots", "eks"], requires = "proof")]
    any_tpm: bool,

    /// Accept makers' certificates that have expired
    #[arg(long, requires = "proof")]
    ignore_ek_expiry: bool,

    /// The weakest PIN wall of the key that is accepted
    #[arg(long, value_enum, default_value_t = LeastWall::None, value_name = "WALL", requires = "proof")]
    require_wall: LeastWall,

    /// Refuse a proof whose challenge is older, such as 10m (the validity of the challenge)
    #[arg(long, value_name = "SPAN", value_parser = duration::parse, requires = "proof")]
    max_age: Option<u32>,

    /// The audience that the request was made with, if there is one
    #[arg(
        long,
        value_name = "WORD",
        default_value = "",
        hide_default_value = true,
        requires = "proof"
    )]
    audience: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LeastWall {
    /// Any.
    None,
    /// A PIN.
    Lockout,
    /// A PIN that the chip counts for this token alone.
    Counter,
}

fn ek_name(text: &str) -> Result<Name, String> {
    Name::from_hex(text).map_err(|_| {
        "it takes the Name that tpmssh ek show prints, such as 000b followed by 64 digits"
            .to_owned()
    })
}

impl TrustArgs {
    /// The policy that the options stand for, at the time `now`.
    ///
    /// # Errors
    ///
    /// If the certificates cannot be read.
    pub(crate) fn policy(&self, now: u64) -> anyhow::Result<Policy> {
        let mut policy = Policy::new(now);
        policy.audience.clone_from(&self.audience);
        policy.any_tpm = self.any_tpm;
        policy.ignore_expiry = self.ignore_ek_expiry;
        policy.least_wall = match self.require_wall {
            LeastWall::None => Wall::None,
            LeastWall::Lockout => Wall::Lockout,
            LeastWall::Counter => Wall::Counter,
        };
        policy.max_age = self.max_age.map(u64::from);
        policy.inventory = (!self.eks.is_empty()).then(|| self.eks.clone());
        policy.anchors = match &self.ek_roots {
            Some(path) => {
                let anchors = read(path)?;
                if anchors.is_empty() {
                    return Err(ProofError::NoRoots { path: path.clone() }.into());
                }
                Some(anchors)
            }
            // A TPM that is named by --ek needs no maker's certificate.
            None if self.any_tpm || !self.eks.is_empty() => None,
            None => Some(read(&roots_dir()?)?).filter(|anchors| !anchors.is_empty()),
        };
        Ok(policy)
    }
}

/// Where `tpmssh ek roots import` keeps certificates.
///
/// # Errors
///
/// If no configuration directory is known.
pub(crate) fn roots_dir() -> anyhow::Result<PathBuf> {
    Ok(config_dir()?.join("tpmssh/ek-roots"))
}

/// The certificates in a file, or in all files of a directory. None for a directory that does not exist.
///
/// # Errors
///
/// If one cannot be read, which is named.
pub(crate) fn read(path: &Path) -> anyhow::Result<Anchors> {
    let mut anchors = Anchors::new();
    for path in files(path)? {
        let bytes = input_file::read(&path, MAX_ROOTS_LEN)?;
        let added = anchors.add_file(&bytes);
        added.with_context(|| format!("cannot use {}", path.display()))?;
    }
    Ok(anchors)
}

/// `path`, or the files in it, by name.
pub(crate) fn files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let unreadable = |source| Error::Unreadable {
        from: path.display().to_string(),
        source,
    };
    match fs::metadata(path) {
        Err(err) if err.kind() == std::io::ErrorKind::NotFound && path == roots_dir()? => {
            return Ok(Vec::new());
        }
        Ok(meta) if !meta.is_dir() => return Ok(vec![path.to_owned()]),
        meta => meta.map_err(unreadable)?,
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let is_hidden = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !is_hidden && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
