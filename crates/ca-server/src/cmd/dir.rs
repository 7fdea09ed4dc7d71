//! The directory of a node, and the files in it.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::audit;
use crate::files::{Disk, read};
use crate::policy::{MAX_POLICY_LEN, Policy};

/// The directory of a node.
#[derive(Clone)]
pub(super) struct Dir(PathBuf);

impl Dir {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn policy_file(&self) -> PathBuf {
        self.0.join("policy.toml")
    }

    pub(super) fn registry(&self) -> PathBuf {
        self.0.join("registry.db")
    }

    /// The file that names the database, if the registry is in one.
    pub(super) fn database(&self) -> PathBuf {
        self.0.join("database")
    }

    /// The file with the keys that seal challenges, if several nodes share them.
    pub(super) fn tickets(&self) -> PathBuf {
        self.0.join("ticket-keys")
    }

    pub(super) fn audit(&self) -> PathBuf {
        self.0.join("audit.log")
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.0.join("admin.sock")
    }

    /// The PIN of the token that `init --make-keys` made.
    pub(super) fn pin(&self) -> PathBuf {
        self.0.join("ca-pin")
    }

    /// A file that exists while `init --make-keys` has not finished.
    pub(super) fn unfinished(&self) -> PathBuf {
        self.0.join("init-unfinished")
    }

    /// Makes the directory with mode 0700.
    pub(super) fn make(&self) -> anyhow::Result<()> {
        let made = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.0);
        made.with_context(|| format!("cannot make {}", self.0.display()))
    }

    /// Refuses a directory that other users can read or write, because it has the registry and the socket for administrators.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let shown = self.0.display();
        let meta = fs::metadata(&self.0)
            .with_context(|| format!("there is no authority in {shown} (tpmssh-ca init)"))?;
        let me = rustix::process::geteuid().as_raw();
        if meta.uid() != me {
            bail!(
                "{shown} belongs to another user: run tpmssh-ca as that one, such as with sudo -u tpmssh-ca"
            );
        }
        if !meta.is_dir() || meta.mode() & 0o077 != 0 {
            bail!("{shown} has to be a directory of the user that runs tpmssh-ca, mode 0700");
        }
        Ok(())
    }

    /// Reads the policy, and the SHA-256 of its text.
    pub(super) fn policy(&self) -> anyhow::Result<(Policy, String)> {
        let path = self.policy_file();
        let text = read(&path, u64::try_from(MAX_POLICY_LEN)?)?;
        let policy = Policy::parse(&text, &mut Disk);
        let policy = policy.with_context(|| format!("{} is not in force", path.display()))?;
        Ok((policy, audit::digest(text.as_bytes())))
    }
}
