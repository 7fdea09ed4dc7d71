//! `tpmssh token`: tokens and their PINs.

mod change_pin;
mod change_so_pin;
mod delete;
mod info;
mod init;
mod list;
mod remove_counter;
mod rename;
mod repair;
mod reset_pin;

use crate::app::App;

/// Make tokens and care for their PINs.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Init(init::Args),
    List(list::Args),
    ChangePin(change_pin::Args),
    ResetPin(reset_pin::Args),
    ChangeSoPin(change_so_pin::Args),
    Info(info::Args),
    Rename(rename::Args),
    Repair(repair::Args),
    RemoveCounter(remove_counter::Args),
    Delete(delete::Args),
}

pub(crate) fn run(app: &App, command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Init(args) => init::run(app, args),
        Command::List(args) => list::run(app, args),
        Command::ChangePin(args) => change_pin::run(app, args),
        Command::ResetPin(args) => reset_pin::run(app, args),
        Command::ChangeSoPin(args) => change_so_pin::run(app, args),
        Command::Info(args) => info::run(app, args),
        Command::Rename(args) => rename::run(app, args),
        Command::Repair(args) => repair::run(app, args),
        Command::RemoveCounter(args) => remove_counter::run(app, args),
        Command::Delete(args) => delete::run(app, args),
    }
}
