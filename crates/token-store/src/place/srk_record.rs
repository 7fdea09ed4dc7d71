//! The record of this machine's storage root keys, written by root.
//!
//! The store belongs to its user, so an attacker with the user's rights can put another storage
//! root key into it. He cannot change the record in `/etc`.

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};

use rand_core::{OsRng, RngCore};
use rustix::{
    fs::{
        AtFlags, FileType, Mode, OFlags, Stat, fchmod, fstat, fsync, mkdirat, open, openat,
        renameat, unlinkat,
    },
    io::Errno,
};
use tpm_core::Name;

use crate::{Error, Result};

/// The path of the record. It has the Names of this machine's storage root keys in hexadecimal
/// digits, one a line. Text after a `#` is a comment.
pub const SRK_RECORD: &str = "/etc/tpmssh/srk";

/// The directories of the path, from the root, and the file name.
const DIRS: [&str; 2] = ["etc", "tpmssh"];
const FILE: &str = "srk";

/// The longest file that is read, in bytes.
const MAX_LEN: u64 = 16 * 1024;

/// The Names that root has recorded, in hexadecimal digits; `None` if there is no record.
///
/// The record is accepted only if it and its directories belong to root and no other user can write
/// to them.
///
/// # Errors
///
/// [`Error::UnsafePath`] if another user could have written the record; [`Error::Config`] if it
/// contains anything but Names and comments.
pub fn recorded_srks() -> Result<Option<Vec<String>>> {
    read(&root()?, 0)
}

/// Records `name` for this machine, in place of the old record. Only root can do this.
///
/// # Errors
///
/// [`Error::Record`] if it cannot be written, and [`Error::UnsafePath`] if others could change
/// it.
pub fn record_srk(name: &Name) -> Result<()> {
    let root = root()?;
    write(&root, name).map_err(|err| Error::Record(err.into()))?;
    // The directories may have existed before, with other owners and modes.
    read(&root, 0).map(drop)
}

/// Refuses a storage root key if root has recorded others.
pub(crate) fn check_srk(name: &Name) -> Result<()> {
    match recorded_srks()? {
        Some(names) if !names.contains(&name.to_string()) => Err(Error::UnrecordedSrk),
        _ => Ok(()),
    }
}

fn root() -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    open("/", flags, Mode::empty()).map_err(|err| Error::Record(err.into()))
}

/// The record below the directory `root`, which the user with number `owner` must have written.
fn read(root: &OwnedFd, owner: u32) -> Result<Option<Vec<String>>> {
    let mut path = PathBuf::from("/");
    let mut dirs = vec![root.try_clone().map_err(Error::Record)?];
    for name in DIRS {
        path.push(name);
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat(&dirs[dirs.len() - 1], name, flags, Mode::empty()) {
            Ok(dir) => dirs.push(dir),
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::NOTDIR | Errno::LOOP) => return Err(refuse(&path, "it is not a directory")),
            Err(err) => return Err(Error::Record(err.into())),
        }
    }
    path.push(FILE);
    // Not blocking, so that a FIFO in its place does not stop the program.
    let flags =
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = match openat(&dirs[dirs.len() - 1], FILE, flags, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(None),
        Err(Errno::LOOP) => return Err(refuse(&path, "it is a symbolic link")),
        Err(Errno::ACCESS) => {
            return Err(refuse(
                &path,
                "this user cannot read it; it should have mode 0644",
            ));
        }
        Err(err) => return Err(Error::Record(err.into())),
    };
    let mut way = path.clone();
    check(&way, &stat(&file)?, owner)?;
    for dir in dirs.iter().rev() {
        way.pop();
        check(&way, &stat(dir)?, owner)?;
    }
    if FileType::from_raw_mode(stat(&file)?.st_mode) != FileType::RegularFile {
        return Err(refuse(&path, "it is not a regular file"));
    }
    let mut text = Vec::new();
    File::from(file)
        .take(MAX_LEN + 1)
        .read_to_end(&mut text)
        .map_err(Error::Record)?;
    let names = names(&text).ok_or(Error::Config {
        path,
        why: "it has something else than the Names of storage root keys".to_owned(),
    })?;
    Ok(Some(names))
}

