//! The service of sshd, which has to read its configuration again.

use std::process::{Command, Stdio};

use crate::fail::error::Error;
use crate::files::changes::Changes;
use crate::files::units::systemctl;

/// What sshd's service is called, on Debian and elsewhere.
const SERVERS: [&str; 2] = ["ssh.service", "sshd.service"];

/// Has a server that runs read its configuration, its host keys and their certificates again.
///
/// # Errors
///
/// [`Error::SystemdNotTold`].
pub(super) fn reload(changes: &mut Changes) -> Result<(), Error> {
    for server in SERVERS {
        if asks(&["is-active", "--quiet", server]) {
            return systemctl(changes, &[&["reload", server]]);
        }
    }
    Ok(())
}

/// Whether systemctl succeeds with these arguments.
pub(super) fn asks(arguments: &[&str]) -> bool {
    Command::new("systemctl")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
