//! Secrets from files and descriptors.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::io::Errno;
use zeroize::Zeroizing;

use super::Secret;
use crate::fail::error::{Error, Result};

/// More than any PIN or authorization value has; only bounds what is read.
pub(super) const MAX_LEN: usize = 1024;

/// Reads the only line of a file that belongs to this user or root and that
/// nobody else can read.
pub(super) fn from_file(path: &Path) -> Result<Secret> {
    let unreadable = |source| Error::Unreadable {
        from: path.display().to_string(),
        source,
    };
    let file = File::open(path).map_err(unreadable)?;
    // Of the open file: the path could name another one by now.
    let meta = file.metadata().map_err(unreadable)?;
    let me = rustix::process::geteuid().as_raw();
    if meta.mode() & 0o077 != 0 || ![me, 0].contains(&meta.uid()) {
        return Err(Error::ExposedFile { path: path.into() });
    }
    let secret = first_line(&file, &path.display().to_string())?;
    let mut rest = Zeroizing::new([0; 1]);
    match read_byte(&file, &mut rest).map_err(|err| unreadable(err.into()))? {
        0 => Ok(secret),
        _ => Err(Error::SeveralLines { path: path.into() }),
    }
}

/// Reads one line from a descriptor that this process inherited, and not a byte
/// more: the next line may be the next secret.
pub(super) fn from_fd(fd: u32) -> Result<Secret> {
    let name = format!("file descriptor {fd}");
    if fd == 0 {
        return first_line(std::io::stdin(), &name);
    }
    // Opening it again by name takes no ownership of a number that could be anything.
    let file = File::open(format!("/dev/fd/{fd}")).map_err(|source| Error::Unreadable {
        from: name.clone(),
        source,
    })?;
    first_line(&file, &name)
}

/// Reads up to a line feed, which is dropped, or the end.
pub(super) fn first_line(from: impl AsFd, name: &str) -> Result<Secret> {
    let mut line = Zeroizing::new(Vec::with_capacity(MAX_LEN));
    let mut byte = Zeroizing::new([0; 1]);
    loop {
        let count = read_byte(&from, &mut byte).map_err(|err| Error::Unreadable {
            from: name.into(),
            source: err.into(),
        })?;
        match (count, byte[0]) {
            (0, _) if line.is_empty() => return Err(Error::NothingRead { from: name.into() }),
            (0, _) | (_, b'\n') => return Ok(line),
            // Growing would leave a copy behind.
            _ if line.len() == MAX_LEN => return Err(Error::TooMuchRead { from: name.into() }),
            (_, byte) => line.push(byte),
        }
    }
}

fn read_byte(from: impl AsFd, byte: &mut [u8; 1]) -> Result<usize, Errno> {
    rustix::io::retry_on_intr(|| rustix::io::read(&from, &mut byte[..]))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::io::Write;
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::*;

    fn file(content: &[u8], mode: u32) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pin");
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        (dir, path)
    }

    #[test]
    fn one_line_feed_at_the_end_of_a_file_is_dropped_and_nothing_else() {
        for (content, expected) in [
            (&b"1234"[..], &b"1234"[..]),
            (b"1234\n", b"1234"),
            (b" 12 34 \r\n", b" 12 34 \r"),
            (b"\n", b""),
        ] {
            let (_dir, path) = file(content, 0o600);
            assert_eq!(from_file(&path).unwrap().as_slice(), expected);
        }
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        for mode in [0o640, 0o604, 0o660, 0o666] {
            let (_dir, path) = file(b"1234", mode);
            let err = from_file(&path).unwrap_err();
            assert!(matches!(err, Error::ExposedFile { .. }), "{mode:o}: {err}");
        }
    }

    #[test]
    fn a_second_line_is_not_overlooked() {
        let (_dir, path) = file(b"1234\n5678\n", 0o400);
        let err = from_file(&path).unwrap_err();
        assert!(matches!(err, Error::SeveralLines { .. }), "{err}");
    }

    #[test]
    fn an_empty_file_is_no_empty_pin() {
        let (_dir, path) = file(b"", 0o600);
        let err = from_file(&path).unwrap_err();
        assert!(matches!(err, Error::NothingRead { .. }), "{err}");
    }

    #[test]
    fn input_is_capped() {
        let (_dir, path) = file(&[b'1'; MAX_LEN], 0o600);
        assert_eq!(from_file(&path).unwrap().len(), MAX_LEN);
        let (_dir, path) = file(&[b'1'; MAX_LEN + 1], 0o600);
        let err = from_file(&path).unwrap_err();
        assert!(matches!(err, Error::TooMuchRead { .. }), "{err}");
        let err = from_file(Path::new("/dev/zero")).unwrap_err();
        assert!(matches!(err, Error::ExposedFile { .. }), "{err}");
    }

    #[test]
    fn two_secrets_come_from_one_descriptor_in_order() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(b"first\nsecond").unwrap();
        drop(writer);
        let fd = u32::try_from(reader.as_raw_fd()).unwrap();
        assert_eq!(from_fd(fd).unwrap().as_slice(), b"first");
        assert_eq!(from_fd(fd).unwrap().as_slice(), b"second");
        let err = from_fd(fd).unwrap_err();
        assert!(matches!(err, Error::NothingRead { .. }), "{err}");
    }

    #[test]
    fn a_descriptor_that_is_not_open_is_named() {
        let err = from_fd(987_654).unwrap_err();
        assert_eq!(err.to_string(), "cannot read file descriptor 987654");
    }
}
