//! Addresses of message buses, such as `unix:path=/run/dbus/system_bus_socket`.
//!
//! # Source
//!
//! D-Bus Specification, "Server Addresses", "Well-known Message Bus Instances".

use std::{env, path::PathBuf};

use crate::Error;

/// The longest list of addresses that is accepted, in bytes.
const MAX_LEN: usize = 4096;

/// The longest path in the address of a Unix socket: 108 bytes with the final zero byte.
const MAX_PATH: usize = 107;

/// The socket of the system bus, unless a variable names another.
const SYSTEM_BUS: &str = "unix:path=/var/run/dbus/system_bus_socket";

/// A Unix socket on which a bus may listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Socket {
    /// A socket in the file system.
    Path(PathBuf),
    /// A name in Linux's abstract namespace, without the leading zero byte.
    Abstract(Vec<u8>),
}

/// The address of the system bus: `DBUS_SYSTEM_BUS_ADDRESS`, otherwise the well-known socket.
///
/// If `trusted` is false the environment is ignored, because it belongs to a caller with fewer
/// rights.
#[must_use]
pub fn system_bus(trusted: bool) -> String {
    variable("DBUS_SYSTEM_BUS_ADDRESS", trusted).unwrap_or_else(|| SYSTEM_BUS.to_owned())
}

/// The address of the user's bus: `DBUS_SESSION_BUS_ADDRESS`, otherwise the socket in
/// `XDG_RUNTIME_DIR`. `None` if neither is set, or the environment is not `trusted`.
#[must_use]
pub fn session_bus(trusted: bool) -> Option<String> {
    variable("DBUS_SESSION_BUS_ADDRESS", trusted).or_else(|| {
        let dir = variable("XDG_RUNTIME_DIR", trusted)?;
        Some(format!("unix:path={}/bus", escape(&dir)))
    })
}

fn variable(name: &str, trusted: bool) -> Option<String> {
    let value = env::var(name).ok();
    value.filter(|value| trusted && !value.is_empty())
}

/// The Unix sockets in a list of addresses, in the order in which a client tries them.
///
/// Addresses of other transports (`tcp:`, `autolaunch:`) are left out.
///
/// # Errors
///
/// [`Error::Address`] if an escape or a path is malformed, or no Unix socket is listed.
pub fn sockets(addresses: &str) -> Result<Vec<Socket>, Error> {
    if addresses.len() > MAX_LEN {
        return Err(Error::Address("is too long"));
    }
    let mut sockets = Vec::new();
    for address in addresses.split(';') {
        let Some(options) = address.strip_prefix("unix:") else {
            continue;
        };
        for (key, value) in options.split(',').filter_map(|pair| pair.split_once('=')) {
            if !matches!(key, "path" | "abstract") {
                continue;
            }
            let bytes = unescape(value)?;
            if bytes.is_empty() || bytes.len() > MAX_PATH || bytes.contains(&0) {
                return Err(Error::Address("has a path that is no socket's"));
            }
            sockets.push(match key {
                "path" => Socket::Path(PathBuf::from(
                    String::from_utf8(bytes).map_err(|_| Error::Address("is not UTF-8"))?,
                )),
                _ => Socket::Abstract(bytes),
            });
        }
    }
    if sockets.is_empty() {
        return Err(Error::Address("names no Unix socket"));
    }
    Ok(sockets)
}

/// Resolves escapes such as `%2f`. Bytes that should have been escaped are accepted, as in GLib.
fn unescape(value: &str) -> Result<Vec<u8>, Error> {
    let malformed = Error::Address("has a malformed escape");
    let mut bytes = value.bytes();
    let mut out = Vec::with_capacity(value.len());
    while let Some(byte) = bytes.next() {
        out.push(if byte == b'%' {
            let mut digit = || {
                let digit = bytes.next().map(char::from);
                digit.and_then(|digit| digit.to_digit(16)).ok_or(malformed)
            };
            u8::try_from(digit()? * 16 + digit()?).map_err(|_| malformed)?
        } else {
            byte
        });
    }
    Ok(out)
}

/// Escapes all bytes that an address must not contain, as in `%2f`.
fn escape(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_/.\\*".contains(&byte);
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        if plain(byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02x}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(path: &str) -> Socket {
        Socket::Path(path.into())
    }

    #[test]
    fn the_unix_sockets_of_a_list_come_in_its_order() {
        for (address, expected) in [
            ("unix:path=/run/bus", vec![path("/run/bus")]),
            ("unix:guid=0,path=/run/bus", vec![path("/run/bus")]),
            (
                "tcp:host=localhost;unix:path=/a;unix:path=/b",
                vec![path("/a"), path("/b")],
            ),
            ("unix:path=/run/a%20b%2Cc", vec![path("/run/a b,c")]),
            ("unix:path=/run/a+b~", vec![path("/run/a+b~")]),
            (
                "unix:abstract=/tmp/x",
                vec![Socket::Abstract(b"/tmp/x".to_vec())],
            ),
        ] {
            assert_eq!(sockets(address), Ok(expected), "{address}");
        }
    }

    #[test]
    fn an_address_without_a_usable_socket_is_refused() {
        let long = format!("unix:path=/{}", "x".repeat(107));
        for address in [
            "",
            "autolaunch:",
            "tcp:host=localhost,port=1",
            "unix:tmpdir=/tmp",
            "unix:path=",
            "unix:path=/a%2",
            "unix:path=/a%zz",
            "unix:path=/a%00",
            "unix:path=/a%ff",
            &long,
            &"unix:path=/a;".repeat(400),
        ] {
            assert!(
                matches!(sockets(address), Err(Error::Address(_))),
                "{address}"
            );
        }
    }

    proptest! {
        #[test]
        fn what_is_escaped_reads_again(name in "/[^\0;,]{1,20}") {
            let address = format!("unix:path={}", escape(&name));
            prop_assert_eq!(sockets(&address), Ok(vec![path(&name)]));
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".{0,60}|unix:(path|abstract)=.{0,40}") {
            let _ = sockets(&text);
        }
    }
}
