//! An authority over the network that certifies the host key of `tpmssh host setup --enroll`.

use key_proof::Kind;
use ssh_format::Certificate;
use token_store::{Store, StoreDir};

use super::place::MachineArgs;
use super::{renew, server_keys};
use crate::app::App;
use crate::enrolments::options::AuthorityArgs;
use crate::enrolments::{Enrolled, first, revoked};
use crate::fail::error::{EnrolmentError, Error};
use crate::files::units;
use crate::keys::make;
use crate::keys::signing::SigningKey;
use crate::options::UserPinArgs;
use crate::proofs::prover::Prover;

/// The options for an authority that certifies the host key.
#[derive(Debug, clap::Args)]
pub(super) struct EnrolArgs {
    /// Get and renew certificates for the key from the authority (tpmssh-ca) at this address
    #[arg(long, value_name = "URL", conflicts_with = "certificate")]
    pub(super) enroll: Option<String>,

    /// The names of this host for --enroll, separated by commas (its host name)
    #[arg(
        short = 'n',
        long,
        value_delimiter = ',',
        value_name = "NAMES",
        requires = "enroll"
    )]
    principals: Vec<String>,

    /// Do not accept users with certificates of the authority
    #[arg(long, requires = "enroll")]
    pub(super) no_users: bool,

    #[command(flatten)]
    pub(super) authority: AuthorityArgs,
}

/// Refuses if another file of sshd's configuration names a list of revoked keys or an authority for users, because sshd uses only the first setting.
pub(super) fn check_settings(
    machine: &MachineArgs,
    args: &EnrolArgs,
) -> Result<(), EnrolmentError> {
    let users = (!args.no_users).then_some(("TrustedUserCAKeys", "trustedusercakeys"));
    let settings = users.into_iter().chain([("RevokedKeys", "revokedkeys")]);
    for (keyword, lower) in settings {
        if let Some(line) = server_keys::set_elsewhere(machine, lower) {
            return Err(EnrolmentError::SettingTaken {
                keyword,
                config: line.file,
                line: line.number,
            });
        }
    }
    Ok(())
}

/// Gets the first certificate for the key, and the files that sshd needs of the authority.
pub(super) fn enrol(
    app: &App,
    machine: &MachineArgs,
    args: &EnrolArgs,
    url: &str,
    key: &SigningKey,
) -> anyhow::Result<Certificate> {
    let chosen = args.authority.chosen(url)?;
    let mut names = args.principals.clone();
    if names.is_empty() {
        names.push(make::host_name());
    }
    let mut store = Store::open(&StoreDir::at(&machine.store)?)?;
    let prover = Prover {
        app,
        key,
        pin: &UserPinArgs::default(),
        endorsement: &args.authority.endorsement,
        unattended: false,
    };
    let before = renew::enrolled(app, machine)?;
    let is_elsewhere = |it: &Enrolled| {
        it.key.object != key.object && it.enrolment.terms.audience != chosen.audience
    };
    if before.iter().any(is_elsewhere) {
        return Err(Error::Usage(
            "another host key is enrolled with another authority, and sshd uses only one list of revoked keys".to_owned(),
        )
        .into());
    }
    let list = machine.revoked();
    let kind = Kind::Host;
    let got = first::enrol(&prover, &mut store, &chosen, kind, &names, |got| {
        let hosts = &got.authorities.hosts;
        let is_known = |blob: &Vec<u8>| hosts.iter().any(|key| key.blob() == blob);
        let is_another = |it: &Enrolled| !it.enrolment.terms.trust.host_cas.iter().any(is_known);
        // sshd refuses every key if the list in its configuration does not exist.
        if before.iter().any(is_another) {
            // The list may be that of another authority, whose numbers cannot be compared.
            revoked::pull_anew(&chosen.server, &got.authorities, &list)?;
        } else {
            revoked::pull(&chosen.server, &got.authorities, &list)?;
        }
        Ok(())
    })?;
    if args.no_users {
        units::remove_file(&machine.user_ca())?;
    } else {
        renew::write_user_ca(machine, &got.authorities)?;
    }
    Ok(got.certificate)
}
