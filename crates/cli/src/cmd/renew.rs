//! `tpmssh renew`: get the next certificates from the authorities.

use std::fmt;

use serde::Serialize;

use super::enroll;
use crate::app::App;
use crate::enrolments;
use crate::enrolments::again::{self, Which};
use crate::fail::error::EnrolmentError;
use crate::keys::public_files;
use crate::options::UserPinArgs;
use crate::show::date;
use crate::show::output::{error_line, tell};

/// Get the next certificates from the authorities
///
/// Renews the certificates that are due: half of their life or more has passed. If the agent has the token open, this asks for no PIN.
/// If a renewal fails, the old certificate stays until it expires.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The key, by label, id or fingerprint (all keys)
    key: Option<String>,

    /// Also renew certificates that are not due
    #[arg(long)]
    all: bool,

    /// For timers: ask for nothing, and after a failure wait before the next try
    #[arg(long, conflicts_with = "all")]
    unattended: bool,

    #[command(flatten)]
    pin: UserPinArgs,
}

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    let mut store = app.store()?;
    let enrolled = match enrolments::named(app, &store, args.key.as_deref()) {
        // The timer still runs after the last enrolment has ended, which is not an error.
        Err(err)
            if args.unattended
                && args.key.is_none()
                && matches!(err.downcast_ref(), Some(EnrolmentError::NotEnrolled)) =>
        {
            Vec::new()
        }
        other => other?,
    };
    let which = match (args.all, args.unattended) {
        (true, _) => Which::All,
        (_, true) => Which::Unattended,
        _ => Which::Due,
    };
    let mut report = Report(Vec::new());
    let mut failed = Vec::new();
    let now = date::now();
    for it in enrolled.iter().filter(|it| which.takes(it, now)) {
        match again::renew(app, &mut store, it, &args.pin, args.unattended) {
            Ok(got) => {
                let server = &it.enrolment.terms.server;
                report
                    .0
                    .push(enroll::Report::new(&it.key.label, server, &got));
            }
            Err(err) => failed.push(err),
        }
    }
    if !report.0.is_empty() {
        public_files::update(&store);
    } else if failed.is_empty() && !args.unattended {
        tell("tpmssh: no certificate has to be renewed yet; --all renews them anyway");
    }
    app.out.print(&report)?;
    // The last failure is returned, and printed like that of any command.
    let last = failed.pop();
    for err in &failed {
        tell(&format!("tpmssh: {}", error_line(err)));
    }
    last.map_or(Ok(()), Err)
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Report(Vec<enroll::Report>);

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for it in &self.0 {
            writeln!(f, "{it}")?;
        }
        Ok(())
    }
}
