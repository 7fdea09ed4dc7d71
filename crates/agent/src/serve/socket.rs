//! The socket: its place, and the checks that no other user can replace it.

use std::env;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with,
};

use crate::{Error, Result};

/// How many clients may wait to be accepted: as many as the kernel allows (`net.core.somaxconn`).
const BACKLOG: i32 = i32::MAX;

/// A listening socket that is this program's own; dropping it removes it.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    /// What was made here; `None` if systemd made the socket.
    made: Option<Made>,
}

#[derive(Debug)]
struct Made {
    path: PathBuf,
    /// Device and inode, so that nobody else's is removed.
    id: (u64, u64),
    /// Locked as long as this lives.
    _lock: File,
}

impl Socket {
    /// Where the socket of this user is: `$XDG_RUNTIME_DIR/tpmssh/agent.sock`.
    ///
    /// # Errors
    ///
    /// [`Error::NoRuntimeDir`].
    pub fn default_path() -> Result<PathBuf> {
        env::var_os("XDG_RUNTIME_DIR")
            .map(PathBuf::from)
            .filter(|dir| dir.is_absolute())
            .map(|dir| dir.join("tpmssh/agent.sock"))
            .ok_or(Error::NoRuntimeDir)
    }

    /// The socket that systemd passed to this program; `None` if it passed nothing.
    ///
    /// # Errors
    ///
    /// [`Error::NotActivated`] if it is not a listening Unix socket.
    pub fn inherited() -> Result<Option<Self>> {
        let mut passed = listenfd::ListenFd::from_env();
        if passed.len() == 0 {
            return Ok(None);
        }
        let listener = passed.take_unix_listener(0).ok().flatten();
        let listener = listener.ok_or(Error::NotActivated)?;
        // systemd passes it open for all programs; those that ask for a PIN must not have it.
        fcntl_setfd(&listener, FdFlags::CLOEXEC).map_err(|err| Error::Start(err.into()))?;
        Ok(Some(Self {
            listener,
            made: None,
        }))
    }

    /// Listens at `path`, in a directory that nobody else can write to; the directory is made
    /// if it is missing. What an agent that was killed has left is replaced.
    ///
    /// # Errors
    ///
    /// [`Error::Live`] if an agent answers there, [`Error::UnsafePath`] if directory or socket
    /// are not this user's or not what they should be, [`Error::Socket`].
    pub fn claim(path: &Path) -> Result<Self> {
        let failed = |source| Error::Socket {
            path: path.into(),
            source,
        };
        let dir = path
            .parent()
            .filter(|_| path.is_absolute())
            .ok_or(unsafe_path(path, "it must be an absolute path"))?;
        match DirBuilder::new().mode(0o700).create(dir) {
            Err(err) if err.kind() != io::ErrorKind::AlreadyExists => return Err(failed(err)),
            _ => check_dir(dir)?,
        }
        // Of two that start at once, one makes the socket and the other sees it.
        let lock = lock(path)?;
        clear(path)?;
        let (listener, id) = listen_at(path).map_err(failed)?;
        Ok(Self {
            listener,
            made: Some(Made {
                path: path.into(),
                id,
                _lock: lock,
            }),
        })
    }

    /// The directory that it was made in; `None` if somebody else made the socket.
    #[must_use]
    pub fn dir(&self) -> Option<&Path> {
        self.made.as_ref()?.path.parent()
    }

    /// Whether `path` leads to this socket, also by another name or a link.
    pub(crate) fn is_at(&self, path: &Path) -> bool {
        let id = |path: &Path| fs::metadata(path).map(|meta| (meta.dev(), meta.ino())).ok();
        let address = self.listener.local_addr().ok();
        let own = address.and_then(|address| id(address.as_pathname()?));
        own.is_some() && own == id(path)
    }

    /// A second handle of the listener.
    pub(crate) fn listener(&self) -> io::Result<UnixListener> {
        self.listener.try_clone()
    }
}

/// Makes a socket that only this user can connect to; returns it with its device and inode. It
/// listens when all else is done: nobody can connect before, and who can finds an agent that stays.
fn listen_at(path: &Path) -> io::Result<(UnixListener, (u64, u64))> {
    let socket = socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    let meta = fs::symlink_metadata(path)?;
    listen(&socket, BACKLOG)?;
    Ok((socket.into(), (meta.dev(), meta.ino())))
}

impl Drop for Made {
    fn drop(&mut self) {
        let is_ours =
            fs::symlink_metadata(&self.path).is_ok_and(|meta| (meta.dev(), meta.ino()) == self.id);
        if is_ours && let Err(err) = fs::remove_file(&self.path) {
            log::warn!("{} stays: {err}", self.path.display());
        }
    }
}

fn unsafe_path(path: &Path, why: &'static str) -> Error {
    Error::UnsafePath {
        path: path.into(),
        why,
    }
}

/// Refuses a directory in which others could put something else in the socket's place.
fn check_dir(dir: &Path) -> Result<()> {
    let meta = fs::symlink_metadata(dir).map_err(|_| unsafe_path(dir, "it cannot be looked at"))?;
    if meta.file_type().is_symlink() {
        return Err(unsafe_path(dir, "it is a symbolic link"));
    }
    if !meta.is_dir() {
        return Err(unsafe_path(dir, "it is not a directory"));
    }
    if meta.uid() != rustix::process::geteuid().as_raw() {
        return Err(unsafe_path(dir, "it belongs to another user"));
    }
    if meta.mode() & 0o022 != 0 {
        return Err(unsafe_path(
            dir,
            "others can write to it; it should have mode 0700",
        ));
    }
    Ok(())
}

