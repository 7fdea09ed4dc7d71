//! The list of the files of an installation, by which it is replaced and removed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use super::disk::Disk;
use crate::payload::Item;

/// Each file with the digest of its contents, and the directories that were made.
#[derive(Debug, Default)]
pub(super) struct Manifest {
    files: BTreeMap<PathBuf, String>,
    dirs: BTreeSet<PathBuf>,
}

impl Manifest {
    /// The path of the list.
    pub(super) fn place(prefix: &Path) -> PathBuf {
        prefix.join("share/tpmssh/installed")
    }

    pub(super) fn of(items: &[Item]) -> Self {
        let file = |item: &Item| (item.path.clone(), digest(&item.contents));
        Self {
            files: items.iter().map(file).collect(),
            dirs: BTreeSet::new(),
        }
    }

    /// The list of the existing installation.
    ///
    /// # Errors
    ///
    /// If it cannot be read or parsed.
    pub(super) fn read(disk: &Disk, place: &Path) -> Result<Option<Self>> {
        let Some(bytes) = disk.read(place)? else {
            return Ok(None);
        };
        let text = String::from_utf8(bytes)
            .with_context(|| format!("{} is no list of files", place.display()))?;
        let mut manifest = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            match line.split_once("  ") {
                Some(("dir", path)) => {
                    manifest.dirs.insert(path.into());
                }
                Some((digest, path)) => {
                    manifest.files.insert(path.into(), digest.to_owned());
                }
                None => bail!("{} has a line that is no file: {line}", place.display()),
            }
        }
        Ok(Some(manifest))
    }

    pub(super) fn text(&self) -> String {
        let mut text =
            String::from("# Written by cargo xtask install; for cargo xtask uninstall.\n");
        for (path, digest) in &self.files {
            let _ = writeln!(text, "{digest}  {}", path.display());
        }
        for dir in &self.dirs {
            let _ = writeln!(text, "dir  {}", dir.display());
        }
        text
    }

    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.keys().map(PathBuf::as_path)
    }

    /// The directories that were made, inner ones first.
    pub(super) fn dirs(&self) -> impl Iterator<Item = &Path> {
        self.dirs.iter().rev().map(PathBuf::as_path)
    }

    pub(super) fn add_dirs<'a>(&mut self, dirs: impl Iterator<Item = &'a Path>) {
        self.dirs.extend(dirs.map(Path::to_owned));
    }

    pub(super) fn has(&self, path: &Path) -> bool {
        self.files.contains_key(path)
    }

    /// Whether a file of the list has other contents now.
    pub(super) fn is_changed(&self, disk: &Disk, path: &Path) -> bool {
        let Some(digest) = self.files.get(path) else {
            return false;
        };
        match disk.read(path) {
            Ok(Some(contents)) => self::digest(&contents) != *digest,
            Ok(None) => false,
            Err(_) => true,
        }
    }
}

/// SHA-256 in hexadecimal digits.
fn digest(contents: &[u8]) -> String {
    base16ct::lower::encode_string(&Sha256::digest(contents))
}