/// The Names in a record; `None` if there is none, or if the record contains anything else.
fn names(text: &[u8]) -> Option<Vec<String>> {
    if text.len() as u64 > MAX_LEN {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?;
    let lines = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim())
        .filter(|line| !line.is_empty());
    let names: Vec<_> = lines.map(str::to_ascii_lowercase).collect();
    // The 16 bits of the algorithm and a hash of at least 256 bits.
    let is_name = |name: &String| {
        name.len() >= 68
            && name.len().is_multiple_of(2)
            && name.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    (!names.is_empty() && names.iter().all(is_name)).then_some(names)
}

/// Replaces the record below `root` by a rename, so that other programs read either the old one or
/// the new one.
fn write(root: &OwnedFd, name: &Name) -> rustix::io::Result<()> {
    let mut dir = root.try_clone().map_err(|_| Errno::MFILE)?;
    for name in DIRS {
        match mkdirat(&dir, name, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(err) => return Err(err),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        dir = openat(&dir, name, flags, Mode::empty())?;
    }
    let new = format!(".{FILE}.{:016x}", OsRng.next_u64());
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(&dir, &new, flags, Mode::from_raw_mode(0o644))?;
    let text =
        format!("# The storage root key of this machine's TPM: tpmssh tpm pin-srk\n{name}\n");
    let placed = fchmod(&file, Mode::from_raw_mode(0o644))
        .and_then(|()| fill(file, &text))
        .and_then(|()| renameat(&dir, &new, &dir, FILE));
    if placed.is_err() {
        let _ = unlinkat(&dir, &new, AtFlags::empty());
    }
    placed.and_then(|()| fsync(&dir))
}

fn fill(file: OwnedFd, text: &str) -> rustix::io::Result<()> {
    let mut file = File::from(file);
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(|err| Errno::from_io_error(&err).unwrap_or(Errno::IO))
}

fn stat(file: &impl AsFd) -> Result<Stat> {
    fstat(file).map_err(|err| Error::Record(err.into()))
}

fn check(path: &Path, stat: &Stat, owner: u32) -> Result<()> {
    if stat.st_uid != owner {
        return Err(refuse(path, "it does not belong to root"));
    }
    if stat.st_mode & 0o022 != 0 {
        return Err(refuse(path, "others than root can write to it"));
    }
    Ok(())
}

fn refuse(path: &Path, why: &str) -> Error {
    Error::UnsafePath {
        path: path.to_owned(),
        why: why.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::*;

    /// The Name of an empty public area, with SHA-256.
    fn name() -> Name {
        Name::of_public(&[])
    }

    /// A directory in the place of `/`, and its owner.
    fn made() -> (tempfile::TempDir, OwnedFd, u32) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = open(dir.path(), flags, Mode::empty()).expect("it is there");
        (dir, root, rustix::process::geteuid().as_raw())
    }

    #[test]
    fn what_was_recorded_is_read_and_replaced() {
        let (_dir, root, me) = made();
        assert_eq!(read(&root, me).unwrap(), None);
        for _ in 0..2 {
            write(&root, &name()).unwrap();
            assert_eq!(read(&root, me).unwrap(), Some(vec![name().to_string()]));
        }
    }

    #[test]
    fn a_record_that_others_could_have_written_is_refused() {
        let (dir, root, me) = made();
        write(&root, &name()).unwrap();
        let text = |err: Error| err.to_string();
        assert_eq!(
            read(&root, me + 1).map_err(text).unwrap_err(),
            "unsafe path /etc/tpmssh/srk: it does not belong to root"
        );
        for (path, mode) in [
            ("etc/tpmssh/srk", 0o664),
            ("etc/tpmssh", 0o775),
            ("etc", 0o757),
        ] {
            let there = dir.path().join(path);
            let before = fs::metadata(&there).unwrap().permissions();
            fs::set_permissions(&there, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(
                read(&root, me).map_err(text).unwrap_err(),
                format!("unsafe path /{path}: others than root can write to it")
            );
            fs::set_permissions(&there, before).unwrap();
        }
        let file = dir.path().join("etc/tpmssh/srk");
        fs::rename(&file, dir.path().join("elsewhere")).unwrap();
        std::os::unix::fs::symlink("../../elsewhere", &file).unwrap();
        assert_eq!(
            read(&root, me).map_err(text).unwrap_err(),
            "unsafe path /etc/tpmssh/srk: it is a symbolic link"
        );
    }

    #[test]
    fn a_record_has_names_and_nothing_else() {
        let hex = name().to_string();
        let two = format!(
            "# mine\n{hex} # the laptop\n\n{}\n",
            hex.to_ascii_uppercase()
        );
        assert_eq!(names(two.as_bytes()), Some(vec![hex.clone(), hex.clone()]));
        for bad in ["", "# nothing\n", "000b", &hex[1..], &format!("{hex}\nx")] {
            assert_eq!(names(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(names(&[0xff; 68]), None);
        assert_eq!(names(&vec![b'a'; 20_000]), None);
    }
}
