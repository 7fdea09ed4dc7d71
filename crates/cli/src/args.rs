//! The command line, from which help, man pages and completions are made.

pub(crate) mod examples;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::cmd;
use crate::options::Global;

/// SSH keys that live in the TPM.
///
/// They work here and nowhere else: no file holds them, and no command brings them out.
/// `tpmssh setup` goes through everything once.
#[derive(Debug, Parser)]
#[command(
    name = "tpmssh",
    version = env!("TPMSSH_VERSION"),
    arg_required_else_help = true,
    override_help = OVERVIEW,
    after_long_help = EXIT_CODES
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// The definitions, with the examples below each help page.
    pub(crate) fn with_examples() -> clap::Command {
        examples::added(Self::command())
    }

    /// Reads the arguments of this process.
    ///
    /// # Errors
    ///
    /// What clap has to say, which may be the help that was asked for.
    pub(crate) fn of_process() -> Result<Self, clap::Error> {
        let mut command = Self::command();
        let matches = match command.try_get_matches_from_mut(std::env::args_os()) {
            // Help is the only text with examples, so other commands start without them.
            Err(err) if is_help(err.kind()) => {
                Self::with_examples().try_get_matches_from(std::env::args_os())?
            }
            parsed => parsed?,
        };
        Self::from_arg_matches(&matches).map_err(|err| err.format(&mut command))
    }
}

fn is_help(kind: ErrorKind) -> bool {
    use ErrorKind::{DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand};
    matches!(kind, DisplayHelp | DisplayHelpOnMissingArgumentOrSubcommand)
}

/// The first page, in 24 lines of 80 columns.
const OVERVIEW: &str = "\
SSH keys that live in the TPM

Usage: tpmssh [OPTIONS] COMMAND

Start         setup       from a fresh machine to a key, once
              doctor      find problems and show how to fix them
Keys          keygen, list, export, rename, delete, import
              copy-id, ssh-config   let a key in on servers; for ~/.ssh/config
              token       make tokens (places for keys) and change their PINs
Agent         agent       serve the keys to ssh: agent install, status, log
              unlock      give the agent the PIN before it is needed
              lock        make the agent forget all PINs
Signing       sign, verify, git
Certificates  ca, cert    OpenSSH certificates and their authority; csr for TLS
Proof         prove, verify-proof, ek   a key was born in a TPM, and stays there
              enroll, renew   certificates for it, from tpmssh-ca
Servers       host        host keys of sshd
TPM           tpm, simulator   ownership, lockout, facts; a simulated TPM

Options: --token TOKEN  --tcti TCTI  --json  -h, --help  -V, --version
Help:    tpmssh help COMMAND    First: tpmssh setup
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 wrong PIN, 4 PIN locked,
  5 no TPM, 6 other TPM, 7 corrupt, 8 key refused, 9 unsafe path, 10 busy,
  11 disk, 12 not there
";

const EXIT_CODES: &str = "\
Exit codes:
  0 done, 1 failed, 2 wrong usage, 3 wrong PIN, 4 PIN locked, 5 no TPM or no answer from it,
  6 another or a cleared TPM, 7 store corrupt, 8 key refused, 9 unsafe path or mode, 10 busy, 11 disk,
  12 not there: no such token, key, certificate or authority";

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Setup(cmd::setup::Args),
    Doctor(cmd::doctor::Args),
    #[command(subcommand)]
    Tpm(cmd::tpm::Command),
    #[command(subcommand)]
    Token(cmd::token::Command),
    Keygen(cmd::keygen::Args),
    Import(cmd::import::Args),
    #[command(alias = "ls", visible_alias = "list-objects")]
    List(cmd::list::Args),
    Export(cmd::export::Args),
    Rename(cmd::rename::Args),
    Delete(cmd::delete::Args),
    CopyId(cmd::copy_id::Args),
    SshConfig(cmd::ssh_config::Args),
    #[command(subcommand)]
    Ca(cmd::ca::Command),
    #[command(subcommand)]
    Cert(cmd::cert::Command),
    Sign(cmd::sign::Args),
    Verify(cmd::verify::Args),
    Prove(cmd::prove::Args),
    VerifyProof(cmd::verify_proof::Args),
    Enroll(cmd::enroll::Args),
    Renew(cmd::renew::Args),
    #[command(subcommand)]
    Ek(cmd::ek::Command),
    #[command(subcommand)]
    Git(cmd::git::Command),
    #[command(subcommand)]
    Host(cmd::host::Command),
    Agent(cmd::agent::Args),
    Unlock(cmd::unlock::Args),
    Lock(cmd::lock::Args),
    Csr(cmd::csr::Args),
    #[command(subcommand)]
    Simulator(cmd::simulator::Command),
    #[command(hide = true)]
    Man(cmd::man::Args),
    #[command(hide = true)]
    Completions(cmd::completions::Args),
    #[command(hide = true)]
    Complete(cmd::complete::Args),
}

#[cfg(test)]
mod tests {
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

    /// A list of commands has one line for each, in 80 columns.
    #[test]
    fn the_first_line_of_each_help_page_is_short() {
        fn check(command: &clap::Command) {
            let about = command.get_about().map(ToString::to_string);
            let about = about.unwrap_or_default();
            let len = about.lines().next().unwrap_or_default().chars().count();
            let is_shown = !command.is_hide_set();
            assert!(
                !is_shown || len <= 60,
                "{}: {len}: {about}",
                command.get_name()
            );
            command.get_subcommands().for_each(check);
        }
        Cli::command().get_subcommands().for_each(check);
    }

    #[test]
    fn the_first_page_has_every_command_and_fits_a_terminal() {
        assert!(OVERVIEW.lines().count() <= 24);
        assert!(OVERVIEW.lines().all(|line| line.len() <= 80), "{OVERVIEW}");
        let words: Vec<_> = OVERVIEW.split([' ', ',', '\n']).collect();
        for command in Cli::command().get_subcommands() {
            let mut names =
                std::iter::once(command.get_name()).chain(command.get_visible_aliases());
            let is_shown = names.any(|name| words.contains(&name));
            assert!(command.is_hide_set() || is_shown, "{}", command.get_name());
        }
    }

    #[test]
    fn the_reference_of_the_guide_has_every_command() {
        fn check(command: &clap::Command, path: &str, reference: &str) {
            for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
                let path = format!("{path} {}", sub.get_name());
                let name = format!("`{}`", path.trim_start());
                // `agent` does something by itself, and has commands below it.
                if !sub.has_subcommands() || !sub.is_subcommand_required_set() {
                    assert!(reference.contains(&name), "{name}");
                }
                check(sub, &path, reference);
            }
        }
        let reference = include_str!("../../../docs/guide/reference.md");
        check(&Cli::command(), "", reference);
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
