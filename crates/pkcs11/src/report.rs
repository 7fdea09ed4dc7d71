//! Reasons in the system's log, for return values that do not tell them.
//!
//! `CKR_DEVICE_ERROR` is all that a caller can be told of a store that another user owns, and
//! most hosts print the number alone. A module may not print; SoftHSM writes to the system's log
//! as well. This does not use `syslog`, which belongs to the host: it opens one descriptor for the
//! whole process, under one name.

use std::{
    error::Error as _,
    hash::{DefaultHasher, Hash, Hasher},
    io,
    os::unix::net::UnixDatagram,
    path::Path,
    process,
    sync::atomic::{AtomicU64, Ordering},
};

use cryptoki_sys::*;

use crate::error::Error;

/// The socket of the system's log.
///
/// # Source
///
/// systemd-journald.service(8), "/dev/log"; glibc's `_PATH_LOG`.
const SOCKET: &str = "/dev/log";

/// The longest message in bytes: RFC 3164, section 4.1.
const MAX_LEN: usize = 1024;

/// Writes the reason of a failure to the system's log, if the return value does not tell it. The same
/// reason is written again only after another one took its place in `LAST`, because hosts repeat
/// calls that failed.
///
/// Never waits, and does nothing if there is no log.
pub(crate) fn failure(function: &str, err: &Error) {
    static LAST: [AtomicU64; 16] = [const { AtomicU64::new(0) }; 16];
    if !hides_reason(err) {
        return;
    }
    let reason = chain(err);
    // An atomic number, because another thread could hold a lock when the host forks.
    let digest = digest(&reason);
    // The lowest bit of a digest is always set.
    let last = &LAST[(digest >> 1) as usize % LAST.len()];
    if last.swap(digest, Ordering::Relaxed) != digest {
        let _ = send(Path::new(SOCKET), &message(function, &reason));
    }
}

/// Whether the return value tells less than a person needs.
fn hides_reason(err: &Error) -> bool {
    use token_store::Error as Store;
    let is_usual = matches!(
        err,
        Error::Store(Store::NoStore { .. } | Store::NoSuchToken { .. } | Store::NoTpmConfigured)
    );
    let is_vague = matches!(
        err.rv(),
        CKR_GENERAL_ERROR
            | CKR_FUNCTION_FAILED
            | CKR_DEVICE_ERROR
            | CKR_DEVICE_MEMORY
            | CKR_DEVICE_REMOVED
            | CKR_TOKEN_NOT_PRESENT
            | CKR_TOKEN_NOT_RECOGNIZED
    );
    matches!(
        err,
        Error::Store(_) | Error::StoreOfParent(_) | Error::Internal
    ) && is_vague
        && !is_usual
}

/// An error with its causes.
fn chain(err: &Error) -> String {
    let mut text = err.to_string();
    let mut source = err.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// A number that differs for different texts, and is not 0.
fn digest(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish() | 1
}

/// A message of one line, from a user's program (1) and an error (3).
///
/// # Source
///
/// RFC 3164, section 4.1.1, without the time, which the log adds.
fn message(function: &str, reason: &str) -> Vec<u8> {
    let reason = reason.replace(char::is_control, "?");
    let pid = process::id();
    let text = format!("<11>tpmssh_pkcs11[{pid}]: {function}: {reason}");
    text.into_bytes().into_iter().take(MAX_LEN).collect()
}

/// Sends one message, or nothing: it never waits.
fn send(socket: &Path, message: &[u8]) -> io::Result<()> {
    let from = UnixDatagram::unbound()?;
    from.set_nonblocking(true)?;
    from.send_to(message, socket).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_line_of_the_systems_log() {
        let dir = testing::memory_dir();
        let path = dir.path().join("log");
        let log = UnixDatagram::bind(&path).unwrap();
        send(&path, &message("C_OpenSession", "the store\nis \x1bold")).unwrap();
        let mut bytes = [0; 2 * MAX_LEN];
        let len = log.recv(&mut bytes).unwrap();
        let expected = format!(
            "<11>tpmssh_pkcs11[{}]: C_OpenSession: the store?is ?old",
            process::id()
        );
        assert_eq!(String::from_utf8_lossy(&bytes[..len]), expected);
        assert_eq!(message("C_Sign", &"x".repeat(5000)).len(), MAX_LEN);
        assert!(send(&dir.path().join("none"), b"lost").is_err());
    }

    #[test]
    fn what_the_return_value_tells_is_not_repeated() {
        use token_store::Error as Store;
        for (err, hides) in [
            (Error::Internal, true),
            (Error::Store(Store::ReadOnly), false),
            (Error::Store(Store::PinLocked), false),
            (Error::Store(Store::NoTpmConfigured), false),
            (Error::Store(Store::OtherTpm), true),
            (Error::Store(Store::Busy), true),
            (Error::MechanismInvalid, false),
            (Error::FunctionFailed, false),
        ] {
            assert_eq!(hides_reason(&err), hides, "{err}");
        }
    }

    #[test]
    fn the_causes_of_an_error_are_named() {
        let disk = io::Error::from(io::ErrorKind::PermissionDenied);
        let text = chain(&Error::Store(token_store::Error::Disk(disk)));
        assert!(text.ends_with(": permission denied"), "{text}");
    }
}
