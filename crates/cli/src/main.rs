//! `tpmssh`: SSH keys that live in the TPM.
//!
//! The program parses, calls a library and prints. Data go to stdout, everything else to
//! stderr; a failure is one `tpmssh: …` line with its causes, then at most one `hint:` line.
#![forbid(unsafe_code)]

mod app;
mod args;
mod ask;
mod certificates;
mod cmd;
mod complete;
mod enrolments;
mod fail;
mod files;
mod keys;
mod machine;
mod options;
mod proofs;
mod show;

use std::process::ExitCode;

use clap::CommandFactory;

use crate::app::App;
use crate::args::{Cli, Command};
use crate::fail::failure;
use crate::fail::usage::{self, Answer};
use crate::machine::harden;
use crate::show::output::{self, tell};
use crate::show::style;

fn main() -> ExitCode {
    harden::survive_file_limit();
    style::choose(style::asked_for(std::env::args_os()));
    let cli = match Cli::of_process() {
        Ok(cli) => cli,
        Err(err) => return not_understood(&err, output::json_asked_for(std::env::args_os())),
    };
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => failure::report(&err, cli.global.json),
    }
}

fn run(cli: &Cli) -> anyhow::Result<()> {
    let app = || App::new(&cli.global);
    match &cli.command {
        Command::Setup(args) => cmd::setup::run(&app()?.always_announcing(), args),
        Command::Doctor(args) => {
            cmd::doctor::run(&App::forgiving(&cli.global).always_announcing(), args)
        }
        Command::Tpm(command) => cmd::tpm::run(&app()?, command),
        Command::Token(command) => cmd::token::run(&app()?, command),
        Command::Keygen(args) => cmd::keygen::run(&app()?, args),
        Command::Import(args) => cmd::import::run(&app()?, args),
        Command::List(args) => cmd::list::run(&app()?, args),
        Command::Export(args) => cmd::export::run(&app()?, args),
        Command::Rename(args) => cmd::rename::run(&app()?, args),
        Command::Delete(args) => cmd::delete::run(&app()?, args),
        Command::CopyId(args) => cmd::copy_id::run(&app()?, args),
        Command::SshConfig(args) => cmd::ssh_config::run(&app()?, args),
        Command::Ca(command) => cmd::ca::run(&app()?, command),
        Command::Cert(command) => cmd::cert::run(&app()?, command),
        Command::Sign(args) => cmd::sign::run(&app()?, args),
        Command::Verify(args) => cmd::verify::run(&app()?, args),
        Command::Prove(args) => cmd::prove::run(&app()?, args),
        Command::VerifyProof(args) => cmd::verify_proof::run(&app()?, args),
        Command::Enroll(args) => cmd::enroll::run(&app()?, args),
        Command::Renew(args) => cmd::renew::run(&app()?, args),
        Command::Ek(command) => cmd::ek::run(&app()?, command),
        Command::Git(command) => cmd::git::run(&app()?, command),
        Command::Host(command) => cmd::host::run(&app()?, command),
        Command::Agent(args) => cmd::agent::run(&app()?.unattended(), args),
        Command::Unlock(args) => cmd::unlock::run(&app()?, args),
        Command::Lock(args) => cmd::lock::run(&app()?, args),
        Command::Csr(args) => cmd::csr::run(&app()?, args),
        Command::Simulator(command) => cmd::simulator::run(&app()?, command),
        Command::Man(args) => cmd::man::run(args, Cli::command()),
        Command::Completions(args) => cmd::completions::run(args),
        Command::Complete(args) => cmd::complete::run(args, Cli::command()),
    }
}

fn not_understood(err: &clap::Error, json: bool) -> ExitCode {
    let args: Vec<_> = std::env::args_os().collect();
    match usage::answer(err, &args) {
        Answer::Text(text) => match output::write(&text) {
            Ok(()) => ExitCode::SUCCESS,
            Err(err) => failure::report(&err.into(), json),
        },
        Answer::NoCommand(text) => {
            tell(text.trim_end());
            ExitCode::from(2)
        }
        Answer::Wrong { error, hint } => {
            failure::tell(&output::escape(&error), Some(&hint), 2, json);
            ExitCode::from(2)
        }
    }
}
