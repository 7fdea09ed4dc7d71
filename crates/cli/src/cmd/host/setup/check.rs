//! `tpmssh host setup --check`: does the server have the host keys of the TPM?

use std::fmt;
use std::io;
use std::path::Path;
use std::process::Command;

use anyhow::Context;
use serde::Serialize;
use ssh_format::text::shown;
use token_store::{Store, StoreDir};

use crate::app::App;
use crate::fail::error::Error;
use crate::keys::Key;
use crate::keys::signing::{self, SigningKey};
use crate::show::output::escape;

/// Which server is to be looked at.
#[derive(Debug, clap::Args)]
pub(super) struct ServerArgs {
    /// The server's address, for --check
    #[arg(long, default_value = "127.0.0.1", requires = "check")]
    address: String,

    /// The server's port, for --check
    #[arg(long, short, default_value_t = 22, requires = "check")]
    port: u16,
}

/// Has the server prove each host key of the store in `dir`.
///
/// Nobody logs in: the server has to sign the exchange of keys with its host key, and that is all.
pub(super) fn run(app: &App, dir: &Path, args: &ServerArgs) -> anyhow::Result<()> {
    let store = Store::open(&StoreDir::at(dir)?)?;
    let keys = signing::all(app, &store)?;
    if keys.is_empty() {
        return Err(Error::NoKey.into());
    }
    for key in &keys {
        prove(key, args)?;
    }
    app.out.print(&Report {
        at: format!("{}:{}", args.address, args.port),
        proven: keys.into_iter().map(|key| key.shown).collect(),
    })
}

/// Has `ssh` do the exchange of keys, trusting `key` alone.
fn prove(key: &SigningKey, args: &ServerArgs) -> anyhow::Result<()> {
    let algorithms = match key.public.algorithm() {
        "ssh-rsa" => "rsa-sha2-512,rsa-sha2-256",
        algorithm => algorithm,
    };
    let mut ssh = Command::new("ssh");
    ssh.args(["-F", "/dev/null", "-T", "-p", &args.port.to_string()]);
    for option in [
        // Prints a line of known_hosts that is for any host; no file needs to be written.
        format!("KnownHostsCommand=/bin/echo * {}", key.public.line("")),
        format!("HostKeyAlgorithms={algorithms}"),
        "UserKnownHostsFile=/dev/null".into(),
        "GlobalKnownHostsFile=/dev/null".into(),
        "StrictHostKeyChecking=yes".into(),
        "UpdateHostKeys=no".into(),
        "PreferredAuthentications=none".into(),
        "BatchMode=yes".into(),
        "ConnectTimeout=10".into(),
        "LogLevel=INFO".into(),
    ] {
        ssh.args(["-o", &option]);
    }
    ssh.args(["-l", "tpmssh-check", "--", &args.address, "true"]);
    ssh.env("LC_ALL", "C").stdin(std::process::Stdio::null());
    let output = match ssh.output() {
        Err(err) if err.kind() == io::ErrorKind::NotFound => {
            return Err(err).context("ssh is not installed");
        }
        output => output.context("cannot run ssh")?,
    };
    let said = String::from_utf8_lossy(&output.stderr);
    // Only after the exchange does the server say whom it lets in, and how.
    if output.status.success() || said.contains("Permission denied (") {
        return Ok(());
    }
    let last = said.lines().map(str::trim).rfind(|line| !line.is_empty());
    Err(Error::HostKeyNotProven {
        at: format!("{}:{}", args.address, args.port),
        label: shown(&key.label),
        why: escape(last.unwrap_or("ssh says nothing")),
    }
    .into())
}

#[derive(Debug, Serialize)]
struct Report {
    at: String,
    proven: Vec<Key>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for key in &self.proven {
            writeln!(f, "{} proves {} {}", self.at, key.key_type, key.fingerprint)?;
        }
        Ok(())
    }
}
