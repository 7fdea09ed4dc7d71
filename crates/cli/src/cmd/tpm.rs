//! `tpmssh tpm`: the chip itself.

mod change_auth;
mod clear;
mod create_ek;
mod info;
mod lockout;
mod pin_srk;
mod random;
mod selftest;
mod take_ownership;

use crate::app::App;

/// Look at the TPM, and bring it into shape.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Info(info::Args),
    Selftest(selftest::Args),
    TakeOwnership(take_ownership::Args),
    ChangeAuth(change_auth::Args),
    Clear(clear::Args),
    CreateEk(create_ek::Args),
    #[command(subcommand)]
    Lockout(lockout::Command),
    PinSrk(pin_srk::Args),
    Random(random::Args),
}

pub(crate) fn run(app: &App, command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Info(args) => info::run(app, args),
        Command::Selftest(args) => selftest::run(app, args),
        Command::TakeOwnership(args) => take_ownership::run(app, args),
        Command::ChangeAuth(args) => change_auth::run(app, args),
        Command::Clear(args) => clear::run(app, args),
        Command::CreateEk(args) => create_ek::run(app, args),
        Command::Lockout(command) => lockout::run(app, command),
        Command::PinSrk(args) => pin_srk::run(app, args),
        Command::Random(args) => random::run(app, args),
    }
}
