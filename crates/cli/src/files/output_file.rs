//! Files that a user names: written whole or not at all, and nothing but files.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, Gid, OFlags, Uid, access, fchown, fcntl_setfl};
use rustix::io::Errno;
use tempfile::{Builder, NamedTempFile};

use crate::fail::error::{Error, Result};
use crate::files::input_file;
use crate::show::output;

/// Puts `contents` into the file `path`.
///
/// A file that exists is replaced at once, and keeps its mode and owner: a reader finds the old
/// contents or the new ones. Symbolic links are followed to it. A new file gets `mode`, less the
/// umask. A pipe and a descriptor of this process (`-`, `/dev/stdout`, `/dev/fd/N`) are written.
/// Devices, sockets and directories are refused and stay as they are.
///
/// # Errors
///
/// [`Error::NotAFile`]; [`Error::Unwritable`], and the old contents are there;
/// [`Error::Unconfirmed`], and the new contents are there.
pub(crate) fn write(path: &Path, mode: u32, contents: &[u8]) -> Result<()> {
    let failed = |source| Error::Unwritable {
        path: path.to_owned(),
        source,
    };
    match Target::of(path)? {
        Target::Descriptor(1) => output::write_bytes(contents),
        Target::Descriptor(2) => io::stderr().lock().write_all(contents).map_err(failed),
        Target::Descriptor(fd) => {
            send(Path::new(&format!("/dev/fd/{fd}")), contents).map_err(failed)
        }
        Target::Pipe => send(path, contents).map_err(failed),
        Target::New => {
            let file = beside(path, contents, mode).map_err(failed)?;
            // Another program may have made it meanwhile.
            let put = file.persist_noclobber(path).map_err(|err| err.error);
            put.map_err(failed)?;
            confirm(path, parent(path))
        }
        Target::Existing(real, meta) => {
            replace(&real, &meta, contents).map_err(failed)?;
            confirm(path, parent(&real))
        }
    }
}

/// Reads the file that [`write()`] would replace; `None` if there is none.
///
/// # Errors
///
/// [`Error::NotAFile`]; [`Error::Unreadable`]; [`Error::TooMuchRead`] beyond `max` bytes.
pub(crate) fn existing(path: &Path, max: usize) -> Result<Option<Vec<u8>>> {
    match Target::of(path)? {
        Target::Existing(real, _) => input_file::read(&real, max).map(Some),
        Target::New | Target::Pipe | Target::Descriptor(_) => Ok(None),
    }
}

/// The kind of file that a path names.
enum Target {
    /// An open descriptor of this process.
    Descriptor(u32),
    Pipe,
    New,
    /// A regular file, by its path without symbolic links.
    Existing(PathBuf, Metadata),
}

impl Target {
    fn of(path: &Path) -> Result<Self> {
        if let Some(fd) = own_descriptor(path) {
            return Ok(Self::Descriptor(fd));
        }
        let refused = |what| Error::NotAFile {
            path: path.to_owned(),
            what,
        };
        let failed = |source| Error::Unwritable {
            path: path.to_owned(),
            source,
        };
        let meta = match fs::metadata(path) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => {
                let names_a_directory = path.as_os_str().as_encoded_bytes().ends_with(b"/");
                return match fs::symlink_metadata(path) {
                    Ok(_) => Err(refused("a symbolic link to nothing")),
                    Err(_) if names_a_directory || path.file_name().is_none() => Err(failed(err)),
                    Err(_) => Ok(Self::New),
                };
            }
            meta => meta.map_err(failed)?,
        };
        let kind = meta.file_type();
        if kind.is_file() {
            let real = fs::canonicalize(path).map_err(failed)?;
            Ok(Self::Existing(real, meta))
        } else if kind.is_fifo() {
            Ok(Self::Pipe)
        } else if kind.is_dir() {
            Err(refused("a directory"))
        } else if kind.is_socket() {
            Err(refused("a socket"))
        } else {
            Err(refused("a device"))
        }
    }
}

