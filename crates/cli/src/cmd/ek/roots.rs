//! `tpmssh ek roots`: the certificates of TPM makers that count here.

use std::fmt;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use key_proof::{Anchor, Anchors};
use serde::Serialize;

use crate::app::App;
use crate::fail::error::{Error, ProofError};
use crate::files::{input_file, output_file};
use crate::proofs::trust;
use crate::show::output::tell;
use crate::show::pem;
use crate::show::table::Table;

/// Keep the certificates of TPM makers that count for proofs
///
/// None come with tpmssh: get them from the makers, and compare the fingerprints with what the makers publish.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Import(ImportArgs),
    List(ListArgs),
    Remove(RemoveArgs),
}

/// Keep makers' certificates, from files in PEM or DER
///
/// Shows each with its SHA-256, to be compared with what the maker publishes.
#[derive(Debug, clap::Args)]
pub(crate) struct ImportArgs {
    /// A file, or a directory of files
    path: PathBuf,
}

/// List the certificates that are kept
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {}

/// Stop trusting makers of TPMs, by their certificates
#[derive(Debug, clap::Args)]
pub(crate) struct RemoveArgs {
    /// The SHA-256 of one, or how it begins (8 digits or more)
    #[arg(required = true, value_name = "SHA-256", value_parser = fingerprint)]
    fingerprints: Vec<String>,
}

/// The fewest digits of a fingerprint that can name a certificate.
const MIN_DIGITS: usize = 8;

/// Lower case and without the colons of other programs.
fn fingerprint(text: &str) -> Result<String, String> {
    let digits = text.replace(':', "").to_ascii_lowercase();
    let is_one = (MIN_DIGITS..=64).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    match is_one {
        true => Ok(digits),
        false => Err(
            "it takes 8 to 64 hexadecimal digits, as tpmssh ek roots list shows them".to_owned(),
        ),
    }
}

pub(crate) fn run(app: &App, command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Import(args) => import(app, args),
        Command::List(_) => app
            .out
            .print(&Report::new(&trust::read(&trust::roots_dir()?)?)),
        Command::Remove(args) => remove(app, args),
    }
}

fn import(app: &App, args: &ImportArgs) -> anyhow::Result<()> {
    // All are read before one is kept.
    let mut anchors = Anchors::new();
    for path in trust::files(&args.path)? {
        let bytes = input_file::read(&path, trust::MAX_ROOTS_LEN)?;
        if let Err(err) = anchors.add_file(&bytes) {
            if path == args.path {
                return Err(err).with_context(|| format!("cannot use {}", path.display()));
            }
            tell(&format!("tpmssh: {} is passed over: {err}", path.display()));
        }
    }
    if anchors.is_empty() {
        return Err(ProofError::NoRoots {
            path: args.path.clone(),
        }
        .into());
    }
    let dir = trust::roots_dir()?;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&dir)
        .map_err(|source| Error::Unwritable {
            path: dir.clone(),
            source,
        })?;
    for anchor in anchors.iter() {
        let path = dir.join(format!(
            "{}.pem",
            base16ct::lower::encode_string(&anchor.fingerprint)
        ));
        output_file::write(&path, 0o644, pem::certificate(&anchor.der).as_bytes())?;
    }
    app.out.print(&Report::new(&anchors))
}

/// Removes certificates. All are found before one is removed.
fn remove(app: &App, args: &RemoveArgs) -> anyhow::Result<()> {
    let dir = trust::roots_dir()?;
    let kept = trust::read(&dir)?;
    let mut removed = Vec::new();
    for name in &args.fingerprints {
        let mut found = kept
            .iter()
            .filter(|it| base16ct::lower::encode_string(&it.fingerprint).starts_with(name));
        let one = found.next().ok_or_else(|| ProofError::NoSuchRoot {
            fingerprint: name.clone(),
        })?;
        if found.any(|other| other.fingerprint != one.fingerprint) {
            return Err(Error::Usage(format!(
                "several certificates begin with {name}: give more digits"
            ))
            .into());
        }
        if !removed.contains(&one) {
            removed.push(one);
        }
    }
    for path in trust::files(&dir)? {
        forget(&path, &removed)?;
    }
    app.out.print(&Report::of(removed))
}

/// Removes certificates from a file, and the file if none is left in it.
fn forget(path: &Path, removed: &[Anchor]) -> anyhow::Result<()> {
    let mut all = Anchors::new();
    all.add_file(&input_file::read(path, trust::MAX_ROOTS_LEN)?)?;
    let count = all.iter().count();
    let left: Vec<_> = all.iter().filter(|it| !removed.contains(it)).collect();
    if left.is_empty() {
        fs::remove_file(path).map_err(|source| Error::Unremovable {
            path: path.to_owned(),
            source,
        })?;
    } else if left.len() < count {
        let text: String = left.iter().map(|it| pem::certificate(&it.der)).collect();
        output_file::write(path, 0o644, text.as_bytes())?;
    }
    Ok(())
}

#[derive(Debug, Serialize)]
struct Report {
    certificates: Vec<Root>,
}

#[derive(Debug, Serialize)]
struct Root {
    subject: String,
    sha256: String,
}

impl Report {
    fn new(anchors: &Anchors) -> Self {
        Self::of(anchors.iter())
    }

    fn of(anchors: impl IntoIterator<Item = Anchor>) -> Self {
        let root = |it: Anchor| Root {
            subject: it.subject,
            sha256: base16ct::lower::encode_string(&it.fingerprint),
        };
        Self {
            certificates: anchors.into_iter().map(root).collect(),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(["SHA-256", "SUBJECT"]);
        for root in &self.certificates {
            table.row([&root.sha256, &root.subject]);
        }
        table.fmt(f)
    }
}
