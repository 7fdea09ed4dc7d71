//! The target of a revocation, on the command line.

use std::path::PathBuf;

use token_store::Revoked;

use crate::files::key_file::{self, Entry};
use crate::show::output::tell;
use crate::show::path;

/// A certificate, the certificates of a key id, or a key.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(super) struct TargetArgs {
    /// The certificate with this serial number, which tpmssh ca list shows
    #[arg(long)]
    serial: Option<u64>,

    /// All certificates with this key id
    #[arg(long, value_name = "ID")]
    key_id: Option<String>,

    /// The public key in FILE, with every certificate for it; - is standard input
    ///
    /// If FILE has a certificate, the key in it is meant.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
}

impl TargetArgs {
    /// What is meant. `verb` is the command, for the hint to the certificate alone.
    ///
    /// # Errors
    ///
    /// For serial number 0, and if the file has no key.
    pub(super) fn revoked(&self, verb: &str) -> anyhow::Result<Revoked> {
        if let Some(serial) = self.serial {
            return match serial {
                0 => Err(ssh_format::Error::SerialZero.into()),
                serial => Ok(Revoked::Serial(serial)),
            };
        }
        if let Some(id) = &self.key_id {
            return Ok(Revoked::KeyId(id.clone()));
        }
        let file = self.key.clone().unwrap_or_default();
        let key = match key_file::read(&file)? {
            Entry::Key(key) => key,
            Entry::Certificate(certificate) => {
                // Certificates without a serial number have 0.
                let alone = match certificate.serial() {
                    0 => String::new(),
                    serial => format!("; for this one alone: tpmssh ca {verb} --serial {serial}"),
                };
                tell(&format!(
                    "tpmssh: {} is a certificate: its key is meant, with every certificate for it{alone}",
                    path::name(&file),
                ));
                certificate.key().clone()
            }
        };
        Ok(Revoked::Key(key.blob().to_vec()))
    }
}
