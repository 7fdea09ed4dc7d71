//! Secrets from files and descriptors.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use zeroize::Zeroizing;

use super::Secret;
use crate::fail::error::{Error, Result};

/// The most bytes that are read. No PIN or authorization value is as long.
pub(super) const MAX_LEN: usize = 1024;

/// How long a pipe may take: its other end may be a program that asks somebody.
const PATIENCE: Duration = Duration::from_secs(60);

/// Reads the only line of a file that belongs to this user or root and that nobody else can
/// read; `-` is standard input.
pub(super) fn from_file(path: &Path) -> Result<Secret> {
    match path == Path::new("-") {
        true => from_fd(0),
        false => from_path(path, PATIENCE),
    }
}

fn from_path(path: &Path, patience: Duration) -> Result<Secret> {
    let name = path.display().to_string();
    let unreadable = |source| Error::Unreadable {
        from: path.display().to_string(),
        source,
    };
    let file = open(path).map_err(unreadable)?;
    refuse_terminal(&file, &name)?;
    // Metadata of the open file, because the path could name another one by now.
    let meta = file.metadata().map_err(unreadable)?;
    let me = rustix::process::geteuid().as_raw();
    if meta.mode() & 0o077 != 0 || ![me, 0].contains(&meta.uid()) {
        return Err(Error::ExposedFile { path: path.into() });
    }
    let secret = line_within(&file, &name, patience)?;
    let mut rest = Zeroizing::new([0; 1]);
    match read_byte(&file, &mut rest) {
        Ok(0) | Err(Errno::AGAIN) => Ok(secret),
        Ok(_) => Err(Error::SeveralLines { path: path.into() }),
        Err(err) => Err(unreadable(err.into())),
    }
}

/// Reads one line from a descriptor that this process inherited, and not a byte
/// more: the next line may be the next secret.
pub(super) fn from_fd(fd: u32) -> Result<Secret> {
    from_descriptor(fd, PATIENCE)
}

fn from_descriptor(fd: u32, patience: Duration) -> Result<Secret> {
    let name = format!("file descriptor {fd}");
    let unreadable = |source| Error::Unreadable {
        from: format!("file descriptor {fd}"),
        source,
    };
    // Its name in /dev/fd would open the reading end of the pipe, and reading would wait for this process itself.
    if is_for_writing(fd) {
        return Err(unreadable(io::Error::other("it is open for writing only")));
    }
    if fd == 0 {
        refuse_terminal(io::stdin(), &name)?;
        return line_within(io::stdin(), &name, patience);
    }
    let file = descriptor(fd).map_err(unreadable)?;
    refuse_terminal(&file, &name)?;
    line_within(&file, &name, patience)
}

/// A copy of the descriptor with this number, which other code of this process may own.
fn descriptor(fd: u32) -> io::Result<File> {
    // A duplicate keeps the file position. Opening it by its name in /dev/fd would begin at the start of the file.
    let copy = || {
        let this = pidfd_open(getpid(), PidfdFlags::empty())?;
        let fd = i32::try_from(fd).map_err(|_| Errno::BADF)?;
        pidfd_getfd(this, fd, PidfdGetfdFlags::empty())
    };
    match copy() {
        Ok(copy) => Ok(copy.into()),
        // Older kernels, and some containers, do not support pidfd_getfd.
        Err(_) => open(Path::new(&format!("/dev/fd/{fd}"))),
    }
}

