//! A directory that no other user can access, and its files.

use std::{
    collections::VecDeque,
    ffi::{OsStr, OsString},
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStringExt,
    },
    path::{Component, Path, PathBuf},
    time::{Duration, SystemTime},
};

use rand_core::{OsRng, RngCore};
use rustix::{
    fs::{
        AtFlags, FileType, FlockOperation, Mode, OFlags, Stat, fchmod, flock, fstat, mkdirat, open,
        openat, readlinkat, unlinkat,
    },
    io::Errno,
};

use crate::{Error, Result};

/// An open store directory that belongs to this user and that no other user can access.
#[derive(Debug)]
pub(crate) struct Dir {
    fd: OwnedFd,
    /// Its path, without any symbolic link.
    path: PathBuf,
    /// Its path as it was given.
    given: PathBuf,
}

/// The identity of a file, by which a replaced file is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileId {
    device: u64,
    inode: u64,
}

/// The state of a file: different after each change of its content, mode or name, if a few
/// milliseconds have passed since the last change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version {
    id: FileId,
    len: i64,
    changed: SystemTime,
}

/// A file of the store that passed the checks.
#[derive(Debug)]
pub(crate) struct CheckedFile {
    pub(crate) id: FileId,
    pub(crate) seen: Seen,
    pub(crate) len: u64,
    /// Whether its mode or file system forbids this user to write it.
    pub(crate) read_only: bool,
}

/// A file and its state at the time of the check.
#[derive(Debug)]
pub(crate) struct Seen {
    /// Not open for reading, see [`Dir::file`].
    file: OwnedFd,
    version: Version,
}

/// A lock on the store directory. The kernel releases it when the program ends. It does not prevent
/// reading or writing the store.
#[derive(Debug)]
pub(crate) struct DirLock {
    fd: OwnedFd,
    alone: bool,
}

impl DirLock {
    /// Whether this program holds it exclusively.
    pub(crate) fn is_alone(&self) -> bool {
        self.alone
    }

    /// Turns it into a shared lock.
    pub(crate) fn share(&mut self) {
        let _ = flock(&self.fd, FlockOperation::LockShared);
        self.alone = false;
    }
}

/// The number of symbolic links that the kernel follows in one path.
const MAX_LINKS: u32 = 40;

impl Dir {
    /// Opens `path` one component at a time, each relative to the one before it and without
    /// following links, so that the checked directories are those that are used.
    ///
    /// A symbolic link is followed only if no directory before it can be written by others than
    /// root (`/home` may be a link), and it is not the last component. Any other link could have
    /// been planted by another user.
    pub(super) fn walk(path: &Path, create: bool) -> Result<Option<Self>> {
        let root = || {
            open(
                "/",
                OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
                Mode::empty(),
            )
        };
        let mut dir = root().map_err(disk)?;
        let mut real = PathBuf::from("/");
        let mut todo: VecDeque<OsString> = names(path).collect();
        let mut links = 0;
        let mut trusted = only_roots(&fstat(&dir).map_err(disk)?);
        while let Some(name) = todo.pop_front() {
            let Some(next) = step(&dir, &name, create, &real)? else {
                return Ok(None);
            };
            let stat = fstat(&next).map_err(disk)?;
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => {
                    dir = next;
                    trusted &= only_roots(&stat);
                    if name == ".." {
                        real.pop();
                    } else {
                        real.push(name);
                    }
                }
                FileType::Symlink => {
                    links += 1;
                    if !trusted || todo.is_empty() || links > MAX_LINKS {
                        return Err(refuse(&real.join(name), "it is a symbolic link"));
                    }
                    let target = readlinkat(&next, "", Vec::new()).map_err(disk)?;
                    let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
                    if target.is_absolute() {
                        dir = root().map_err(disk)?;
                        real = PathBuf::from("/");
                    }
                    for name in names(&target).collect::<Vec<_>>().into_iter().rev() {
                        todo.push_front(name);
                    }
                }
                _ => return Err(refuse(&real.join(name), "it is not a directory")),
            }
        }
        // Checked before it is opened, because for another user's directory this error says more than
        // "permission denied". `dir` cannot be exchanged in between.
        check_private(&real, &fstat(&dir).map_err(disk)?, 0o700)?;
        let fd = openat(
            &dir,
            ".",
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .map_err(|err| disk_at(&real, err))?;
        Ok(Some(Self {
            fd,
            path: real,
            given: path.to_owned(),
        }))
    }

    /// Its path, without any symbolic link.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether this user cannot create files in it, because of its mode (also for root) or because
    /// its file system is read-only.
    pub(crate) fn is_read_only(&self) -> Result<bool> {
        let stat = fstat(&self.fd).map_err(disk)?;
        Ok(stat.st_mode & 0o200 == 0 || !may_write(&self.fd, "."))
    }