/// The descriptor that a path is a name of.
fn own_descriptor(path: &Path) -> Option<u32> {
    match path.to_str()? {
        "-" | "/dev/stdout" => Some(1),
        "/dev/stderr" => Some(2),
        path => ["/dev/fd/", "/proc/self/fd/"]
            .iter()
            .find_map(|dir| path.strip_prefix(dir))
            .and_then(|fd| fd.parse().ok()),
    }
}

/// Writes to a pipe or a descriptor. What a descriptor names already has stays.
fn send(path: &Path, contents: &[u8]) -> io::Result<()> {
    // Opening a pipe without a reader would wait for one.
    let nonblock = OFlags::NONBLOCK.bits() as i32;
    let mut file = OpenOptions::new()
        .append(true)
        .custom_flags(nonblock)
        .open(path)?;
    fcntl_setfl(&file, OFlags::APPEND)?;
    file.write_all(contents)
}

/// Replaces a file by another with the same mode and owner.
fn replace(real: &Path, meta: &Metadata, contents: &[u8]) -> io::Result<()> {
    // A rename needs only the directory to be writable, so this checks the file as well.
    access(real, Access::WRITE_OK)?;
    let file = beside(real, contents, 0o600)?;
    let made = file.as_file().metadata()?;
    if (made.uid(), made.gid()) != (meta.uid(), meta.gid()) {
        let (uid, gid) = (Uid::from_raw(meta.uid()), Gid::from_raw(meta.gid()));
        fchown(file.as_file(), Some(uid), Some(gid)).map_err(|err| match err {
            Errno::PERM => io::Error::other("its owner or group could not be kept"),
            err => err.into(),
        })?;
    }
    file.as_file()
        .set_permissions(Permissions::from_mode(meta.mode() & 0o7777))?;
    file.persist(real).map_err(|err| err.error)?;
    Ok(())
}

/// A file with these contents beside `path`, under a random name that no file had. It is removed
/// when dropped.
fn beside(path: &Path, contents: &[u8], mode: u32) -> io::Result<NamedTempFile> {
    // The library would add the random name to an error.
    let mut code = None;
    let made = Builder::new()
        .prefix(".tpmssh-")
        .suffix(".new")
        .make_in(parent(path), |path| {
            let file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(mode)
                .open(path);
            file.inspect_err(|err| code = err.raw_os_error())
        });
    let mut file = made.map_err(|err| code.map_or(err, io::Error::from_raw_os_error))?;
    file.as_file_mut().write_all(contents)?;
    file.as_file().sync_all()?;
    Ok(file)
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if dir != Path::new("") => dir,
        _ => Path::new("."),
    }
}

