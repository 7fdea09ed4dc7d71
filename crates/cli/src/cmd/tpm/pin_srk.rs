//! `tpmssh tpm pin-srk`: root records the TPM of this machine.

use std::fmt;

use serde::Serialize;
use token_store::{Error as StoreError, SRK_RECORD, record_srk, recorded_srks};
use tpm_core::Srk;

use crate::app::App;
use crate::fail::error::Error;
use crate::show::output::Facts;

/// Record the storage root key of this machine's TPM, as root
///
/// It writes the Name of the key to /etc/tpmssh/srk. From then on every program of tpmssh on
/// this machine refuses a store whose tokens hang from another storage root key, whoever wrote
/// that store. Do it while you trust what is between the processor and the TPM: when the machine
/// is set up.
///
/// Example: sudo tpmssh tpm pin-srk
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Replace the record, after the TPM was replaced or cleared
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Err(Error::NotRoot.into());
    }
    let srk = app
        .tpm()?
        .begin()
        .and_then(|op| Srk::find(&op)?.ok_or(tpm_core::Error::NoSrk))
        .map_err(StoreError::from)?;
    let name = srk.name().to_string();
    let recorded = if args.force { None } else { recorded_srks()? };
    match recorded {
        Some(names) if !names.contains(&name) => return Err(StoreError::UnrecordedSrk.into()),
        Some(_) => {}
        None => record_srk(srk.name())?,
    }
    app.out.print_done(
        &Report {
            name,
            file: SRK_RECORD,
        },
        "the storage root key is recorded",
        "see it with: cat /etc/tpmssh/srk",
    )
}

#[derive(Debug, Serialize)]
struct Report {
    name: String,
    file: &'static str,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut facts = Facts::default();
        facts.add("storage root key", &self.name);
        facts.add("recorded in", self.file);
        facts.fmt(f)
    }
}
