//! Where PINs and passwords come from: a file, a descriptor or a person, never the command line
//! itself.

use std::path::PathBuf;

use crate::ask::pin_prompt::Source;

/// Defines the pair of options `--x-file FILE` and `--x-fd FD` for one secret.
macro_rules! secret_args {
    ($(#[$doc:meta])* $name:ident, $file:ident, $fd:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Default, clap::Args)]
        pub(crate) struct $name {
            #[arg(
                long,
                value_name = "FILE",
                conflicts_with = stringify!($fd),
                help = concat!("Read the ", $what, " from FILE (one line, mode 0600)")
            )]
            $file: Option<PathBuf>,
            #[arg(
                long,
                value_name = "FD",
                help = concat!("Read the ", $what, " from the next line of file descriptor FD")
            )]
            $fd: Option<u32>,
        }

        impl $name {
            pub(crate) fn source(&self) -> Source {
                Source::from_options(self.$file.as_ref(), self.$fd)
            }
        }
    };
}

secret_args! {
    /// Where the user PIN comes from.
    PinArgs, pin_file, pin_fd, "PIN"
}

/// Where the PIN of a token in use comes from, and whether its last try may be spent.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct UserPinArgs {
    #[command(flatten)]
    pin: PinArgs,

    /// Use the PIN even if only one try is left
    #[arg(long, short)]
    yes: bool,
}

impl UserPinArgs {
    pub(crate) fn source(&self) -> Source {
        self.pin.source()
    }

    /// Whether questions are answered with yes, such as whether to spend the last try.
    pub(crate) fn answers_yes(&self) -> bool {
        self.yes
    }
}

secret_args! {
    /// Where the passphrase of a private key file comes from.
    PassphraseArgs, passphrase_file, passphrase_fd, "passphrase of the private key"
}

secret_args! {
    /// Where a user PIN that is being chosen comes from.
    NewPinArgs, new_pin_file, new_pin_fd, "new PIN"
}

secret_args! {
    /// Where the SO PIN comes from.
    SoPinArgs, so_pin_file, so_pin_fd, "recovery code (SO PIN)"
}

secret_args! {
    /// Where an SO PIN that is being chosen comes from.
    NewSoPinArgs, new_so_pin_file, new_so_pin_fd, "new recovery code (SO PIN)"
}

secret_args! {
    /// Where the password of the hierarchy that a command is about comes from.
    AuthArgs, auth_file, auth_fd, "present password"
}

secret_args! {
    /// Where a password that is being chosen comes from.
    NewAuthArgs, new_auth_file, new_auth_fd, "new password"
}

secret_args! {
    /// Where the owner hierarchy's password comes from, if there is one.
    OwnerAuthArgs, owner_auth_file, owner_auth_fd, "password of the TPM's owner hierarchy"
}

secret_args! {
    /// Where the endorsement hierarchy's password comes from, if there is one.
    EndorsementAuthArgs, endorsement_auth_file, endorsement_auth_fd,
    "password of the TPM's endorsement hierarchy"
}

secret_args! {
    /// Where the lockout hierarchy's password comes from, if there is one.
    LockoutAuthArgs, lockout_auth_file, lockout_auth_fd,
    "password of the TPM's lockout hierarchy"
}
