//! Where the passwords of the TPM's hierarchies come from: never from the command line itself.

use std::path::PathBuf;

use crate::ask::pin_prompt::Source;

/// Where the password of the hierarchy that a command is about comes from.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct AuthArgs {
    /// Read the present password from the only line of FILE
    #[arg(long, value_name = "FILE", conflicts_with = "auth_fd")]
    auth_file: Option<PathBuf>,
    /// Read it from the next line of file descriptor FD
    #[arg(long, value_name = "FD")]
    auth_fd: Option<u32>,
}

impl AuthArgs {
    pub(crate) fn source(&self) -> Source {
        Source::from_options(self.auth_file.as_ref(), self.auth_fd)
    }
}

/// Where a password that is being chosen comes from.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct NewAuthArgs {
    /// Read the new password from the only line of FILE
    #[arg(long, value_name = "FILE", conflicts_with = "new_auth_fd")]
    new_auth_file: Option<PathBuf>,
    /// Read it from the next line of file descriptor FD
    #[arg(long, value_name = "FD")]
    new_auth_fd: Option<u32>,
}

impl NewAuthArgs {
    pub(crate) fn source(&self) -> Source {
        Source::from_options(self.new_auth_file.as_ref(), self.new_auth_fd)
    }
}

/// Where the owner hierarchy's password comes from, if there is one.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct OwnerAuthArgs {
    /// Read the password of the TPM's owner hierarchy from the only line of FILE
    #[arg(long, value_name = "FILE", conflicts_with = "owner_auth_fd")]
    owner_auth_file: Option<PathBuf>,
    /// Read it from the next line of file descriptor FD
    #[arg(long, value_name = "FD")]
    owner_auth_fd: Option<u32>,
}

impl OwnerAuthArgs {
    pub(crate) fn source(&self) -> Source {
        Source::from_options(self.owner_auth_file.as_ref(), self.owner_auth_fd)
    }
}

/// Where the endorsement hierarchy's password comes from, if there is one.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct EndorsementAuthArgs {
    /// Read the password of the TPM's endorsement hierarchy from the only line of FILE
    #[arg(long, value_name = "FILE", conflicts_with = "endorsement_auth_fd")]
    endorsement_auth_file: Option<PathBuf>,
    /// Read it from the next line of file descriptor FD
    #[arg(long, value_name = "FD")]
    endorsement_auth_fd: Option<u32>,
}

impl EndorsementAuthArgs {
    pub(crate) fn source(&self) -> Source {
        Source::from_options(
            self.endorsement_auth_file.as_ref(),
            self.endorsement_auth_fd,
        )
    }
}

/// Where the lockout hierarchy's password comes from, if there is one.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct LockoutAuthArgs {
    /// Read the password of the TPM's lockout hierarchy from the only line of FILE
    #[arg(long, value_name = "FILE", conflicts_with = "lockout_auth_fd")]
    lockout_auth_file: Option<PathBuf>,
    /// Read it from the next line of file descriptor FD
    #[arg(long, value_name = "FD")]
    lockout_auth_fd: Option<u32>,
}

impl LockoutAuthArgs {
    pub(crate) fn source(&self) -> Source {
        Source::from_options(self.lockout_auth_file.as_ref(), self.lockout_auth_fd)
    }
}
