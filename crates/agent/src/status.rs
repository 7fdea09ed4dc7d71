//! What an agent says of itself to `tpmssh agent status` and `tpmssh doctor`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The state of a running agent, in one JSON object on the wire.
///
/// Fields that an older agent does not send have their defaults.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Status {
    /// The version of the agent's package.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Whether the file of its program was replaced or removed after it had started, as an upgrade does.
    pub replaced: bool,
    /// Whether systemd made its socket.
    pub activated: bool,
    /// The TPM, as `--tcti` names it.
    pub tcti: String,
    /// The directory of the store.
    pub store: PathBuf,
    /// Whether it is locked (`ssh-add -x`). A locked agent names no tokens.
    pub locked: bool,
    /// The only token that it serves, by label or serial number; all tokens without one.
    pub only_token: Option<String>,
    /// Why the store cannot be read.
    pub store_error: Option<String>,
    /// The tokens that it serves.
    pub tokens: Vec<TokenStatus>,
    /// The program by which it asks a person; nobody is asked without one.
    pub asks_with: Option<PathBuf>,
    /// The other agents that it asks.
    pub proxies: Vec<Proxy>,
    /// The audit log.
    pub log: Option<PathBuf>,
}

/// A token that an agent serves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct TokenStatus {
    /// Its label, which may hold any characters.
    pub label: String,
    /// Its serial number.
    pub serial: String,
    /// How many keys of it are offered to servers.
    pub keys: usize,
    /// How many of its keys are of authorities, which are not offered.
    pub authorities: usize,
    /// Whether it has a PIN.
    pub has_pin: bool,
    /// Whether the PIN was given and is still good.
    pub open: bool,
    /// For how many more seconds it is; until the agent is locked or ends if that is not set.
    pub seconds_left: Option<u64>,
    /// How long a PIN is kept: `never`, `until-locked`, `confirm`, or seconds such as `90s`.
    pub policy: String,
}

/// Another agent that an agent asks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Proxy {
    /// Its socket.
    pub socket: PathBuf,
    /// Whether something listens there.
    pub reachable: bool,
}
