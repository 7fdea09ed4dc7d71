//! The command line, from which help, man pages and completions are made.

mod auth;

use std::path::PathBuf;

use clap::{ArgAction, Parser, Subcommand};

use crate::ask::pin_prompt::Source;
use crate::cmd;

pub(crate) use auth::{AuthArgs, EndorsementAuthArgs, LockoutAuthArgs, NewAuthArgs, OwnerAuthArgs};

/// SSH keys that live in the TPM.
///
/// They work here and nowhere else: no file holds them, and no command brings them out.
/// `tpmssh setup` goes through everything once.
#[derive(Debug, Parser)]
#[command(
    name = "tpmssh",
    version,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_long_help = EXIT_CODES
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0 done, 1 failed, 2 wrong usage, 3 wrong PIN, 4 PIN locked, 5 no TPM or no answer from it,
  6 another or a cleared TPM, 7 store corrupt, 8 key refused, 9 unsafe path or mode, 10 busy, 11 disk";

/// Options that every command takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Global {
    /// Where the TPM is: device:/dev/tpmrm0, tabrmd: or swtpm:host=127.0.0.1,port=2321
    ///
    /// Otherwise it is where the variable TPMSSH_TCTI or the configuration file says, and
    /// /dev/tpmrm0 without either.
    #[arg(
        long,
        global = true,
        value_name = "TCTI",
        help_heading = "Global options"
    )]
    pub(crate) tcti: Option<String>,

    /// The token that is meant, by label or serial number
    #[arg(
        long,
        global = true,
        value_name = "TOKEN",
        help_heading = "Global options"
    )]
    pub(crate) token: Option<String>,

    /// Print data as JSON
    #[arg(long, global = true, action = ArgAction::SetTrue, help_heading = "Global options")]
    pub(crate) json: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Setup(cmd::setup::Args),
    Doctor(cmd::doctor::Args),
    #[command(subcommand)]
    Tpm(Tpm),
    #[command(subcommand)]
    Token(Token),
    Keygen(cmd::keygen::Args),
    ListObjects(cmd::list_objects::Args),
    Export(cmd::export::Args),
    Delete(cmd::delete::Args),
    #[command(subcommand)]
    Ca(cmd::ca::Command),
    #[command(subcommand)]
    Cert(cmd::cert::Command),
    Sign(cmd::sign::Args),
    Verify(cmd::verify::Args),
    #[command(subcommand)]
    Git(cmd::git::Command),
    #[command(subcommand)]
    Host(cmd::host::Command),
    Agent(cmd::agent::Args),
    Unlock(cmd::unlock::Args),
    Lock(cmd::lock::Args),
    Csr(cmd::csr::Args),
    #[command(subcommand)]
    Simulator(Simulator),
    #[command(hide = true)]
    Man(cmd::man::Args),
    #[command(hide = true)]
    Completions(cmd::completions::Args),
}

/// Look at the TPM, and bring it into shape.
#[derive(Debug, Subcommand)]
pub(crate) enum Tpm {
    Info(cmd::tpm::info::Args),
    Selftest(cmd::tpm::selftest::Args),
    TakeOwnership(cmd::tpm::take_ownership::Args),
    ChangeAuth(cmd::tpm::change_auth::Args),
    Clear(cmd::tpm::clear::Args),
    CreateEk(cmd::tpm::create_ek::Args),
    #[command(subcommand)]
    Lockout(cmd::tpm::lockout::Command),
    Random(cmd::tpm::random::Args),
}

/// Make tokens and care for their PINs.
#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    Init(cmd::token::init::Args),
    List(cmd::token::list::Args),
    ChangePin(cmd::token::change_pin::Args),
    ResetPin(cmd::token::reset_pin::Args),
    ChangeSoPin(cmd::token::change_so_pin::Args),
    Info(cmd::token::info::Args),
    Rename(cmd::token::rename::Args),
    Repair(cmd::token::repair::Args),
    RemoveCounter(cmd::token::remove_counter::Args),
    Delete(cmd::token::delete::Args),
}

/// Run a simulated TPM, to try things out without a real one.
///
/// A simulated TPM is a program (swtpm) that keeps its secrets in files: it protects nothing.
#[derive(Debug, Subcommand)]
pub(crate) enum Simulator {
    Start(cmd::simulator::StartArgs),
    Stop(cmd::simulator::StopArgs),
    Status(cmd::simulator::StatusArgs),
}

/// Where the agent is.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct SocketArgs {
    /// The agent's socket; $XDG_RUNTIME_DIR/tpmssh/agent.sock unless given
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
}

impl SocketArgs {
    /// The socket.
    ///
    /// # Errors
    ///
    /// If none is named and there is no usual place.
    pub(crate) fn path(&self) -> agent::Result<PathBuf> {
        match &self.socket {
            Some(path) => Ok(path.clone()),
            None => agent::Socket::default_path(),
        }
    }

    /// Whether one is named.
    pub(crate) fn is_given(&self) -> bool {
        self.socket.is_some()
    }
}

/// Where the user PIN comes from.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct PinArgs {
    /// Read the PIN from the only line of FILE, which nobody else may be able to read
    #[arg(long, value_name = "FILE", conflicts_with = "pin_fd")]
    pin_file: Option<PathBuf>,
    /// Read the PIN from the next line of file descriptor FD
    #[arg(long, value_name = "FD")]
    pin_fd: Option<u32>,
}

impl PinArgs {
    pub(crate) fn source(&self) -> Source {
        Source::from_options(self.pin_file.as_ref(), self.pin_fd)
    }
}

/// Where a user PIN that is being chosen comes from.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct NewPinArgs {
    /// Read the new PIN from the only line of FILE, which nobody else may be able to read
    #[arg(long, value_name = "FILE", conflicts_with = "new_pin_fd")]
    new_pin_file: Option<PathBuf>,
    /// Read the new PIN from the next line of file descriptor FD
    #[arg(long, value_name = "FD")]
    new_pin_fd: Option<u32>,
}

impl NewPinArgs {
    pub(crate) fn source(&self) -> Source {
        Source::from_options(self.new_pin_file.as_ref(), self.new_pin_fd)
    }
}

/// Where the SO PIN comes from.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct SoPinArgs {
    /// Read the SO PIN from the only line of FILE, which nobody else may be able to read
    #[arg(long, value_name = "FILE", conflicts_with = "so_pin_fd")]
    so_pin_file: Option<PathBuf>,
    /// Read the SO PIN from the next line of file descriptor FD
    #[arg(long, value_name = "FD")]
    so_pin_fd: Option<u32>,
}

impl SoPinArgs {
    pub(crate) fn source(&self) -> Source {
        Source::from_options(self.so_pin_file.as_ref(), self.so_pin_fd)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definitions_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_and_option_says_what_it_is() {
        fn check(command: &clap::Command, path: &str) {
            let path = format!("{path} {}", command.get_name());
            assert!(command.get_about().is_some(), "{path} has no help");
            for arg in command.get_arguments() {
                assert!(
                    arg.get_help().is_some(),
                    "{path}: {} has no help",
                    arg.get_id()
                );
            }
            for sub in command.get_subcommands() {
                check(sub, &path);
            }
        }
        check(&Cli::command(), "");
    }

    #[test]
    fn no_option_takes_a_pin_itself() {
        for secret in [
            "--pin",
            "--so-pin",
            "--new-pin",
            "--owner-auth",
            "--lockout-auth",
        ] {
            let line = ["tpmssh", "token", "init", secret, "123456"];
            assert!(Cli::try_parse_from(line).is_err(), "{secret}");
        }
    }
}
