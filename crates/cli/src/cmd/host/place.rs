//! Where the host keys of the TPM, and the files that name them, are on this machine.

use std::path::{Path, PathBuf};

use tpm_core::KeyType;

use crate::fail::error::Error;

/// The label of the token that holds the host keys.
pub(super) const TOKEN: &str = "host";

/// The store, the socket and the configuration of this machine.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct MachineArgs {
    /// The store of the host keys, apart from those of users
    #[arg(long, value_name = "DIR", default_value = "/var/lib/tpmssh")]
    pub(super) store: PathBuf,

    /// The socket at which the agent listens for sshd
    #[arg(long, value_name = "PATH", default_value = "/run/tpmssh/host.sock")]
    pub(super) socket: PathBuf,

    /// The directory of this machine's configuration
    #[arg(long, value_name = "DIR", default_value = "/etc")]
    pub(super) etc: PathBuf,
}

impl MachineArgs {
    /// Refuses to change the configuration of the system for anybody but root.
    ///
    /// # Errors
    ///
    /// [`Error::NotRoot`].
    pub(super) fn check_user(&self) -> Result<(), Error> {
        let is_system = self.etc == Path::new("/etc");
        match is_system && !rustix::process::geteuid().is_root() {
            true => Err(Error::NotRoot),
            false => Ok(()),
        }
    }

    /// The directory of sshd's configuration.
    pub(super) fn ssh(&self) -> PathBuf {
        self.etc.join("ssh")
    }

    /// sshd's main configuration file.
    pub(super) fn sshd_config(&self) -> PathBuf {
        self.ssh().join("sshd_config")
    }

    /// The file by which sshd learns of the host keys of the TPM.
    pub(super) fn drop_in(&self) -> PathBuf {
        self.ssh().join("sshd_config.d/10-tpmssh.conf")
    }

    /// The file with the public half of a host key of this kind.
    pub(super) fn public(&self, kind: KeyType) -> PathBuf {
        self.ssh().join(format!("{}.pub", name(kind)))
    }

    /// The file with the authority's key for users, whose certificates let them in.
    pub(super) fn user_ca(&self) -> PathBuf {
        self.ssh().join("tpmssh_user_ca.pub")
    }

    /// The file with the list of revoked keys.
    pub(super) fn revoked(&self) -> PathBuf {
        self.ssh().join("tpmssh_revoked_keys")
    }

    /// The file with the certificate of a host key of this kind.
    pub(super) fn certificate(&self, kind: KeyType) -> PathBuf {
        self.ssh().join(format!("{}-cert.pub", name(kind)))
    }
}

/// One of each kind of host key: sshd uses one key of a type and curve, and RSA keys of any size
/// are of one type.
pub(super) const KINDS: [KeyType; 4] = [
    KeyType::EccP256,
    KeyType::EccP384,
    KeyType::EccP521,
    KeyType::Rsa2048,
];

/// The name of the files of such a host key, without the ending.
fn name(kind: KeyType) -> &'static str {
    match kind {
        KeyType::EccP384 => "ssh_host_tpm_ecdsa384_key",
        KeyType::EccP521 => "ssh_host_tpm_ecdsa521_key",
        kind if kind.is_rsa() => "ssh_host_tpm_rsa_key",
        _ => "ssh_host_tpm_ecdsa_key",
    }
}

/// Whether a file is the public half of a host key of the TPM.
pub(super) fn is_ours(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with("ssh_host_tpm_"))
}

/// What sshd calls the type and curve of such a key.
pub(super) fn algorithm(kind: KeyType) -> &'static str {
    match kind {
        KeyType::EccP384 => "ecdsa-sha2-nistp384",
        KeyType::EccP521 => "ecdsa-sha2-nistp521",
        kind if kind.is_rsa() => "ssh-rsa",
        _ => "ecdsa-sha2-nistp256",
    }
}
