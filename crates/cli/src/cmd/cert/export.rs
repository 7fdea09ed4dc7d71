//! `tpmssh cert export`: certificates as lines of a file.

use std::fmt;

use serde::Serialize;

use crate::app::App;
use crate::certificates::{self, Kept};
use crate::fail::error::CertificateError;

/// Print certificates as lines for files
///
/// ssh with the PKCS#11 module finds a certificate through a file with one such line and this in
/// ssh_config: CertificateFile FILE. tpmssh agent needs no file.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The number or key id of one certificate (all of them)
    certificate: Option<String>,
}

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    let mut all = certificates::all(app)?;
    if let Some(name) = &args.certificate {
        all = vec![certificates::find(all, name)?];
    }
    if all.is_empty() {
        return Err(CertificateError::NoCertificate.into());
    }
    app.out.print(&Report(all))
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Report(Vec<Kept>);

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for kept in &self.0 {
            writeln!(f, "{}", kept.certificate)?;
        }
        Ok(())
    }
}
