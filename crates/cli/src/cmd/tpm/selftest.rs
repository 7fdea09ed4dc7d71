//! `tpmssh tpm selftest`: let the chip test itself.

use std::fmt;

use anyhow::bail;
use serde::Serialize;
use token_store::Error as StoreError;
use tpm_core::selftest::{self, Outcome, TestResult};

use crate::app::App;

/// Let the TPM test itself, and say in words how that ended
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Test only what has not been tested since the TPM started
    #[arg(long)]
    incremental: bool,
}

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    let tpm = app.tpm()?;
    let result = tpm
        .begin()
        .and_then(|op| {
            if args.incremental {
                selftest::incremental(&op)?;
            } else {
                selftest::full(&op)?;
            }
            selftest::result(&op)
        })
        .map_err(StoreError::from)?;
    app.out.print(&Report::new(&result))?;
    match result.outcome {
        Outcome::Passed => Ok(()),
        // The chip tests the rest before its first use.
        Outcome::Incomplete if args.incremental => Ok(()),
        outcome => bail!("the self test did not pass: {}", words(outcome)),
    }
}

#[derive(Debug, Serialize)]
struct Report {
    result: String,
    /// What the manufacturer adds, hexadecimal.
    details: String,
}

impl Report {
    fn new(result: &TestResult) -> Self {
        Self {
            result: words(result.outcome),
            details: base16ct::lower::encode_string(&result.details),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "self test {}", self.result)
    }
}

/// How a self test ended.
pub(crate) fn words(outcome: Outcome) -> String {
    match outcome {
        Outcome::Passed => "passed".into(),
        Outcome::Incomplete => {
            "incomplete: some functions are tested before their first use".into()
        }
        Outcome::Failed => "failed".into(),
        Outcome::Other(code) => format!("ended with {code}"),
    }
}
