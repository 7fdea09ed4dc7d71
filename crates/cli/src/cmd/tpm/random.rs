//! `tpmssh tpm random`: bytes from the chip's generator.

use std::fmt;

use serde::Serialize;
use token_store::Error as StoreError;
use tpm_core::random;

use crate::app::App;
use crate::show::output;

/// Print random bytes from the TPM
///
/// They cross the bus in the open: good for testing and as one source among several, not as
/// the only source of a secret.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many bytes
    #[arg(default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    count: u32,

    /// Write the bytes themselves instead of hexadecimal digits
    #[arg(long, conflicts_with = "json")]
    raw: bool,
}

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    let tpm = app.tpm()?;
    let count = usize::try_from(args.count)?;
    let bytes = tpm
        .begin()
        .and_then(|op| random::bytes(&op, count))
        .map_err(StoreError::from)?;
    if args.raw {
        return Ok(output::write_bytes(&bytes)?);
    }
    app.out.print(&Report {
        hex: base16ct::lower::encode_string(&bytes),
    })
}

#[derive(Debug, Serialize)]
struct Report {
    hex: String,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.hex)
    }
}
