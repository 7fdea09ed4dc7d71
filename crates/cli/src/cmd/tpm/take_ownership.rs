//! `tpmssh tpm take-ownership`: make the storage root key, and set passwords.

use std::fmt;

use serde::Serialize;
use token_store::Error as StoreError;
use tpm_core::info::{self, Info};
use tpm_core::ownership::{self, Hierarchy};
use tpm_core::{AuthValue, Error as TpmError, Operation, OwnerAuth, Srk, Tpm};

use crate::app::App;
use crate::ask::confirm::{confirm, confirm_by_word};
use crate::ask::hierarchy_auth;
use crate::ask::pin_prompt::Source;
use crate::fail::error::HierarchyError;
use crate::options::{AuthArgs, EndorsementAuthArgs, LockoutAuthArgs, OwnerAuthArgs};
use crate::show::output::{Facts, tell};

/// Make the TPM's storage root key and set its passwords
///
/// Anyone who can use a new or cleared TPM can take it. This makes the storage root key, the
/// parent of all keys, from the TCG's template and without a password. Then it sets those
/// passwords that are given here: each is optional. Without one of the six options it asks
/// for all three. A password is the bytes of one line, at most 32, as other TPM programs use
/// it.
///
/// The lockout password is the one worth having: without it any user with TPM access can erase
/// the TPM, and can try recovery codes (SO PINs) without limit. With an owner password each new token needs
/// it. If there is an owner password already, it is needed to make a storage root key: from
/// --auth-file or --auth-fd, else it is asked for.
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

    /// Make the storage root key anew if another key is in its place, or it has a password
    ///
    /// This destroys every key under the old one, including those of other programs: disk
    /// encryption (BitLocker, systemd-cryptenroll) and Windows Hello may depend on it. Exception: an
    /// old key from the same template that only has a password. tpmssh does not need this: beside a
    /// storage root key that does not serve it uses one of its own.
    #[arg(long)]
    replace_storage_root_key: bool,

    /// Do not ask before anything is done
    #[arg(long, short)]
    yes: bool,

    #[command(flatten)]
    present: AuthArgs,
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
    let (info, root) = tpm
        .begin()
        .and_then(|op| Ok((info::read(&op)?, Root::find(&op, args)?)))
        .map_err(StoreError::from)?;
    let chosen = args.chosen();
    refuse_if_taken(&info, &chosen)?;

    if !args.yes {
        tell(&plan(&chosen, root));
    }
    match root {
        Root::Replace => confirm_by_word("replace", args.yes)?,
        Root::Keep | Root::Make => confirm("Go on?", args.yes)?,
    }
    let present = match root {
        Root::Keep => OwnerAuth::empty(),
        Root::Make | Root::Replace => hierarchy_auth::read_owner(&args.present.source(), &info)?,
    };
    let mut passwords = Vec::new();
    for hierarchy in &chosen {
        let new = hierarchy_auth::read_new(&args.source(*hierarchy), *hierarchy)?;
        passwords.push((*hierarchy, new));
    }
    let srk = take(&tpm, &info, root, &present, &passwords)?;
    let hint = "see its state with: tpmssh tpm info";
    app.out
        .print_done(&Report::new(&srk, &chosen), "ownership is taken", hint)
}

/// The action for the storage root key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Root {
    /// It is there.
    Keep,
    Make,
    /// An object that cannot be used is in its place, and may be removed.
    Replace,
}

impl Root {
    fn find(op: &Operation<'_>, args: &Args) -> tpm_core::Result<Self> {
        match Srk::find(op) {
            Ok(None) => Ok(Self::Make),
            Ok(Some(srk)) if args.replace_storage_root_key => Ok(match srk.has_password(op)? {
                Some(true) => Self::Replace,
                Some(false) | None => Self::Keep,
            }),
            Ok(Some(_)) => Ok(Self::Keep),
            Err(TpmError::HandleOccupied(_)) if args.replace_storage_root_key => Ok(Self::Replace),
            // It stays, and one of our own is made beside it.
            Err(TpmError::HandleOccupied(_)) => Ok(Self::Make),
            Err(err) => Err(err),
        }
    }
}

/// Refuses if one of the chosen hierarchies has a password: changing it takes the old one.
fn refuse_if_taken(info: &Info, chosen: &[Hierarchy]) -> Result<(), HierarchyError> {
    let taken: Vec<_> = chosen
        .iter()
        .filter(|hierarchy| hierarchy_auth::is_set(info, **hierarchy))
        .map(|hierarchy| hierarchy.name())
        .collect();
    if taken.is_empty() {
        Ok(())
    } else {
        Err(HierarchyError::AlreadyOwned { passwords: taken })
    }
}

fn plan(chosen: &[Hierarchy], root: Root) -> String {
    let mut lines = String::from("This will\n");
    lines.push_str(match root {
        Root::Keep => "  keep the storage root key that is there",
        Root::Make => "  make the storage root key",
        Root::Replace => {
            "  remove what is in the place of the storage root key, with which all keys below it\n  \
             are lost if it is another key: disk encryption (BitLocker, systemd-cryptenroll) and\n  \
             Windows Hello may hang from it; and make the storage root key. tpmssh does not need\n  \
             this: it uses one of its own beside a key that does not serve"
        }
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
        Hierarchy::Owner => "needed for new tokens and everything else that is kept in the TPM",
        Hierarchy::Endorsement => "needed to make the keys that prove which TPM this is",
        Hierarchy::Lockout => "needed to end a lockout and to clear the TPM",
    }
}

/// Makes the key and sets the passwords. The owner password comes last: before it the storage root key
/// can be made without one.
fn take(
    tpm: &Tpm,
    info: &Info,
    root: Root,
    present: &OwnerAuth,
    passwords: &[(Hierarchy, AuthValue)],
) -> anyhow::Result<Srk> {
    let op = tpm.begin().map_err(StoreError::from)?;
    let explain = |err, hierarchy| hierarchy_auth::explain(err, info, hierarchy);
    let srk = match root {
        Root::Keep | Root::Make => Srk::find_or_create(&op, present),
        Root::Replace => Srk::make_anew(&op, present),
    };
    let srk = srk.map_err(|err| explain(err, Hierarchy::Owner))?;
    let key = srk.open(&op).map_err(StoreError::from)?;
    for (hierarchy, new) in passwords.iter().rev() {
        ownership::change_auth(&key, *hierarchy, &AuthValue::empty(), new)
            .map_err(|err| explain(err, *hierarchy))?;
    }
    drop(key);
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
