//! `tpmssh tpm take-ownership`: from a fresh or cleared chip to one that is its owner's.

use std::fmt;

use serde::Serialize;
use token_store::Error as StoreError;
use tpm_core::info::{self, Info};
use tpm_core::ownership::{self, Hierarchy};
use tpm_core::{AuthValue, Srk, Tpm};

use crate::app::App;
use crate::args::{EndorsementAuthArgs, LockoutAuthArgs, OwnerAuthArgs};
use crate::confirm::confirm;
use crate::error::Error;
use crate::hierarchy_auth;
use crate::output::{Facts, tell};
use crate::pin_prompt::Source;

/// Take the TPM into ownership: make its storage root key and set its passwords
///
/// A new or cleared TPM belongs to whoever comes first. This makes the storage root key, from
/// the TCG's template and without a password, which every key hangs from, and sets those
/// passwords that are given here: each is optional. Without one of the six options it asks
/// for all three. A password is the bytes of one line, at most 32, as other TPM programs use
/// it.
///
/// The lockout password is the one worth having: without it anybody who may use the TPM can
/// clear it, and can guess an SO PIN without end. With an owner password each new token needs
/// it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Set no password, only make the storage root key
    #[arg(
        long,
        conflicts_with_all = [
            "owner_auth_file", "owner_auth_fd", "endorsement_auth_file",
            "endorsement_auth_fd", "lockout_auth_file", "lockout_auth_fd",
        ]
    )]
    no_passwords: bool,

    /// Do not ask before anything is done
    #[arg(long, short)]
    yes: bool,

    #[command(flatten)]
    owner: OwnerAuthArgs,
    #[command(flatten)]
    endorsement: EndorsementAuthArgs,
    #[command(flatten)]
    lockout: LockoutAuthArgs,
}

impl Args {
    fn source(&self, hierarchy: Hierarchy) -> Source {
        match hierarchy {
            Hierarchy::Owner => self.owner.source(),
            Hierarchy::Endorsement => self.endorsement.source(),
            Hierarchy::Lockout => self.lockout.source(),
        }
    }

    /// The hierarchies that get a password.
    fn chosen(&self) -> Vec<Hierarchy> {
        let named = |hierarchy: &Hierarchy| !matches!(self.source(*hierarchy), Source::Ask);
        let named: Vec<_> = Hierarchy::ALL.into_iter().filter(named).collect();
        match named.is_empty() {
            _ if self.no_passwords => Vec::new(),
            true => Hierarchy::ALL.to_vec(),
            false => named,
        }
    }
}

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    let tpm = app.tpm()?;
    let (info, srk) = tpm
        .begin()
        .and_then(|op| Ok((info::read(&op)?, Srk::find(&op)?)))
        .map_err(StoreError::from)?;
    let chosen = args.chosen();
    refuse_if_taken(&info, &chosen, srk.is_some())?;

    tell(&plan(&chosen, srk.is_some()));
    confirm("Go on?", args.yes)?;
    let mut passwords = Vec::new();
    for hierarchy in &chosen {
        let new = hierarchy_auth::read_new(&args.source(*hierarchy), *hierarchy)?;
        passwords.push((*hierarchy, new));
    }
    let srk = take(&tpm, &info, &passwords)?;
    app.out.print(&Report::new(&srk, &chosen))
}

/// Nothing is changed where a password would have to be: that takes the old one.
fn refuse_if_taken(info: &Info, chosen: &[Hierarchy], has_srk: bool) -> Result<(), Error> {
    let is_set = |hierarchy: &&Hierarchy| hierarchy_auth::is_set(info, **hierarchy);
    let taken: Vec<_> = chosen
        .iter()
        .filter(is_set)
        .map(|hierarchy| hierarchy.name())
        .collect();
    if !taken.is_empty() {
        return Err(Error::AlreadyOwned { passwords: taken });
    }
    // The storage root key then takes the owner password, which this command only sets.
    if !has_srk && info.auth_set.owner {
        return Err(Error::AlreadyOwned {
            passwords: vec![Hierarchy::Owner.name()],
        });
    }
    Ok(())
}

fn plan(chosen: &[Hierarchy], has_srk: bool) -> String {
    let mut lines = String::from("This will\n");
    lines.push_str(if has_srk {
        "  keep the storage root key that is there"
    } else {
        "  make the storage root key"
    });
    for hierarchy in chosen {
        lines.push_str(&format!(
            "\n  set the {} password: {}",
            hierarchy.name(),
            purpose(*hierarchy)
        ));
    }
    lines
}

fn purpose(hierarchy: Hierarchy) -> &'static str {
    match hierarchy {
        Hierarchy::Owner => "needed for new tokens and whatever else is kept in the TPM",
        Hierarchy::Endorsement => "needed to make the keys that prove which TPM this is",
        Hierarchy::Lockout => "needed to end a lockout and to clear the TPM",
    }
}

/// The owner password comes last: until then the storage root key can be made without one.
fn take(tpm: &Tpm, info: &Info, passwords: &[(Hierarchy, AuthValue)]) -> anyhow::Result<Srk> {
    let op = tpm.begin().map_err(StoreError::from)?;
    let empty = AuthValue::empty();
    let explain = |err, hierarchy| hierarchy_auth::explain(err, info, hierarchy);
    let srk = Srk::find_or_create(&op, &empty).map_err(|err| explain(err, Hierarchy::Owner))?;
    for (hierarchy, new) in passwords.iter().rev() {
        ownership::change_auth(&op, &srk, *hierarchy, &empty, new)
            .map_err(|err| explain(err, *hierarchy))?;
    }
    Ok(srk)
}

#[derive(Debug, Serialize)]
struct Report {
    /// The Name of the storage root key.
    storage_root_key: String,
    /// Whether the TPM keeps it; otherwise it is made anew for each use.
    persistent: bool,
    passwords_set: Vec<&'static str>,
}

impl Report {
    fn new(srk: &Srk, chosen: &[Hierarchy]) -> Self {
        Self {
            storage_root_key: srk.name().to_string(),
            persistent: srk.is_persistent(),
            passwords_set: chosen.iter().map(|hierarchy| hierarchy.name()).collect(),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut facts = Facts::default();
        facts.add("storage root key", &self.storage_root_key);
        if !self.persistent {
            facts.add(
                "note",
                "the TPM has no room to keep it and makes it anew for each use",
            );
        }
        let set = self.passwords_set.join(", ");
        facts.add("passwords set", if set.is_empty() { "none" } else { &set });
        facts.fmt(f)
    }
}