/// Has the disk keep the new name.
fn confirm(path: &Path, dir: &Path) -> Result<()> {
    let synced = match File::open(dir) {
        Ok(dir) => dir.sync_all(),
        // The directory may be writable but not readable.
        Err(err) if err.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        Err(err) => Err(err),
    };
    match synced {
        // Not every file system does this for directories.
        Err(err) if err.kind() != io::ErrorKind::InvalidInput => Err(Error::Unconfirmed {
            path: path.to_owned(),
            source: err,
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::symlink;

    use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
    use rustix::process::geteuid;

    use testing::assert_matches;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn node(path: &Path, kind: FileType, device: u64) {
        mknodat(CWD, path, kind, Mode::from_raw_mode(0o600), device).unwrap();
    }

    #[test]
    fn a_new_file_gets_the_mode_and_nothing_else_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list");
        write(&path, 0o640, b"first").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(mode(&path), 0o640);
        assert_eq!(names(dir.path()), ["list"]);
    }

    #[test]
    fn an_existing_file_keeps_its_mode_and_owner() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list");
        fs::write(&path, "first").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o604)).unwrap();
        if geteuid().is_root() {
            std::os::unix::fs::chown(&path, Some(65534), Some(12)).unwrap();
        }
        let before = fs::metadata(&path).unwrap();
        write(&path, 0o640, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        let after = fs::metadata(&path).unwrap();
        assert_eq!(after.mode(), before.mode());
        assert_eq!((after.uid(), after.gid()), (before.uid(), before.gid()));
        assert_ne!(after.ino(), before.ino(), "it was not replaced at once");
        assert_eq!(names(dir.path()), ["list"]);
    }

    #[test]
    fn links_are_followed_to_a_file_and_stay_links() {
        let dir = tempfile::tempdir().unwrap();
        let below = dir.path().join("below");
        fs::create_dir(&below).unwrap();
        let file = below.join("file");
        fs::write(&file, "first").unwrap();
        let (first, second) = (dir.path().join("first"), dir.path().join("second"));
        symlink("below/file", &first).unwrap();
        symlink("first", &second).unwrap();
        write(&second, 0o640, b"second").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"second");
        for link in [&first, &second] {
            assert!(fs::symlink_metadata(link).unwrap().is_symlink());
        }
        assert_eq!(names(&below), ["file"]);
    }

    #[test]
    fn what_is_no_file_is_refused_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name| dir.path().join(name);
        fs::create_dir(at("directory")).unwrap();
        symlink("gone", at("dangling")).unwrap();
        symlink("directory", at("to-directory")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        let mut cases = vec![
            ("directory", "a directory"),
            ("dangling", "a symbolic link to nothing"),
            ("to-directory", "a directory"),
            ("socket", "a socket"),
        ];
        // Only root can make devices; these are never opened.
        if geteuid().is_root() {
            node(&at("full"), FileType::CharacterDevice, makedev(1, 7));
            node(&at("disk"), FileType::BlockDevice, makedev(7, 0));
            symlink("full", at("to-full")).unwrap();
            cases.extend([
                ("full", "a device"),
                ("disk", "a device"),
                ("to-full", "a device"),
            ]);
        }
        let before = names(dir.path());
        for (name, what) in cases {
            let kind = fs::symlink_metadata(at(name)).unwrap().file_type();
            let err = write(&at(name), 0o600, b"x").unwrap_err();
            let expected = format!("cannot write {}: it is {what}", at(name).display());
            assert_eq!(err.to_string(), expected);
            assert_eq!(err.kind().exit_code(), 9, "{name}");
            let after = fs::symlink_metadata(at(name)).unwrap().file_type();
            assert_eq!(after, kind, "{name}");
        }
        assert_eq!(names(dir.path()), before);
    }

    #[test]
    fn a_pipe_is_written_and_stays_and_none_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        node(&path, FileType::Fifo, 0);
        let err = write(&path, 0o600, b"x").unwrap_err();
        assert_matches!(err, Error::Unwritable { .. });
        let reader = OpenOptions::new()
            .read(true)
            .custom_flags(OFlags::NONBLOCK.bits() as i32)
            .open(&path)
            .unwrap();
        write(&path, 0o600, b"through").unwrap();
        let mut found = [0; 7];
        (&reader).read_exact(&mut found).unwrap();
        assert_eq!(&found, b"through");
        assert!(fs::metadata(&path).unwrap().file_type().is_fifo());
    }

    #[test]
    fn a_descriptor_is_written_where_it_stands() {
        use std::os::fd::AsRawFd;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "before ").unwrap();
        let file = OpenOptions::new().append(true).open(&path).unwrap();
        let fd = file.as_raw_fd();
        for name in [format!("/dev/fd/{fd}"), format!("/proc/self/fd/{fd}")] {
            write(Path::new(&name), 0o600, b"and after ").unwrap();
        }
        assert_eq!(fs::read(&path).unwrap(), b"before and after and after ");
    }

    #[test]
    fn a_file_of_somebody_else_with_our_kind_of_name_stays() {
        let dir = tempfile::tempdir().unwrap();
        let taken = dir.path().join(format!(".list.{}.new", std::process::id()));
        fs::write(&taken, "precious").unwrap();
        write(&dir.path().join("list"), 0o600, b"x").unwrap();
        assert_eq!(fs::read(&taken).unwrap(), b"precious");
    }

    #[test]
    fn what_cannot_be_written_says_so_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["gone/file", "new/", ".."] {
            let path = dir.path().join(name);
            let err = write(&path, 0o600, b"x").unwrap_err();
            assert!(err.to_string().starts_with("cannot write /"), "{err}");
        }
        let long = dir.path().join("x".repeat(255));
        write(&long, 0o600, b"x").unwrap();
        assert_eq!(names(dir.path()), ["x".repeat(255)]);
    }
}
