//! What tpmssh costs beyond the chip: `cargo xtask bench`.
//!
//! Everything is measured side by side in one run, in private surroundings: a simulated TPM, a
//! resource manager, an SSH server. docs/performance.md says what the figures mean.

mod budget;
mod chip;
mod contestant;
#[path = "../../key-proof/tests/it/der.rs"]
#[allow(
    dead_code,
    clippy::unwrap_used,
    reason = "shared with the tests of key-proof"
)]
mod der;
mod fill;
mod machine;
mod measure;
#[path = "../../key-proof/tests/it/pair.rs"]
#[allow(
    dead_code,
    clippy::unwrap_used,
    reason = "shared with the tests of key-proof"
)]
mod pair;
mod publish;
mod report;
#[path = "../../key-proof/tests/it/software_tpm.rs"]
#[allow(
    dead_code,
    clippy::unwrap_used,
    reason = "shared with the tests of key-proof"
)]
mod software_tpm;
mod stats;
mod svg;
mod table;
mod world;

use std::{path::PathBuf, process::ExitCode, time::Instant};

use anyhow::Result;
use clap::Parser;

use crate::{
    contestant::Role,
    measure::Effort,
    report::{Group, Report},
};

/// Measure what tpmssh costs beyond the chip, beside tpm2-pkcs11 and a plain key file
///
/// Uses a simulated TPM and private servers; nothing of this machine is touched. Other work on it
/// shows in the figures.
#[derive(Debug, clap::Parser)]
#[command(name = "cargo xtask bench")]
struct Args {
    #[command(subcommand)]
    contestant: Option<Hidden>,
    /// Fewer rounds: under five minutes instead of about twelve
    #[arg(long)]
    quick: bool,
    /// Measure one part alone: sign, command, chip, count, scale, proof or fleet
    #[arg(long, value_name = "PART", value_enum)]
    only: Option<Group>,
    /// Write all figures to FILE
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Fail if a budget is missed
    #[arg(long)]
    check: bool,
    /// Put the figures into README.md and docs/performance
    #[arg(long)]
    publish: bool,
    /// Take the figures from FILE, written with --json before, instead of measuring
    #[arg(long, value_name = "FILE", conflicts_with_all = ["quick", "only", "json"])]
    from: Option<PathBuf>,
}

#[derive(Debug, clap::Subcommand)]
enum Hidden {
    /// Plays a part in a measurement
    #[command(hide = true)]
    Contestant {
        #[command(subcommand)]
        role: Role,
    },
}

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(err) => {
            eprintln!("bench: {err:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs what the arguments ask for. Returns whether the budgets are met, if they are checked.
fn run(args: Args) -> Result<bool> {
    if let Some(Hidden::Contestant { role }) = args.contestant {
        role.play()?;
        return Ok(true);
    }
    let report = match &args.from {
        Some(path) => Report::read(path)?,
        None => measure(args.quick, args.only)?,
    };
    print!("{}", table::full(&report));
    if let Some(path) = &args.json {
        report.write(path)?;
    }
    if args.publish {
        publish::all(&report)?;
    }
    let missed = report.budgets.iter().filter(|verdict| !verdict.met).count();
    if args.check && missed > 0 {
        let s = if missed == 1 {
            "budget is"
        } else {
            "budgets are"
        };
        eprintln!("bench: {missed} {s} missed");
        return Ok(false);
    }
    Ok(true)
}

fn measure(quick: bool, only: Option<Group>) -> Result<Report> {
    let mut report = machine::describe(quick)?;
    let effort = if quick { Effort::QUICK } else { Effort::FULL };
    let start = Instant::now();
    let note = |what: &str| eprintln!("[{:4} s] {what}", start.elapsed().as_secs());
    report.figures = measure::all(effort, only, note)?;
    note("done");
    report.budgets = budget::judge(&report, effort.hosts, only);
    Ok(report)
}
