//! `tpmssh ca`: a certificate authority whose key is in the TPM.

mod challenge;
mod init;
mod krl;
mod list;
mod public_key;
mod renew;
mod revoke;
mod sign;
mod target;
mod unrevoke;

use crate::app::App;

/// Sign SSH certificates with a key that is in the TPM
///
/// A server that trusts an authority lets in whom it certifies, without authorized_keys; a client
/// that trusts one believes the hosts that it certifies, without asking.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Init(init::Args),
    PublicKey(public_key::Args),
    Challenge(challenge::Args),
    SignUser(sign::UserArgs),
    SignHost(sign::HostArgs),
    Renew(renew::Args),
    List(list::Args),
    Revoke(revoke::Args),
    Unrevoke(unrevoke::Args),
    Krl(krl::WriteArgs),
    ReadKrl(krl::ReadArgs),
}

pub(crate) fn run(app: &App, command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Init(args) => init::run(app, args),
        Command::PublicKey(args) => public_key::run(app, args),
        Command::Challenge(args) => challenge::run(app, args),
        Command::SignUser(args) => sign::user(app, args),
        Command::SignHost(args) => sign::host(app, args),
        Command::Renew(args) => renew::run(app, args),
        Command::List(args) => list::run(app, args),
        Command::Revoke(args) => revoke::run(app, args),
        Command::Unrevoke(args) => unrevoke::run(app, args),
        Command::Krl(args) => krl::write(app, args),
        Command::ReadKrl(args) => krl::read(app, args),
    }
}
