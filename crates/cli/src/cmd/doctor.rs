//! `tpmssh doctor`: finds problems and shows how to fix them.

mod abilities;
mod access;
mod check;
mod chip;
mod configuration;
mod contents;
mod ek;
mod neighbours;
mod passwords;
mod programs;
mod report;
mod session;
mod store;
mod trial;

use std::fmt;

use serde::Serialize;
use token_store::Kind;

use self::check::{Check, Status};
use crate::app::App;
use crate::fail::error::Error;
use crate::options::UserPinArgs;
use crate::show::style::{self, Tone};
use crate::show::words::count;

/// Find problems and show how to fix them
///
/// Looks at the configuration file, the TPM and the way to it, the store and its tokens, the agent, ssh,
/// host keys and git. Each line says ok, warning or problem; below it is what to do. Nothing is
/// changed. With the PIN of a token, from --pin-file or --pin-fd, the TPM loads each of its keys
/// as well; without one no PIN is tried.
///
/// The exit code is that of the gravest problem, and 0 if there are only warnings.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Take warnings for failures, with exit code 8
    #[arg(long)]
    strict: bool,

    /// Print what kind of chip this is as JSON, and nothing else
    ///
    /// For owners of a chip that tpmssh does not know yet, to send in: there is nothing in it
    /// that tells one machine from another. `cargo xtask zoo` plays such a chip.
    #[arg(long)]
    report: bool,

    /// In the report, try the chip with a token that is deleted at the end
    ///
    /// It takes some minutes on slow chips, and spends no try of anything.
    #[arg(long, requires = "report")]
    r#try: bool,

    #[command(flatten)]
    pin: UserPinArgs,
}

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    if args.report {
        let report = report::make(&app.tpm()?, args.r#try)?;
        let text = serde_json::to_string_pretty(&report)?;
        return Ok(crate::show::output::write(&format!("{text}\n"))?);
    }
    let mut checks = Vec::new();
    configuration::check(app, &mut checks);
    let tpm = access::check(app, &mut checks);
    let tpm = tpm.filter(|tpm| chip::check(tpm, &mut checks));
    store::check(app, tpm.as_ref(), &args.pin, &mut checks)?;
    programs::check(&mut checks);
    session::check(app, &mut checks);
    neighbours::check(tpm.as_ref(), &mut checks);
    let report = Report::new(checks);
    app.out.print(&report)?;
    Ok(report.verdict(args.strict)?)
}

#[derive(Debug, Serialize)]
struct Report {
    checks: Vec<Check>,
    problems: usize,
    warnings: usize,
}

impl Report {
    fn new(checks: Vec<Check>) -> Self {
        let count = |wanted: fn(&Status) -> bool| {
            checks.iter().filter(|check| wanted(&check.status)).count()
        };
        Self {
            problems: count(|status| matches!(status, Status::Problem(_))),
            warnings: count(|status| matches!(status, Status::Warning)),
            checks,
        }
    }

    fn verdict(&self, strict: bool) -> Result<(), Error> {
        let problems = self.checks.iter().filter_map(|check| check.status.kind());
        let warnings = if strict { self.warnings } else { 0 };
        match problems.max_by_key(|kind| gravity(*kind)) {
            None if warnings == 0 => Ok(()),
            gravest => Err(Error::Unwell {
                problems: self.problems,
                warnings,
                kind: gravest.unwrap_or(Kind::KeyRefused),
            }),
        }
    }
}

/// The order of problems by how much they keep from working: without a TPM everything, with another
/// TPM all tokens, with a broken store the tokens in it, and so on.
fn gravity(kind: Kind) -> u8 {
    match kind {
        Kind::NoTpm => 10,
        Kind::OtherTpm => 9,
        Kind::Corrupt => 8,
        Kind::UnsafePath => 7,
        Kind::KeyRefused => 6,
        Kind::PinLocked => 5,
        Kind::WrongPin => 4,
        Kind::Disk => 3,
        Kind::Busy => 2,
        Kind::Usage => 1,
        _ => 0,
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for check in &self.checks {
            check.fmt(f)?;
        }
        let problems = count(self.problems, "problem");
        let warnings = count(self.warnings, "warning");
        let names: Vec<_> = self
            .checks
            .iter()
            .filter(|check| check.status.kind().is_some())
            .map(Check::name)
            .collect();
        if names.is_empty() {
            return writeln!(f, "{problems}, {warnings}");
        }
        let problems = style::on_stdout(Tone::Bad, &problems);
        writeln!(f, "{problems} ({}), {warnings}", names.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(kinds: &[Option<Kind>], strict: bool) -> Option<(String, Kind)> {
        let check = |kind: &Option<Kind>| match kind {
            Some(kind) => Check::problem("a", *kind, "b"),
            None => Check::warning("a", "b"),
        };
        let report = Report::new(kinds.iter().map(check).collect());
        let err = report.verdict(strict).err()?;
        Some((err.to_string(), err.kind()))
    }

    #[test]
    fn the_gravest_problem_gives_the_exit_code_and_warnings_do_if_strict() {
        let (locked, other, warning) = (Some(Kind::PinLocked), Some(Kind::OtherTpm), None);
        assert_eq!(verdict(&[], true), None);
        assert_eq!(verdict(&[warning], false), None);
        let said = |text: &str, kind| Some((text.to_owned(), kind));
        assert_eq!(
            verdict(&[warning, warning], true),
            said("2 warnings found", Kind::KeyRefused)
        );
        assert_eq!(
            verdict(&[locked, other, warning], false),
            said("2 problems found", Kind::OtherTpm)
        );
        assert_eq!(
            verdict(&[locked, warning], true),
            said("1 problem and 1 warning found", Kind::PinLocked)
        );
    }
}