    /// Whether the path by which it was opened still leads to it. It may have been moved or
    /// replaced.
    pub(crate) fn is_still_meant(&self) -> Result<bool> {
        let here = fstat(&self.fd).map_err(disk)?;
        let there = rustix::fs::stat(&self.given);
        Ok(there.is_ok_and(|there| FileId::of(&here) == FileId::of(&there)))
    }

    /// Whether its path without links still leads to it.
    pub(crate) fn is_in_place(&self) -> Result<bool> {
        let here = fstat(&self.fd).map_err(disk)?;
        match rustix::fs::lstat(&self.path) {
            Ok(there) => Ok(FileId::of(&here) == FileId::of(&there)),
            Err(Errno::NOENT) => Ok(false),
            Err(err) => Err(disk(err)),
        }
    }

    /// Takes the lock of the directory: exclusively if no other program has it, otherwise shared.
    ///
    /// On a file system without locks it is never exclusive. On NFS it may hold on this machine alone.
    pub(crate) fn lock(&self) -> Result<DirLock> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = openat(&self.fd, ".", flags, Mode::empty()).map_err(disk)?;
        let alone = flock(&fd, FlockOperation::NonBlockingLockExclusive).is_ok();
        let mut lock = DirLock { fd, alone };
        if !alone {
            lock.share();
        }
        Ok(lock)
    }

    /// Whether the file system refuses locks, as a network file system does whose lock service does
    /// not run. SQLite takes that for a lock of another program.
    ///
    /// Tries it on a file, since NFS locks directories without the service, on this machine alone.
    /// The file is a new one: closing the store's would release the locks that SQLite holds on it.
    pub(crate) fn lacks_locks(&self) -> bool {
        let name = format!(".locks.{:016x}", OsRng.next_u64());
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let Ok(file) = openat(&self.fd, &name, flags, Mode::from_raw_mode(0o600)) else {
            return false;
        };
        let locked = flock(&file, FlockOperation::NonBlockingLockShared);
        let _ = unlinkat(&self.fd, &name, AtFlags::empty());
        locked == Err(Errno::NOLCK)
    }

    /// Checks the file `name` without opening it for reading. Opening could hang on a FIFO, and
    /// closing it would release the locks that SQLite holds on the same file.
    pub(crate) fn file(&self, name: &str) -> Result<Option<CheckedFile>> {
        let path = self.path.join(name);
        let Some((file, stat)) = self.linked(name).map_err(|err| disk_at(&path, err))? else {
            return Ok(None);
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {}
            FileType::Symlink => return Err(refuse(&path, "it is a symbolic link")),
            _ => return Err(refuse(&path, "it is not a regular file")),
        }
        check_private(&path, &stat, 0o600)?;
        if stat.st_nlink != 1 {
            return Err(refuse(&path, "it has another hard link"));
        }
        Ok(Some(CheckedFile {
            id: FileId::of(&stat),
            len: u64::try_from(stat.st_size).unwrap_or(0),
            read_only: stat.st_mode & 0o200 == 0 || !may_write(&self.fd, name),
            seen: Seen {
                file,
                version: Version::of(&stat),
            },
        }))
    }

    /// Opens the file `name` to look at it. A file that is removed meanwhile is looked up again; the
    /// result is `None` if there is no file of this name.
    fn linked(&self, name: &str) -> Result<Option<(OwnedFd, Stat)>, Errno> {
        /// How often it may be removed just after it was opened, as SQLite does with its journal at each
        /// commit. Without an end this would not return on a file system that counts no links.
        const TRIES: u32 = 1000;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut left = TRIES;
        loop {
            let file = match openat(&self.fd, name, flags, Mode::empty()) {
                Err(Errno::NOENT) => return Ok(None),
                file => file?,
            };
            let stat = fstat(&file)?;
            left -= 1;
            if stat.st_nlink > 0 || left == 0 {
                return Ok(Some((file, stat)));
            }
        }
    }

    /// The descriptor, for making files.
    pub(crate) fn fd(&self) -> &OwnedFd {
        &self.fd
    }
}

impl Version {
    fn of(stat: &Stat) -> Self {
        let seconds = u64::try_from(stat.st_ctime).unwrap_or(0);
        let nanos = u32::try_from(stat.st_ctime_nsec).unwrap_or(0);
        Self {
            id: FileId::of(stat),
            len: stat.st_size,
            changed: SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos),
        }
    }
}

impl Seen {
    /// Whether it is still unchanged under the same name. Looking at the file itself is enough,
    /// because a rename or unlink changes its state.
    pub(crate) fn is_current(&self) -> bool {
        fstat(&self.file).is_ok_and(|stat| stat.st_nlink == 1 && Version::of(&stat) == self.version)
    }

