//! The paths of the store, the configuration and the state.

use std::{
    io,
    path::{Component, Path, PathBuf},
};

use super::{
    dir::{Dir, refuse},
    env,
};
use crate::{Error, Result};

/// The path of a store. Nothing is opened yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreDir(PathBuf);

impl StoreDir {
    /// This user's store: `$TPMSSH_STORE`, otherwise `$XDG_DATA_HOME/tpmssh`, otherwise
    /// `~/.local/share/tpmssh`.
    ///
    /// In a program that was started with more rights than its caller has, the environment is
    /// the caller's and is ignored.
    ///
    /// # Errors
    ///
    /// [`Error::UnsafePath`] if a variable is not an absolute path, [`Error::NoHome`].
    pub fn for_user() -> Result<Self> {
        match env::dir("TPMSSH_STORE")? {
            Some(dir) => Self::at(dir),
            None => Self::usual(),
        }
    }

    /// The default path of this user's store, which `$TPMSSH_STORE` can override.
    ///
    /// # Errors
    ///
    /// As for [`StoreDir::for_user`].
    pub fn usual() -> Result<Self> {
        match env::dir("XDG_DATA_HOME")? {
            Some(data) => Self::at(data.join("tpmssh")),
            None => Self::at(env::home()?.join(".local/share/tpmssh")),
        }
    }

    /// The store in the directory `path`.
    ///
    /// # Errors
    ///
    /// [`Error::UnsafePath`] unless it is absolute and free of `..`.
    pub fn at(path: impl Into<PathBuf>) -> Result<Self> {
        let path = path.into();
        if !path.is_absolute() || path.components().any(|part| part == Component::ParentDir) {
            return Err(refuse(&path, "it must be an absolute path without \"..\""));
        }
        Ok(Self(path))
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Opens the directory, if it exists.
    pub(crate) fn open(&self) -> Result<Option<Dir>> {
        Dir::walk(&self.0, false)
    }

    /// Opens the directory. If it or a parent is missing, makes it (mode 0700).
    pub(crate) fn create(&self) -> Result<Dir> {
        Dir::walk(&self.0, true)?.ok_or_else(|| Error::Disk(io::ErrorKind::NotFound.into()))
    }
}

/// The directory of a user's configuration: `$XDG_CONFIG_HOME`, otherwise `~/.config`.
///
/// # Errors
///
/// [`Error::UnsafePath`] if the variable is not an absolute path; [`Error::NoHome`].
pub fn config_dir() -> Result<PathBuf> {
    match env::dir("XDG_CONFIG_HOME")? {
        Some(dir) => Ok(dir),
        None => Ok(env::home()?.join(".config")),
    }
}

/// The user's home directory: `$HOME`, else the one of the password file.
///
/// # Errors
///
/// [`Error::UnsafePath`] if the variable is not an absolute path, [`Error::NoHome`].
pub fn home_dir() -> Result<PathBuf> {
    env::home()
}

/// The directory for logs: `$XDG_STATE_HOME/tpmssh`, otherwise `~/.local/state/tpmssh`. It need not
/// exist.
///
/// # Errors
///
/// [`Error::UnsafePath`] if a variable is not an absolute path, [`Error::NoHome`].
pub fn state_dir() -> Result<PathBuf> {
    match env::dir("XDG_STATE_HOME")? {
        Some(state) => Ok(state.join("tpmssh")),
        None => Ok(env::home()?.join(".local/state/tpmssh")),
    }
}
