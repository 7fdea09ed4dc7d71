//! A device node of the kernel's TPM driver: `device:`.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    thread,
    time::Duration,
};

use rustix::{
    fs::{FileType, OFlags, fstat, major, minor},
    io::Errno,
};

use super::{
    exchange::{Deadline, MAX_BUFFER, Transport, checked_length},
    readiness::{For, wait},
};
use crate::{Error, Result};

/// A device node of the kernel's TPM driver.
///
/// It is opened non-blocking. The driver then runs the command while `poll` waits, so a chip that
/// never answers costs the deadline and does not block the process for ever.
pub(super) struct Device(File);

impl Device {
    /// Opens it. If another program holds it, waits until it is free.
    ///
    /// # Errors
    ///
    /// [`Error::PermissionDenied`]; [`Error::Busy`] at the deadline; [`Error::NoTpm`], also for
    /// what is not a device, to which nothing is written.
    pub(super) fn open(path: &Path, deadline: Deadline) -> Result<Self> {
        let no_tpm = |source| Error::NoTpm {
            tcti: format!("device:{}", path.display()),
            source,
        };
        loop {
            let flags = (OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY).bits();
            let opened = OpenOptions::new()
                .read(true)
                .write(true)
                .custom_flags(flags.cast_signed())
                .open(path);
            match opened {
                Ok(file) if is_device(&file) => return Ok(Self(file)),
                Ok(_) => return Err(no_tpm(io::Error::other("not a device"))),
                Err(err) if err.kind() == io::ErrorKind::PermissionDenied => {
                    return Err(Error::PermissionDenied {
                        path: path.to_owned(),
                    });
                }
                // /dev/tpm0 belongs to one program at a time.
                Err(err) if err.raw_os_error() == Some(Errno::BUSY.raw_os_error()) => {
                    deadline.left().map_err(|_| Error::Busy)?;
                    thread::sleep(Duration::from_millis(5));
                }
                Err(source) => return Err(no_tpm(source)),
            }
        }
    }

    /// The major and the minor number of the device.
    pub(super) fn numbers(&self) -> Option<(u32, u32)> {
        let device = fstat(&self.0).ok()?.st_rdev;
        Some((major(device), minor(device)))
    }
}

fn is_device(file: &File) -> bool {
    let mode = fstat(file).map(|stat| stat.st_mode);
    mode.is_ok_and(|mode| FileType::from_raw_mode(mode) == FileType::CharacterDevice)
}

impl Transport for Device {
    fn send(&mut self, command: &[u8], _deadline: Deadline) -> Result<()> {
        self.0.write_all(command).map_err(device_error)
    }

    fn receive(&mut self, deadline: Deadline) -> Result<Vec<u8>> {
        wait(&self.0, For::Reading, deadline)?;
        let mut response = vec![0; MAX_BUFFER];
        let read = self.0.read(&mut response).map_err(device_error)?;
        response.truncate(read);
        if checked_length(&response)? != read {
            return Err(Error::Malformed("response length"));
        }
        Ok(response)
    }

    fn abandon(self: Box<Self>) {}
}

/// The kernel's resource manager returns `EINVAL` for an unknown handle. It returns `EFAULT`, from
/// then on for each command, on a connection whose objects it could not restore, such as after the
/// TPM was cleared or a session flushed.
fn device_error(err: io::Error) -> Error {
    match err.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::INVAL | Errno::FAULT) => Error::Stale,
        _ => Error::Connection(err),
    }
}
