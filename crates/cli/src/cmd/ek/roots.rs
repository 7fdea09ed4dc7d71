//! `tpmssh ek roots`: the certificates of TPM makers that count here.

use std::fmt;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use key_proof::{Anchor, Anchors};
use serde::Serialize;

use crate::app::App;
use crate::fail::error::Error;
use crate::files::{input_file, output_file};
use crate::keys::hex;
use crate::proofs::trust;
use crate::show::output::tell;
use crate::show::pem;
use crate::show::table::Table;

/// Keep the certificates of TPM makers that count for proofs here
///
/// None come with tpmssh: get them from the makers, and compare the fingerprints with what the makers publish.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Import(ImportArgs),
    List(ListArgs),
}

/// Keep makers' certificates, from files in PEM or DER
#[derive(Debug, clap::Args)]
pub(crate) struct ImportArgs {
    /// A file, or a directory of files
    path: PathBuf,
}

/// List the certificates that are kept
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {}

pub(crate) fn run(app: &App, command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Import(args) => import(app, args),
        Command::List(_) => app
            .out
            .print(&Report::new(&trust::read(&trust::roots_dir()?)?)),
    }
}

fn import(app: &App, args: &ImportArgs) -> anyhow::Result<()> {
    // All are read before one is kept.
    let mut anchors = Anchors::new();
    for path in trust::files(&args.path)? {
        let bytes = input_file::read(&path, trust::MAX_ROOTS_LEN)?;
        if let Err(err) = anchors.add_file(&bytes) {
            if path == args.path {
                return Err(err.into());
            }
            tell(&format!("tpmssh: {} is passed over: {err}", path.display()));
        }
    }
    if anchors.is_empty() {
        return Err(Error::NoRoots {
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
        let path = dir.join(format!("{}.pem", hex(&anchor.fingerprint)));
        output_file::write(&path, 0o644, pem::certificate(&anchor.der).as_bytes())?;
    }
    app.out.print(&Report::new(&anchors))
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
        let root = |it: Anchor| Root {
            subject: it.subject,
            sha256: hex(&it.fingerprint),
        };
        Self {
            certificates: anchors.iter().map(root).collect(),
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
