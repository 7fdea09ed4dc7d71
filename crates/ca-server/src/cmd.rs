//! The command line.

mod admin;
mod ca;
mod database;
mod dir;
mod expected;
mod init;
mod join_token;
mod notify;
mod pages;
mod registry;
mod restored;
mod serve;
mod tickets;
mod tls;

use std::io::{self, ErrorKind, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use serde_json::Value;
use ssh_format::text::error_line;

/// An authority that issues SSH certificates for keys that are proven to be in a TPM
///
/// A machine proves that its TPM made its key and that the key cannot leave it (tpmssh prove). tpmssh-ca certifies the key for some
/// hours, and refuses it from the moment on that the machine is revoked.
#[derive(Debug, Parser)]
#[command(name = "tpmssh-ca", version, propagate_version = true)]
struct Program {
    /// The directory with the policy, the registry and the audit log
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        default_value = "/var/lib/tpmssh-ca",
        env = "TPMSSH_CA_DIR"
    )]
    dir: PathBuf,

    /// Print JSON
    #[arg(long, global = true)]
    json: bool,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(Box<init::Args>),
    /// Run the node, until SIGTERM or SIGINT
    Serve,
    /// Check the policy
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Let machines and people in
    #[command(subcommand)]
    JoinToken(join_token::JoinTokenCommand),
    /// See, approve, revoke and expect machines
    #[command(subcommand)]
    Device(admin::DeviceCommand),
    /// The list of revoked keys
    #[command(subcommand)]
    Krl(admin::KrlCommand),
    /// The authority's own keys: publish and retire them
    #[command(subcommand)]
    Ca(ca::CaCommand),
    /// The TLS certificate of a node that makes its own
    #[command(subcommand)]
    Tls(tls::TlsCommand),
    /// The registry: after a restore, and in PostgreSQL for several nodes
    #[command(subcommand)]
    Database(database::DatabaseCommand),
    /// The audit log
    #[command(subcommand)]
    Audit(AuditCommand),
    #[command(hide = true)]
    Man(pages::ManArgs),
    #[command(hide = true)]
    Completions(pages::CompletionArgs),
}

#[derive(Debug, Subcommand)]
enum PolicyCommand {
    /// Check policy.toml without a running node
    Check,
    /// Have the running node read policy.toml anew
    ///
    /// The node also reads the files of TLS and ticket-keys. If anything is wrong, all stays as it is.
    Reload,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// Check that no line was changed, removed or inserted
    Verify,
}

/// Where the commands print.
struct Out {
    json: bool,
}

impl Out {
    /// Prints what was done: `value` with `--json`, else the text.
    fn done(&self, value: &Value, text: &str) -> anyhow::Result<()> {
        let line = if self.json {
            format!("{value}\n")
        } else {
            text.to_owned()
        };
        match io::stdout().write_all(line.as_bytes()) {
            // The reader has closed the pipe and wants no more output.
            Err(err) if err.kind() == ErrorKind::BrokenPipe => Ok(()),
            other => Ok(other?),
        }
    }
}

/// Rows in columns, each as wide as its widest cell.
fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut shown = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths);
        let line: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        shown += line.join("  ").trim_end();
        shown.push('\n');
    }
    shown
}

/// Runs the program with the arguments of this process. The exit code is 0 for success, 1 for a failure and 2 for wrong usage.
#[must_use]
pub fn main() -> ExitCode {
    let program = Program::parse();
    match run(program) {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            eprintln!("tpmssh-ca: {}", error_line(err.as_ref()));
            ExitCode::FAILURE
        }
    }
}

fn run(program: Program) -> anyhow::Result<()> {
    let (dir, out) = (dir::Dir::new(program.dir), Out { json: program.json });
    match program.command {
        Command::Init(args) => init::run(&dir, &args, &out),
        Command::Serve => serve::run(&dir),
        Command::Policy(PolicyCommand::Check) => serve::check(&dir, &out),
        Command::Policy(PolicyCommand::Reload) => admin::reload(&dir, &out),
        Command::JoinToken(command) => join_token::run(&dir, &command, &out),
        Command::Device(command) => admin::device(&dir, &command, &out),
        Command::Krl(command) => admin::krl(&dir, &command, &out),
        Command::Ca(command) => ca::run(&dir, &command, &out),
        Command::Tls(command) => tls::run(&dir, &command, &out),
        Command::Database(command) => database::run(&dir, &command, &out),
        Command::Audit(AuditCommand::Verify) => serve::verify(&dir, &out),
        Command::Man(args) => pages::man(&args, Program::command()),
        Command::Completions(args) => pages::completions(&args, Program::command()),
    }
}
