//! `tpmssh tpm lockout`: the chip's dictionary-attack lockout.

use std::fmt;

use clap::Subcommand;
use serde::Serialize;
use token_store::Error as StoreError;
use tpm_core::info::{self, Info};
use tpm_core::lockout::{self, Parameters};
use tpm_core::ownership::Hierarchy;

use crate::app::App;
use crate::ask::hierarchy_auth;
use crate::fail::error::Error;
use crate::options::LockoutAuthArgs;
use crate::show::duration;
use crate::show::output::Facts;

/// See and set the lockout that the whole TPM shares
///
/// It counts wrong SO PINs, wrong PINs of tokens with the wall "lockout", and power failures
/// while such a thing was in use. Tokens with a PIN counter have nothing to do with it.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show how many wrong tries there were and what follows
    Show,
    /// Set the count of wrong tries to 0
    Reset(ResetArgs),
    /// Set how many wrong tries lock the TPM, and for how long
    Set(SetArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct ResetArgs {
    #[command(flatten)]
    auth: LockoutAuthArgs,
}

#[derive(Debug, clap::Args)]
pub(crate) struct SetArgs {
    /// How many wrong tries lock the TPM
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_tries: Option<u32>,

    /// After how long one wrong try is forgiven, such as 90 (seconds), 10m or 1h30m
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    forgive_after: Option<u32>,

    /// For how long a wrong lockout password closes the lockout hierarchy; 0: until a restart
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    recovery: Option<u32>,

    #[command(flatten)]
    auth: LockoutAuthArgs,
}

pub(crate) fn run(app: &App, command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Show => app.out.print(&Report::new(&read(app)?)),
        Command::Reset(args) => reset(app, args),
        Command::Set(args) => set(app, args),
    }
}

fn read(app: &App) -> anyhow::Result<Info> {
    let tpm = app.tpm()?;
    Ok(tpm
        .begin()
        .and_then(|op| info::read(&op))
        .map_err(StoreError::from)?)
}

fn reset(app: &App, args: &ResetArgs) -> anyhow::Result<()> {
    let info = read(app)?;
    let auth = hierarchy_auth::read_lockout(&args.auth.source(), &info)?;
    app.tpm()?
        .begin()
        .and_then(|op| lockout::reset(&op, app.srk(&op)?.as_ref(), &auth))
        .map_err(|err| hierarchy_auth::explain(err, &info, Hierarchy::Lockout))?;
    app.out.done("the count of wrong tries is 0")
}

fn set(app: &App, args: &SetArgs) -> anyhow::Result<()> {
    if args
        .max_tries
        .or(args.forgive_after)
        .or(args.recovery)
        .is_none()
    {
        return Err(Error::Usage("nothing to set".into()).into());
    }
    if args.forgive_after == Some(0) {
        let why = "a lockout that forgives after 0 seconds never locks";
        return Err(Error::Usage(why.into()).into());
    }
    let info = read(app)?;
    let new = Parameters {
        max_tries: args.max_tries.unwrap_or(info.lockout.max_tries),
        interval: args.forgive_after.unwrap_or(info.lockout.interval),
        recovery: args.recovery.unwrap_or(info.lockout.recovery),
    };
    let auth = hierarchy_auth::read_lockout(&args.auth.source(), &info)?;
    app.tpm()?
        .begin()
        .and_then(|op| lockout::set_parameters(&op, app.srk(&op)?.as_ref(), &auth, new))
        .map_err(|err| hierarchy_auth::explain(err, &info, Hierarchy::Lockout))?;
    app.out.print(&Report::new(&read(app)?))
}

/// The lockout, with times in seconds.
#[derive(Debug, Clone, Copy, Serialize)]
struct Report {
    locked: bool,
    wrong_tries: u32,
    max_tries: u32,
    forgive_after: u32,
    recovery: u32,
    password_set: bool,
}

impl Report {
    fn new(info: &Info) -> Self {
        let lockout = info.lockout;
        Self {
            locked: lockout.active,
            wrong_tries: lockout.count,
            max_tries: lockout.max_tries,
            forgive_after: lockout.interval,
            recovery: lockout.recovery,
            password_set: info.auth_set.lockout,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut facts = Facts::default();
        let forgiving = duration::in_words(self.forgive_after);
        if self.locked {
            facts.add(
                "state",
                format!("locked; the next try is possible in at most {forgiving}"),
            );
        } else {
            facts.add("state", "open");
        }
        facts.add(
            "wrong tries",
            format!("{} of {}", self.wrong_tries, self.max_tries),
        );
        facts.add(
            "one forgiven",
            format!("after {forgiving} with the machine on"),
        );
        facts.add("password", if self.password_set { "set" } else { "none" });
        facts.add("after a wrong password", wrong_password(self.recovery));
        facts.fmt(f)
    }
}

fn wrong_password(recovery: u32) -> String {
    match recovery {
        0 => "locked until a restart".into(),
        seconds => format!("locked for {}", duration::in_words(seconds)),
    }
}
