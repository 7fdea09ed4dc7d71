//! `tpmssh tpm change-auth`: the password of a hierarchy.

use clap::ValueEnum;
use token_store::Error as StoreError;
use tpm_core::ownership::{self, Hierarchy};
use tpm_core::{AuthValue, OwnerAuth, Srk, info};

use crate::app::App;
use crate::ask::hierarchy_auth;
use crate::options::{AuthArgs, NewAuthArgs, OwnerAuthArgs};

/// Change or remove the password of a hierarchy of the TPM
///
/// A password is the bytes of one line, at most 32, as other TPM programs use it. It crosses
/// the bus encrypted.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Whose password
    #[arg(value_enum)]
    hierarchy: Which,

    /// Leave the hierarchy without a password
    #[arg(long, conflicts_with_all = ["new_auth_file", "new_auth_fd"])]
    remove: bool,

    #[command(flatten)]
    old: AuthArgs,
    #[command(flatten)]
    new: NewAuthArgs,
    #[command(flatten)]
    owner: OwnerAuthArgs,
}

/// A hierarchy, on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Which {
    /// Makes storage keys and PIN counters.
    Owner,
    /// Makes the keys that prove which TPM this is.
    Endorsement,
    /// Ends a lockout, and clears the TPM.
    Lockout,
}

impl From<Which> for Hierarchy {
    fn from(which: Which) -> Self {
        match which {
            Which::Owner => Self::Owner,
            Which::Endorsement => Self::Endorsement,
            Which::Lockout => Self::Lockout,
        }
    }
}

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    let hierarchy = Hierarchy::from(args.hierarchy);
    let tpm = app.tpm()?;
    let (info, has_srk) = tpm
        .begin()
        .and_then(|op| Ok((info::read(&op)?, Srk::find_serving(&op)?.is_some())))
        .map_err(StoreError::from)?;
    let old = hierarchy_auth::read(&args.old.source(), &info, hierarchy)?;
    if args.remove && !hierarchy_auth::is_set(&info, hierarchy) {
        return app.out.done(&format!(
            "the TPM has no {} password; nothing was changed",
            hierarchy.name()
        ));
    }
    // Only the owner can make the key that the new password is encrypted to.
    let owner = match hierarchy {
        Hierarchy::Owner => OwnerAuth::from(old.clone()),
        _ if has_srk => OwnerAuth::empty(),
        _ => hierarchy_auth::read_owner(&args.owner.source(), &info)?,
    };
    let new = if args.remove {
        AuthValue::empty()
    } else {
        hierarchy_auth::read_new(&args.new.source(), hierarchy)?
    };
    tpm.begin()
        .and_then(|op| {
            let srk = Srk::find_or_create(&op, &owner)?;
            ownership::change_auth(&srk.open(&op)?, hierarchy, &old, &new)
        })
        .map_err(|err| hierarchy_auth::explain(err, &info, hierarchy))?;
    let done = if args.remove { "removed" } else { "set" };
    app.out
        .done(&format!("the {} password is {done}", hierarchy.name()))
}
