//! Options that several commands share. They import no command.

mod key_type;
mod secret;

use std::path::PathBuf;

use clap::ArgAction;

pub(crate) use key_type::KeyTypeArgs;
pub(crate) use secret::{
    AuthArgs, EndorsementAuthArgs, LockoutAuthArgs, NewAuthArgs, NewPinArgs, NewSoPinArgs,
    OwnerAuthArgs, PinArgs, SoPinArgs, UserPinArgs,
};

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

/// Which authority is meant.
#[derive(Debug, clap::Args)]
pub(crate) struct AuthorityArgs {
    /// The authority's key, by label, id or fingerprint (the only authority)
    #[arg(long, value_name = "KEY")]
    pub(crate) ca: Option<String>,
}