/// Opens a file without waiting for the other end of a pipe.
fn open(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

/// Whether a descriptor is open and cannot be read (proc_pid_fdinfo(5)).
fn is_for_writing(fd: u32) -> bool {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap_or_default();
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
    flags.is_some_and(|flags| flags & 3 == OFlags::WRONLY.bits())
}

/// Refuses a terminal: it would show the secret, and there would be no prompt.
fn refuse_terminal(file: impl AsFd, name: &str) -> Result<()> {
    match file.as_fd().is_terminal() {
        true => Err(Error::IsATerminal { from: name.into() }),
        false => Ok(()),
    }
}

/// Reads a line that people and their editors wrote, within this time.
fn line_within(from: impl AsFd, name: &str, patience: Duration) -> Result<Secret> {
    let end = Instant::now() + patience;
    let line = line(&from, name, Some(end))?;
    let marks: [&[u8]; 3] = [b"\xef\xbb\xbf", b"\xfe\xff", b"\xff\xfe"];
    if marks.iter().any(|mark| line.starts_with(mark)) {
        return Err(Error::ByteOrderMark { from: name.into() });
    }
    Ok(line)
}

/// Reads up to a line feed, which is dropped, or the end.
pub(super) fn first_line(from: impl AsFd, name: &str) -> Result<Secret> {
    line(from, name, None)
}

fn line(from: impl AsFd, name: &str, end: Option<Instant>) -> Result<Secret> {
    let unreadable = |err: Errno| Error::Unreadable {
        from: name.into(),
        source: err.into(),
    };
    let mut line = Zeroizing::new(Vec::with_capacity(MAX_LEN));
    loop {
        if let Some(end) = end
            && !wait(&from, end).map_err(unreadable)?
        {
            return Err(Error::NothingYet { from: name.into() });
        }
        match push_byte(&from, name, &mut line) {
            Err(Error::Unreadable { source, .. })
                if end.is_some() && source.kind() == io::ErrorKind::WouldBlock => {}
            Ok(false) => {}
            done => return done.map(|_| line),
        }
    }
}

/// Reads a byte of a line into memory that was reserved for it; `true` at the end of the line.
pub(super) fn push_byte(from: impl AsFd, name: &str, line: &mut Secret) -> Result<bool> {
    let mut byte = Zeroizing::new([0; 1]);
    let count = read_byte(from, &mut byte).map_err(|err| Error::Unreadable {
        from: name.into(),
        source: err.into(),
    })?;
    match (count, byte[0]) {
        (0, _) if line.is_empty() => Err(Error::NothingRead { from: name.into() }),
        (0, _) | (_, b'\n') => Ok(true),
        // Growing would leave a copy behind.
        _ if line.len() == MAX_LEN => Err(Error::TooMuchRead {
            from: name.into(),
            max: MAX_LEN,
        }),
        (_, byte) => {
            line.push(byte);
            Ok(false)
        }
    }
}

/// Waits until there is something to read, or the end of it; `false` if the time is over.
fn wait(from: impl AsFd, end: Instant) -> Result<bool, Errno> {
    loop {
        let left = end.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).map_err(|_| Errno::INVAL)?;
        match poll(&mut [PollFd::new(&from, PollFlags::IN)], Some(&timeout)) {
            Err(Errno::INTR) => {}
            ready => return ready.map(|ready| ready > 0),
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

    use testing::assert_matches;

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
            assert_matches!(err, Error::ExposedFile { .. }, "{mode:o}: {err}");
        }
    }

    #[test]
    fn a_second_line_is_not_overlooked() {
        let (_dir, path) = file(b"1234\n5678\n", 0o400);
        let err = from_file(&path).unwrap_err();
        assert_matches!(err, Error::SeveralLines { .. });
    }

    #[test]
    fn an_empty_file_is_no_empty_pin() {
        let (_dir, path) = file(b"", 0o600);
        let err = from_file(&path).unwrap_err();
        assert_matches!(err, Error::NothingRead { .. });
    }

    #[test]
    fn input_is_capped() {
        let (_dir, path) = file(&[b'1'; MAX_LEN], 0o600);
        assert_eq!(from_file(&path).unwrap().len(), MAX_LEN);
        let (_dir, path) = file(&[b'1'; MAX_LEN + 1], 0o600);
        let err = from_file(&path).unwrap_err();
        assert_matches!(err, Error::TooMuchRead { .. });
        let err = from_file(Path::new("/dev/zero")).unwrap_err();
        assert_matches!(err, Error::ExposedFile { .. });
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
        assert_matches!(err, Error::NothingRead { .. });
    }

    #[test]
    fn a_descriptor_that_is_not_open_is_named() {
        let err = from_fd(987_654).unwrap_err();
        assert_eq!(err.to_string(), "cannot read file descriptor 987654");
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_a_secret() {
        for content in [
            &b"\xef\xbb\xbf1234\n"[..],
            b"\xff\xfe1\x002\x00",
            b"\xfe\xff\x001\x002",
        ] {
            let (_dir, path) = file(content, 0o600);
            let err = from_file(&path).unwrap_err();
            let expected = format!("{} begins with a byte order mark", path.display());
            assert_eq!((err.to_string(), err.kind().exit_code()), (expected, 2));
        }
    }

    #[test]
    fn a_pipe_is_waited_for_and_not_for_ever() {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        let brief = Duration::from_millis(20);
        let err = from_path(&path, brief).unwrap_err();
        let expected = format!("nothing came from {} for a minute", path.display());
        assert_eq!((err.to_string(), err.kind().exit_code()), (expected, 2));
        // A writer that opens the pipe, and writes after a while.
        let name = path.clone();
        let writer = std::thread::spawn(move || {
            let mut pipe = OpenOptions::new().write(true).open(name).unwrap();
            std::thread::sleep(brief);
            pipe.write_all(b"1234\n").unwrap();
        });
        assert_eq!(from_path(&path, PATIENCE).unwrap().as_slice(), b"1234");
        writer.join().unwrap();

        let (reader, _writer) = std::io::pipe().unwrap();
        let fd = u32::try_from(reader.as_raw_fd()).unwrap();
        let err = from_descriptor(fd, brief).unwrap_err();
        assert_matches!(err, Error::NothingYet { .. });
    }

    #[test]
    fn a_descriptor_that_cannot_be_read_is_not_waited_for() {
        let (_reader, writer) = std::io::pipe().unwrap();
        let fd = writer.as_raw_fd();
        let err = anyhow::Error::from(from_fd(u32::try_from(fd).unwrap()).unwrap_err());
        let expected = format!("cannot read file descriptor {fd}: it is open for writing only");
        assert_eq!(format!("{err:#}"), expected);
    }

    #[test]
    fn a_descriptor_of_a_file_goes_on_where_it_stands() {
        let (_dir, path) = file(b"first\nsecond\n", 0o600);
        let file = File::open(&path).unwrap();
        let fd = u32::try_from(file.as_raw_fd()).unwrap();
        assert_eq!(from_fd(fd).unwrap().as_slice(), b"first");
        assert_eq!(from_fd(fd).unwrap().as_slice(), b"second");
    }
}
