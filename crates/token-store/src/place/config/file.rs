//! The configuration file.

use std::path::PathBuf;

use super::{Agent, MAX_LEN};
use crate::{Error, Result, WallKind, config_dir, place::env};

/// The configuration file of a user: `~/.config/tpmssh/config.toml`.
///
/// ```toml
/// tcti = "swtpm:host=127.0.0.1,port=2321" # which TPM; default: device
/// simulated = true                        # that TPM protects nothing, and says so
/// token = "work laptop"                   # the token, if no other is named
/// pin-wall = "lockout"                    # of new tokens; default: counter
///
/// [agent]
/// pin = "8h"                              # how long a PIN is kept; see `tpmssh agent --help`
/// proxy = ["/run/user/1000/ssh-agent"]    # other agents, for keys that this one does not have
/// notify = true                           # show on the desktop when a key is used
/// log = true                              # keep a log of the uses of keys
/// sha1 = true                             # also sign with SHA-1, for old programs with RSA keys
///
/// [agent.pins]
/// "work laptop" = "never"                 # the same as `pin`, for one token
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Which TPM to use.
    pub tcti: Option<String>,
    /// Whether that TPM is a simulator.
    pub simulated: bool,
    /// The label or serial number of the default token.
    pub token: Option<String>,
    /// The default PIN wall of new tokens.
    pub pin_wall: Option<WallKind>,
    /// The section of the agent.
    pub agent: Agent,
}

impl Config {
    /// The path of the file: `$XDG_CONFIG_HOME/tpmssh/config.toml`, otherwise
    /// `~/.config/tpmssh/config.toml`.
    ///
    /// # Errors
    ///
    /// [`Error::UnsafePath`] if a variable is not an absolute path; [`Error::NoHome`].
    pub fn path() -> Result<PathBuf> {
        Ok(config_dir()?.join("tpmssh/config.toml"))
    }

    /// Reads the file. If there is none, all values are defaults.
    ///
    /// # Errors
    ///
    /// [`Error::UnsafePath`] if other users can write the file; [`Error::Config`] if it is not TOML
    /// or has unknown keys or values.
    pub fn load() -> Result<Self> {
        let path = match Self::path() {
            // A system service has no home directory, and so no configuration file.
            Err(Error::NoHome) => return Ok(Self::default()),
            path => path?,
        };
        match env::read_file(&path, MAX_LEN)? {
            Some(bytes) => Self::parse(&bytes).map_err(|why| Error::Config { path, why }),
            None => Ok(Self::default()),
        }
    }

    /// The only token that a PKCS#11 program or a client of the agent sees: `$TPMSSH_TOKEN`, otherwise
    /// this file's `token`; `None` for all.
    #[must_use]
    pub fn shown_token(&self) -> Option<String> {
        let given = env::text("TPMSSH_TOKEN").map(|text| text.to_string_lossy().into_owned());
        given.or_else(|| self.token.clone())
    }
}
