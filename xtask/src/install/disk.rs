//! Files below `$DESTDIR`, and changes of them that are made completely or not at all.

use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::{Access, access};

/// The root below which everything is written: `/`, or `$DESTDIR`.
pub(super) struct Disk {
    root: PathBuf,
}

impl Disk {
    /// The root that the environment gives.
    ///
    /// # Errors
    ///
    /// If `$DESTDIR` is not an absolute path.
    pub(super) fn new() -> Result<Self> {
        match std::env::var_os("DESTDIR").filter(|dir| !dir.is_empty()) {
            None => Ok(Self::at(Path::new("/"))),
            Some(dir) if Path::new(&dir).is_absolute() => Ok(Self::at(Path::new(&dir))),
            Some(_) => bail!("DESTDIR has to be an absolute path"),
        }
    }

    pub(super) fn at(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// The path below the root for an installed path.
    fn real(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Refuses a directory in which this user cannot write, before anything is done.
    ///
    /// # Errors
    ///
    /// If it, or the first directory above it that is there, cannot be written.
    pub(super) fn check_writable(&self, dir: &Path) -> Result<()> {
        let real = self.real(dir);
        let above = real.ancestors().find(|dir| dir.exists());
        let above = above.context("there is no root directory")?;
        if access(above, Access::WRITE_OK).is_err() {
            bail!(
                "nothing was done: you cannot write to {}; run it as root (sudo env \
                 \"PATH=$PATH\" cargo xtask …), or name another place: --prefix ~/.local",
                above.display()
            );
        }
        Ok(())
    }

    /// Whether there is a file with this name, also a dangling link.
    pub(super) fn exists(&self, path: &Path) -> bool {
        fs::symlink_metadata(self.real(path)).is_ok()
    }

    /// The contents of a file; `None` if there is none.
    ///
    /// # Errors
    ///
    /// If it is not a file or cannot be read.
    pub(super) fn read(&self, path: &Path) -> Result<Option<Vec<u8>>> {
        let real = self.real(path);
        match fs::symlink_metadata(&real) {
            Err(err) if err.kind() == ErrorKind::NotFound => return Ok(None),
            Ok(meta) if !meta.is_file() => bail!("{} is no file", path.display()),
            _ => {}
        }
        let contents = fs::read(&real);
        Ok(Some(contents.with_context(|| {
            format!("cannot read {}", path.display())
        })?))
    }

    /// Removes a directory if nothing is in it.
    pub(super) fn remove_empty(&self, dir: &Path) {
        // It stays if it has files of others.
        let _ = fs::remove_dir(self.real(dir));
    }

    /// Begins a change.
    pub(super) fn change(&self) -> Change<'_> {
        Change {
            disk: self,
            undo: Vec::new(),
            dirs: Vec::new(),
        }
    }
}

/// Files that were written and removed. Dropping it restores them, unless it was kept.
pub(super) struct Change<'a> {
    disk: &'a Disk,
    /// Each file as it was; `None` if there was none.
    undo: Vec<(PathBuf, Option<Before>)>,
    /// Directories that were made, those above others first.
    dirs: Vec<PathBuf>,
}

/// Mode and contents of a file.
type Before = (u32, Vec<u8>);

impl Change<'_> {
    /// Writes a temporary file and renames it, so that a running program keeps its old file.
    ///
    /// # Errors
    ///
    /// That of the system.
    pub(super) fn write(&mut self, path: &Path, mode: u32, contents: &[u8]) -> Result<()> {
        let as_before = || {
            format!(
                "cannot write {}, so everything is as before",
                path.display()
            )
        };
        let before = self.before(path).with_context(as_before)?;
        self.make_parent(path).with_context(as_before)?;
        replace(&self.disk.real(path), mode, contents).with_context(as_before)?;
        self.undo.push((path.to_owned(), before));
        Ok(())
    }

    /// Removes a file, if it exists.
    ///
    /// # Errors
    ///
    /// That of the system.
    pub(super) fn remove(&mut self, path: &Path) -> Result<()> {
        let as_before = || {
            format!(
                "cannot remove {}, so everything is as before",
                path.display()
            )
        };
        let Some(before) = self.before(path).with_context(as_before)? else {
            return Ok(());
        };
        fs::remove_file(self.disk.real(path)).with_context(as_before)?;
        self.undo.push((path.to_owned(), Some(before)));
        Ok(())
    }

    /// The directories that were made.
    pub(super) fn made_dirs(&self) -> impl Iterator<Item = &Path> {
        self.dirs.iter().map(PathBuf::as_path)
    }

    /// Keeps the changes.
    pub(super) fn keep(mut self) {
        self.undo.clear();
        self.dirs.clear();
    }

    fn before(&self, path: &Path) -> Result<Option<Before>> {
        let Some(contents) = self.disk.read(path)? else {
            return Ok(None);
        };
        let mode = fs::metadata(self.disk.real(path))?.permissions().mode();
        Ok(Some((mode & 0o7777, contents)))
    }

    /// Makes the directory of a file, and those above it, if they are missing.
    ///
    /// # Errors
    ///
    /// That of the system.
    pub(super) fn make_parent(&mut self, path: &Path) -> Result<()> {
        let above: Vec<_> = path.ancestors().skip(1).collect();
        for dir in above.into_iter().rev() {
            match fs::create_dir(self.disk.real(dir)) {
                Ok(()) => {
                    let mode = Permissions::from_mode(0o755);
                    fs::set_permissions(self.disk.real(dir), mode)?;
                    self.dirs.push(dir.to_owned());
                }
                Err(_) if self.disk.real(dir).is_dir() => {}
                Err(err) => return Err(err.into()),
            }
        }
        Ok(())
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        for (path, before) in self.undo.drain(..).rev() {
            let real = self.disk.real(&path);
            let restored = match before {
                Some((mode, contents)) => replace(&real, mode, &contents),
                None => fs::remove_file(&real).map_err(Into::into),
            };
            if let Err(err) = restored {
                eprintln!("xtask: {} is not as before: {err}", path.display());
            }
        }
        for dir in self.dirs.drain(..).rev() {
            self.disk.remove_empty(&dir);
        }
    }
}

fn replace(real: &Path, mode: u32, contents: &[u8]) -> Result<()> {
    let parent = real.parent().context("it is in no directory")?;
    let file = tempfile::NamedTempFile::new_in(parent)?;
    fs::write(file.path(), contents)?;
    fs::set_permissions(file.path(), Permissions::from_mode(mode))?;
    file.persist(real)?;
    Ok(())
}
