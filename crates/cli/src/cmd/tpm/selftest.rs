//! `tpmssh tpm selftest`: let the chip test itself.

use std::fmt;

use anyhow::bail;
use serde::Serialize;
use token_store::Error as StoreError;
use tpm_core::selftest::{self, Outcome, TestResult};

use crate::app::App;
use crate::keys::hex;

/// Run the full self test of the TPM
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(app: &App, _args: &Args) -> anyhow::Result<()> {
    let tpm = app.tpm()?;
    let result = tpm
        .begin()
        .and_then(|op| {
            selftest::full(&op)?;
            selftest::result(&op)
        })
        .map_err(StoreError::from)?;
    app.out.print(&Report::new(&result))?;
    match result.outcome {
        Outcome::Passed => Ok(()),
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
            details: hex(&result.details),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "self test {}", self.result)
    }
}

fn words(outcome: Outcome) -> String {
    match outcome {
        Outcome::Passed => "passed".into(),
        Outcome::Incomplete => "incomplete".into(),
        Outcome::Failed => "failed".into(),
        Outcome::Other(code) => format!("ended with {code}"),
    }
}
