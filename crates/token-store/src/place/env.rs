//! Reading environment variables and files of the user, if they can be trusted.

use std::{
    env, fs,
    io::{self, Read},
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use crate::{Error, Result};

/// The directory named by the variable `name`.
///
/// An empty value counts as unset, as the XDG base directory specification wants it.
///
/// # Errors
///
/// [`Error::UnsafePath`] if the path is not absolute: its meaning would depend on the working
/// directory of the host program.
pub(crate) fn dir(name: &str) -> Result<Option<PathBuf>> {
    let Some(value) = text(name) else {
        return Ok(None);
    };
    let path = PathBuf::from(value);
    if path.is_absolute() {
        Ok(Some(path))
    } else {
        Err(Error::UnsafePath {
            path,
            why: format!("{name} must be an absolute path"),
        })
    }
}

/// The value of the variable `name`; `None` if the environment cannot be trusted.
pub(crate) fn text(name: &str) -> Option<std::ffi::OsString> {
    if *SECURE {
        return None;
    }
    env::var_os(name).filter(|value| !value.is_empty())
}

/// The user's home directory: `$HOME`, otherwise the one in the password file.
pub(crate) fn home() -> Result<PathBuf> {
    match dir("HOME")? {
        Some(home) => Ok(home),
        None => {
            let uid = rustix::process::geteuid().as_raw();
            let passwd = fs::read("/etc/passwd").map_err(|_| Error::NoHome)?;
            home_in(&passwd, uid).ok_or(Error::NoHome)
        }
    }
}

/// Whether the kernel started this program with more rights than its caller has (set-user-id, file
/// capabilities). The environment is the caller's, so it is ignored then.
///
/// `true` if the kernel does not tell, because there is no `/proc`.
static SECURE: LazyLock<bool> =
    LazyLock::new(|| fs::read("/proc/self/auxv").map_or(true, |auxv| is_secure(&auxv)));

/// `AT_SECURE` of an auxiliary vector: pairs of native words, type and value.
fn is_secure(auxv: &[u8]) -> bool {
    const AT_SECURE: usize = 23;
    const WORD: usize = size_of::<usize>();
    let word = |bytes: &[u8]| bytes.try_into().map_or(0, usize::from_ne_bytes);
    auxv.chunks_exact(2 * WORD)
        .find(|pair| word(&pair[..WORD]) == AT_SECURE)
        .is_none_or(|pair| word(&pair[WORD..]) != 0)
}

/// The home directory of `uid` in a password file.
///
/// # Source
///
/// passwd(5): `name:password:UID:GID:comment:directory:shell`.
fn home_in(passwd: &[u8], uid: u32) -> Option<PathBuf> {
    let uid = uid.to_string();
    passwd.split(|&byte| byte == b'\n').find_map(|line| {
        let fields: Vec<_> = line.split(|&byte| byte == b':').collect();
        let home = *fields.get(5)?;
        let matches = fields[2] == uid.as_bytes() && home.starts_with(b"/");
        matches.then(|| PathBuf::from(std::ffi::OsString::from_vec(home.to_vec())))
    })
}

/// Reads a user's file. It must be a regular file of this user or root, not writable by others, and
/// at most `max` bytes long. `None` if it does not exist.
pub(crate) fn read_file(path: &Path, max: usize) -> Result<Option<Vec<u8>>> {
    use rustix::fs::{FileType, Mode, OFlags, fstat, open};

    // Not blocking, so that a FIFO in its place does not stop the program.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let refuse = |why: &str| Error::UnsafePath {
        path: path.to_owned(),
        why: why.to_owned(),
    };
    let file = match open(path, flags, Mode::empty()) {
        Ok(file) => file,
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => return Ok(None),
        Err(err) => return Err(unreadable(path, &err.into())),
    };
    let stat = fstat(&file).map_err(|err| unreadable(path, &err.into()))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(refuse("it is not a regular file"));
    }
    let me = rustix::process::geteuid().as_raw();
    if stat.st_uid != me && stat.st_uid != 0 {
        return Err(refuse("it belongs to another user"));
    }
    if stat.st_mode & 0o022 != 0 {
        return Err(refuse("others can write to it; it should have mode 0600"));
    }
    let mut bytes = Vec::new();
    fs::File::from(file)
        .take(max as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|err| unreadable(path, &err))?;
    if bytes.len() > max {
        return Err(refuse("it is too long"));
    }
    Ok(Some(bytes))
}

fn unreadable(path: &Path, err: &io::Error) -> Error {
    Error::Config {
        path: path.to_owned(),
        why: err.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn auxv(pairs: &[(usize, usize)]) -> Vec<u8> {
        pairs
            .iter()
            .flat_map(|(key, value)| [key.to_ne_bytes(), value.to_ne_bytes()].concat())
            .collect()
    }

    #[test]
    fn a_privileged_start_is_noticed() {
        assert!(!is_secure(&auxv(&[(6, 4096), (23, 0), (0, 0)])));
        assert!(is_secure(&auxv(&[(6, 4096), (23, 1), (0, 0)])));
        assert!(
            is_secure(&auxv(&[(6, 4096), (0, 0)])),
            "unknown is the careful answer"
        );
        assert!(is_secure(b""));
    }

    #[test]
    fn this_test_was_not_started_with_more_rights() {
        assert!(!*SECURE);
    }

    #[test]
    fn homes_are_found_by_number() {
        let passwd = b"root:x:0:0:root:/root:/bin/bash\n\
                       +nis\n\
                       odd:x:7:7::relative:/bin/sh\n\
                       a:x:1000:1000:A,,,:/home/a:/bin/sh";
        assert_eq!(home_in(passwd, 1000).unwrap(), Path::new("/home/a"));
        assert_eq!(home_in(passwd, 0).unwrap(), Path::new("/root"));
        assert!(home_in(passwd, 7).is_none());
        assert!(home_in(passwd, 100).is_none());
    }

    proptest! {
        #[test]
        fn any_password_file_is_read(bytes: Vec<u8>, uid: u32) {
            if let Some(home) = home_in(&bytes, uid) {
                prop_assert!(home.is_absolute());
            }
        }

        #[test]
        fn any_auxiliary_vector_is_read(bytes: Vec<u8>) {
            let _ = is_secure(&bytes);
        }
    }
}