    /// Whether the last change is so long ago that another change would have another time stamp.
    ///
    /// The kernel's clock for time stamps ticks every few milliseconds, so two changes within a
    /// tick have the same stamp.
    pub(crate) fn is_settled(&self) -> bool {
        const TICK: Duration = Duration::from_millis(100);
        let age = self.version.changed.elapsed();
        age.is_ok_and(|age| age > TICK)
    }
}

impl FileId {
    fn of(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
        }
    }
}

/// Opens the directory `name` in `dir` without following links. With `create`, makes it first.
fn step(dir: &OwnedFd, name: &OsStr, create: bool, real: &Path) -> Result<Option<OwnedFd>> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat(dir, name, flags, Mode::empty()) {
        Ok(next) => return Ok(Some(next)),
        Err(Errno::NOENT) if create => {}
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::NAMETOOLONG) => return Err(refuse(&real.join(name), "it is too long")),
        Err(err) => return Err(disk_at(&real.join(name), err)),
    }
    let at = |err| disk_at(&real.join(name), err);
    match mkdirat(dir, name, Mode::from_raw_mode(0o700)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(err) => return Err(at(err)),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made = openat(dir, name, flags, Mode::empty()).map_err(at)?;
    let stat = fstat(&made).map_err(disk)?;
    // The umask may have removed permissions. It belongs to the host program, so it is not changed.
    if stat.st_mode & 0o777 != 0o700 && stat.st_uid == rustix::process::geteuid().as_raw() {
        fchmod(&made, Mode::from_raw_mode(0o700)).map_err(disk)?;
    }
    Ok(Some(made))
}

/// The components of a path, without the root and without `.`.
fn names(path: &Path) -> impl Iterator<Item = OsString> {
    path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
    })
}

/// Whether only root can create files in a directory.
fn only_roots(dir: &Stat) -> bool {
    dir.st_uid == 0 && dir.st_mode & 0o022 == 0
}

/// Refuses a file or directory of another user, or one that others can access. `right` is the mode
/// that it should have, for the message.
fn check_private(path: &Path, stat: &Stat, right: u32) -> Result<()> {
    let me = rustix::process::geteuid().as_raw();
    if stat.st_uid != me {
        let why = format!("it belongs to user {} and not to user {me}", stat.st_uid);
        return Err(refuse(path, &why));
    }
    if stat.st_mode & 0o077 != 0 {
        let why = format!(
            "its mode is {:04o} and must be {right:04o}",
            stat.st_mode & 0o7777
        );
        return Err(refuse(path, &why));
    }
    Ok(())
}

fn may_write(dir: impl AsFd, name: &str) -> bool {
    rustix::fs::accessat(dir, name, rustix::fs::Access::WRITE_OK, AtFlags::EACCESS).is_ok()
}

pub(super) fn refuse(path: &Path, why: &str) -> Error {
    Error::UnsafePath {
        path: path.to_owned(),
        why: why.to_owned(),
    }
}

/// [`Error::Disk`] whose message names the file. The kind of the error stays.
fn disk_at(path: &Path, err: Errno) -> Error {
    let err = io::Error::from(err);
    let text = format!("{}: {err}", path.display());
    Error::Disk(io::Error::new(err.kind(), text))
}

fn disk(err: Errno) -> Error {
    Error::Disk(err.into())
}

#[cfg(test)]
mod tests {
    use std::fs::{OpenOptions, Permissions, remove_file};
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    use std::thread;

    use super::*;

    /// As SQLite's journal of another program, at each of its commits.
    #[test]
    fn a_file_that_is_removed_meanwhile_is_not_refused() {
        let mut temp = tempfile::Builder::new();
        let temp = temp
            .permissions(Permissions::from_mode(0o700))
            .tempdir()
            .unwrap();
        let dir = Dir::walk(temp.path(), false).unwrap().unwrap();
        let journal = temp.path().join("journal");
        thread::scope(|scope| {
            let other = scope.spawn(|| {
                for _ in 0..20_000 {
                    let mut new = OpenOptions::new();
                    new.write(true).create_new(true).mode(0o600);
                    new.open(&journal).unwrap();
                    remove_file(&journal).unwrap();
                }
            });
            while !other.is_finished() {
                dir.file("journal").unwrap();
            }
        });
    }

    #[test]
    fn a_failure_names_its_file_and_keeps_its_kind() {
        let Error::Disk(err) = disk_at(Path::new("/srv/keys"), Errno::ACCESS) else {
            panic!("an error of a file");
        };
        assert_eq!(err.kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(
            err.to_string(),
            "/srv/keys: Permission denied (os error 13)"
        );
    }
}
