//! The configuration file, and the choice of the TPM. [`Config`] reads both.

use std::{collections::BTreeMap, path::PathBuf};

mod choice;
mod edit;
pub(crate) mod file;
mod parse;

pub use choice::{Choice, Source};
use file::Config;

/// The longest configuration file that is read, in bytes.
const MAX_LEN: usize = 64 * 1024;

/// The section `[agent]`. The agent interprets the values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Agent {
    /// How long the agent keeps a PIN.
    pub pin: Option<String>,
    /// The same for one token, by label or serial number.
    pub pins: BTreeMap<String, String>,
    /// The sockets of other agents.
    pub proxy: Vec<PathBuf>,
    /// Whether the desktop shows when a key is used.
    pub notify: Option<bool>,
    /// Whether the agent keeps a log of the uses of keys.
    pub log: Option<bool>,
    /// Whether RSA keys also make signatures with SHA-1.
    pub sha1: Option<bool>,
}