/// Takes the lock of a socket. Its file stays when the socket is removed: if the file were removed
/// too, two programs could each hold a lock.
fn lock(path: &Path) -> Result<File> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let failed = |source| Error::Socket {
        path: path.into(),
        source,
    };
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(&name)
        .map_err(failed)?;
    let take = || flock(&file, FlockOperation::NonBlockingLockExclusive);
    // Another program may hold it for a moment, in `unreachable_agent`.
    let taken = take().or_else(|_| {
        thread::sleep(Duration::from_millis(50));
        take()
    });
    match taken {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            return Err(unreachable_agent(path).unwrap_or(Error::Live { path: path.into() }));
        }
        Err(err) => return Err(failed(err.into())),
    }
    // For `unreachable_agent`, which names this process if the socket was removed.
    file.set_len(0).map_err(failed)?;
    writeln!(&file, "{}", std::process::id()).map_err(failed)?;
    Ok(file)
}

/// The error for an agent that runs but whose socket at `path` was removed; `None` if there is no
/// such agent.
///
/// The agent cannot make the socket again: it has given up the right to make sockets.
pub(crate) fn unreachable_agent(path: &Path) -> Option<Error> {
    let gone = fs::symlink_metadata(path).is_err_and(|err| err.kind() == io::ErrorKind::NotFound);
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = File::open(&name).ok().filter(|_| gone)?;
    let held = flock(&file, FlockOperation::NonBlockingLockShared).is_err();
    let mut pid = String::new();
    file.take(16)
        .read_to_string(&mut pid)
        .ok()
        .filter(|_| held)?;
    Some(Error::SocketGone {
        path: path.into(),
        pid: pid.trim().parse().ok()?,
    })
}

/// Removes a socket that nobody listens at; anything else stays and is an error.
fn clear(path: &Path) -> Result<()> {
    let meta = match fs::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(_) => return Err(unsafe_path(path, "it cannot be looked at")),
    };
    if meta.file_type().is_symlink() {
        return Err(unsafe_path(path, "it is a symbolic link"));
    }
    if !meta.file_type().is_socket() {
        return Err(unsafe_path(path, "it is not a socket"));
    }
    if meta.uid() != rustix::process::geteuid().as_raw() {
        return Err(unsafe_path(path, "it belongs to another user"));
    }
    match UnixStream::connect(path) {
        Err(err) if err.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path)
            .map_err(|source| Error::Socket {
                path: path.into(),
                source,
            }),
        // Other errors too, such as a full queue: a program may listen there.
        _ => Err(Error::Live { path: path.into() }),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn dir() -> tempfile::TempDir {
        tempfile::Builder::new()
            .permissions(Permissions::from_mode(0o700))
            .tempdir()
            .unwrap()
    }

    fn refusal(path: &Path) -> String {
        let err = Socket::claim(path).unwrap_err();
        assert_eq!(err.kind().exit_code(), 9, "{err}");
        err.to_string().rsplit(": ").next().unwrap().to_owned()
    }

    #[test]
    fn a_socket_is_private_and_goes_with_its_owner() {
        let dir = dir();
        let path = dir.path().join("run/agent.sock");
        let socket = Socket::claim(&path).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        drop(socket);
        assert!(!path.exists());
    }

    /// A killed agent leaves a socket that nobody listens at.
    #[test]
    fn a_stale_socket_is_replaced() {
        let dir = dir();
        let path = dir.path().join("agent.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let _socket = Socket::claim(&path).unwrap();
        assert!(UnixStream::connect(&path).is_ok());
    }

    #[test]
    fn a_live_agent_is_left_alone() {
        let dir = dir();
        let path = dir.path().join("agent.sock");
        let other = UnixListener::bind(&path).unwrap();
        let err = Socket::claim(&path).unwrap_err();
        assert_eq!(err.kind().exit_code(), 10, "{err}");
        assert!(UnixStream::connect(&path).is_ok());
        drop(other);
        let _ours = Socket::claim(&path).unwrap();
        assert_eq!(Socket::claim(&path).unwrap_err().kind().exit_code(), 10);
    }

    #[test]
    fn what_is_not_ours_is_refused_and_stays() {
        let dir = dir();
        let at = |name: &str| dir.path().join(name);
        assert_eq!(
            refusal(Path::new("relative/agent.sock")),
            "it must be an absolute path"
        );

        fs::write(at("file"), "precious").unwrap();
        assert_eq!(refusal(&at("file")), "it is not a socket");
        assert_eq!(fs::read_to_string(at("file")).unwrap(), "precious");

        symlink(at("nowhere"), at("link")).unwrap();
        assert_eq!(refusal(&at("link")), "it is a symbolic link");

        fs::create_dir(at("real")).unwrap();
        symlink(at("real"), at("dir-link")).unwrap();
        assert_eq!(refusal(&at("dir-link/agent.sock")), "it is a symbolic link");

        fs::create_dir(at("open")).unwrap();
        fs::set_permissions(at("open"), Permissions::from_mode(0o777)).unwrap();
        let open = refusal(&at("open/agent.sock"));
        assert_eq!(open, "others can write to it; it should have mode 0700");

        if rustix::process::geteuid().is_root() {
            fs::create_dir(at("foreign")).unwrap();
            std::os::unix::fs::chown(at("foreign"), Some(65_534), None).unwrap();
            assert_eq!(
                refusal(&at("foreign/agent.sock")),
                "it belongs to another user"
            );
        }
    }
}
