//! `tpmssh host check`: does the server have the host keys of the TPM?

use std::fmt;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use serde::Serialize;
use ssh_format::text::shown;
use ssh_format::{AnyKey, MAX_LINE_LEN};
use token_store::{Store, StoreDir};

use super::exchange::{self, Refusal};
use super::place::MachineArgs;
use super::server_keys::{self, FileKey};
use crate::app::App;
use crate::fail::error::HostError;
use crate::fail::host_key::NotProven;
use crate::files::input_file;
use crate::keys::Key;
use crate::keys::signing::{self, SigningKey};
use crate::show::output::{escape, tell};

/// Have the SSH server prove each of its host keys in the TPM
///
/// The server has to sign an exchange of keys, and the connection ends there: nobody logs in, and
/// no attempt is counted as a failed login. Without --address it is the server of this machine.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    machine: MachineArgs,

    #[command(flatten)]
    server: ServerArgs,
}

/// The server to check.
#[derive(Debug, clap::Args)]
pub(super) struct ServerArgs {
    /// The server's address
    #[arg(long, default_value = "127.0.0.1")]
    address: String,

    /// The server's port
    #[arg(long, short, default_value_t = 22)]
    port: u16,
}

impl ServerArgs {
    pub(super) fn new(address: &str, port: u16) -> Self {
        let address = address.to_owned();
        Self { address, port }
    }
}

/// The time between two checks. sshd penalizes a connection that ends without a login by one second
/// (`PerSourcePenalties`, `noauth`); at this pace the penalties do not add up.
const PACE: Duration = Duration::from_millis(1100);

/// How long the agent may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    check(app, &args.machine, &args.server)
}

/// Has the server prove each host key of the store that was set up for it.
pub(super) fn check(app: &App, machine: &MachineArgs, server: &ServerArgs) -> anyhow::Result<()> {
    let store = match Store::open(&StoreDir::at(&machine.store)?) {
        Err(token_store::Error::NoStore { .. }) => return Err(HostError::NoHostKeySetUp.into()),
        store => store?,
    };
    let keys = signing::all(app, &store)?;
    let (keys, unused): (Vec<_>, Vec<_>) =
        keys.into_iter().partition(|key| is_set_up(machine, key));
    for key in &unused {
        tell(&format!(
            "tpmssh: host key \"{}\" ({}) is not set up for sshd",
            shown(&key.label),
            key.shown.key_type
        ));
    }
    if keys.is_empty() {
        return Err(HostError::NoHostKeySetUp.into());
    }
    for (index, key) in keys.iter().enumerate() {
        if index > 0 {
            thread::sleep(PACE);
        }
        prove(key, machine, server)?;
    }
    app.out.print(&Report {
        at: format!("{}:{}", server.address, server.port),
        proven: keys.into_iter().map(|key| key.shown).collect(),
    })
}

/// Whether the file that sshd reads has this key.
pub(super) fn is_set_up(machine: &MachineArgs, key: &SigningKey) -> bool {
    let path = machine.public(key.key.key_type());
    read_public(&path).is_some_and(|public| public == key.public)
}

fn read_public(path: &Path) -> Option<AnyKey> {
    let text = input_file::read_text(path, MAX_LINE_LEN + 2).ok()?;
    AnyKey::from_line(text.trim_end()).ok().map(|(key, _)| key)
}

fn prove(key: &SigningKey, machine: &MachineArgs, server: &ServerArgs) -> anyhow::Result<()> {
    let Err(refusal) = exchange::prove(&server.address, server.port, &key.public)? else {
        return Ok(());
    };
    Err(HostError::HostKeyNotProven {
        at: format!("{}:{}", server.address, server.port),
        label: shown(&key.label),
        why: why(refusal, key, machine, server),
    }
    .into())
}

/// The cause, by what `ssh` says and by what can be seen on this machine.
fn why(
    refusal: Refusal,
    key: &SigningKey,
    machine: &MachineArgs,
    server: &ServerArgs,
) -> NotProven {
    let said = match refusal {
        Refusal::Cause(cause) => return cause,
        Refusal::Said(said) => said,
    };
    if said.contains("Not allowed at this time") {
        return NotProven::ShutOut;
    }
    // An error of ssh about its options, before it connects.
    if let Some(line) = said.lines().find(|line| line.starts_with("command-line")) {
        return NotProven::OldClient(escape(line));
    }
    let same = |file: &FileKey| file.has_algorithm(key.public.algorithm());
    let rivals = || server_keys::listed(machine).into_iter().filter(same);
    if said.contains("incorrect signature") || said.contains("key bits do not match") {
        let file = rivals().next().map(|file| file.path);
        return NotProven::SignedByOther { file };
    }
    if server.address == "127.0.0.1"
        && let Some(cause) = no_agent(machine, key)
    {
        return cause;
    }
    if let Some((_, offer)) = said.split_once("Their offer: ") {
        let offer = escape(offer.lines().next().unwrap_or_default());
        return NotProven::NotOffered { offer };
    }
    if said.contains("Host key verification failed") {
        let fingerprint = said
            .split_whitespace()
            .find(|word| word.starts_with("SHA256:"))
            .map(|word| escape(word.trim_end_matches('.')));
        if let Some(fingerprint) = fingerprint {
            let file = rivals().find(|file| is_of(file, &fingerprint));
            let file = file.map(|file| file.path);
            return NotProven::OtherKey { fingerprint, file };
        }
    }
    let last = said.lines().map(str::trim).rfind(|line| !line.is_empty());
    NotProven::Said(escape(last.unwrap_or("ssh says nothing")))
}

fn is_of(file: &FileKey, fingerprint: &str) -> bool {
    let public = file.public.as_ref();
    public.is_some_and(|public| public.fingerprint().to_string() == fingerprint)
}

/// What is wrong with the agent that signs for sshd; none if it has the key.
fn no_agent(machine: &MachineArgs, key: &SigningKey) -> Option<NotProven> {
    let socket = PathBuf::from(&machine.socket);
    match identities(&socket) {
        Err(_) => Some(NotProven::NoAgent { socket }),
        Ok(list) => {
            let blob = key.public.blob();
            let has = list.windows(blob.len()).any(|part| part == blob);
            (!has).then_some(NotProven::OtherAgent { socket })
        }
    }
}

/// The unparsed list of keys of an agent. The caller only looks for a key in it.
///
/// # Source
///
/// draft-ietf-sshm-ssh-agent section 3.5.
fn identities(socket: &Path) -> std::io::Result<Vec<u8>> {
    const REQUEST: [u8; 5] = [0, 0, 0, 1, 11];
    let mut agent = UnixStream::connect(socket)?;
    agent.set_read_timeout(Some(PATIENCE))?;
    agent.write_all(&REQUEST)?;
    let mut length = [0; 4];
    agent.read_exact(&mut length)?;
    let mut list = Vec::new();
    agent
        .take(u32::from_be_bytes(length).into())
        .read_to_end(&mut list)?;
    Ok(list)
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
