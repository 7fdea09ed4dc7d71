//! Options that several commands share. They import no command.

mod ek_type;
mod key_type;
mod secret;
mod so_pin_out;

use std::path::PathBuf;

use clap::ArgAction;

use crate::show::style::When;

pub(crate) use ek_type::EkTypeArg;
pub(crate) use key_type::KeyTypeArgs;
pub(crate) use secret::{
    AuthArgs, EndorsementAuthArgs, LockoutAuthArgs, NewAuthArgs, NewPinArgs, NewSoPinArgs,
    OwnerAuthArgs, PassphraseArgs, PinArgs, SoPinArgs, UserPinArgs,
};
pub(crate) use so_pin_out::SoPinOutArgs;

/// Options that every command takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Global {
    /// Use the token with this label or serial number
    #[arg(
        long,
        global = true,
        value_name = "TOKEN",
        help_heading = "Global options",
        display_order = 901
    )]
    pub(crate) token: Option<String>,

    /// Print data, and errors, as JSON
    #[arg(
        long,
        global = true,
        action = ArgAction::SetTrue,
        help_heading = "Global options",
        display_order = 902
    )]
    pub(crate) json: bool,

    /// When to use colours: auto (on a terminal), always or never
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        hide_default_value = true,
        hide_possible_values = true,
        help_heading = "Global options",
        display_order = 903
    )]
    pub(crate) color: When,

    /// The TPM: device:/dev/tpmrm0, tabrmd: or swtpm:host=127.0.0.1,port=2321
    #[arg(
        long,
        global = true,
        value_name = "TCTI",
        help_heading = "Global options",
        display_order = 904
    )]
    pub(crate) tcti: Option<String>,
}

/// Which token a command is about.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct TokenArg {
    /// The token, by label or serial number (the default token)
    #[arg(id = "token_name", value_name = "TOKEN")]
    pub(crate) name: Option<String>,
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
            // As ssh-agent takes it. The agent itself works in another directory.
            Some(path) => Ok(std::path::absolute(path).unwrap_or_else(|_| path.clone())),
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
