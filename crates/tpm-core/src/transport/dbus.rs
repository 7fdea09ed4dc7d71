//! Asking a message bus (D-Bus) for the resource manager tpm2-abrmd, before libtss2 does.
//!
//! Where the bus or the manager is not there, libtss2 and GLib write several lines to the
//! standard error of whatever program they are loaded into, which may be `ssh`. So that is
//! found out here first. The connection that is then used is theirs.
//!
//! # Source
//!
//! D-Bus Specification, version 0.42: "Server Addresses", "Authentication Protocol", "Message
//! Format", "Message Bus Messages".

use std::{
    env,
    io::{self, BufRead, BufReader, Read, Write},
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixStream},
    },
    path::Path,
    time::Duration,
};

/// The name of the resource manager, unless the connection string has another.
const NAME: &str = "com.intel.tss2.Tabrmd";

/// How long the bus may take to answer, in which it starts a manager that does not run.
const PATIENCE: Duration = Duration::from_secs(25);

/// The longest message that is read, in bytes.
const MAX_MESSAGE: usize = 64 * 1024;

const METHOD_RETURN: u8 = 2;
const ERROR: u8 = 3;

/// Has the bus start the manager that `conf` (`bus_name=…,bus_type=…`) names, unless it runs.
///
/// A bus whose address is of a kind that this does not know is taken to be all right.
///
/// # Errors
///
/// Where the bus does not answer, or knows no such manager.
pub(crate) fn start_manager(conf: &str) -> io::Result<()> {
    let option = |key: &str| {
        let mut pairs = conf.split(',').filter_map(|pair| pair.split_once('='));
        pairs.find(|(name, _)| *name == key).map(|(_, value)| value)
    };
    let address = address(option("bus_type") == Some("session"));
    let Some(socket) = socket(&address)? else {
        return Ok(());
    };
    let name = option("bus_name").unwrap_or(NAME);
    let mut bus = Bus::connect(&socket)?;
    bus.call("Hello", "", &[])?;
    let mut arguments = Vec::new();
    put_string(&mut arguments, name);
    // It answers with a boolean of 4 bytes, in the byte order of its own.
    let owned = bus.call("NameHasOwner", "s", &arguments)?;
    if owned.contains(&1) {
        return Ok(());
    }
    // Flags that mean nothing yet.
    pad(&mut arguments, 4);
    arguments.extend([0; 4]);
    bus.call("StartServiceByName", "su", &arguments).map(drop)
}

/// The address of the user's or of the system's bus, where libdbus and GLib look for it.
fn address(session: bool) -> String {
    let variable = if session {
        "DBUS_SESSION_BUS_ADDRESS"
    } else {
        "DBUS_SYSTEM_BUS_ADDRESS"
    };
    // As GLib does: the environment of a program that has more rights than its caller is not
    // believed.
    let me = rustix::process::getuid() == rustix::process::geteuid()
        && rustix::process::getgid() == rustix::process::getegid();
    let text = |name| env::var(name).ok().filter(|text| me && !text.is_empty());
    if let Some(address) = text(variable) {
        return address;
    }
    match text("XDG_RUNTIME_DIR") {
        Some(dir) if session => format!("unix:path={dir}/bus"),
        _ => "unix:path=/var/run/dbus/system_bus_socket".to_owned(),
    }
}

/// The first Unix socket of an address; `None` where it has others.
fn socket(address: &str) -> io::Result<Option<SocketAddr>> {
    for server in address.split(';') {
        let Some(options) = server.strip_prefix("unix:") else {
            continue;
        };
        for (key, value) in options.split(',').filter_map(|pair| pair.split_once('=')) {
            // Escapes (%20) are for unusual paths.
            match key {
                _ if value.contains('%') => return Ok(None),
                "path" => return SocketAddr::from_pathname(Path::new(value)).map(Some),
                "abstract" => return SocketAddr::from_abstract_name(value).map(Some),
                _ => {}
            }
        }
    }
    Ok(None)
}

/// A connection to a bus, on which calls are made one after the other.
struct Bus {
    stream: BufReader<UnixStream>,
    serial: u32,
}

impl Bus {
    /// Connects, and says who we are, which the bus sees for itself.
    fn connect(socket: &SocketAddr) -> io::Result<Self> {
        let stream = UnixStream::connect_addr(socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut stream = BufReader::new(stream);
        let user = rustix::process::geteuid().as_raw().to_string();
        let user: String = user.bytes().map(|digit| format!("{digit:02x}")).collect();
        let hello = format!("\0AUTH EXTERNAL {user}\r\n");
        stream.get_mut().write_all(hello.as_bytes())?;
        let mut answer = Vec::new();
        stream.by_ref().take(1024).read_until(b'\n', &mut answer)?;
        if !answer.starts_with(b"OK ") {
            return Err(io::Error::other("the message bus does not let us in"));
        }
        stream.get_mut().write_all(b"BEGIN\r\n")?;
        Ok(Self { stream, serial: 0 })
    }

    /// Calls a method of the bus itself, and waits for what it returns.
    fn call(&mut self, member: &str, signature: &str, arguments: &[u8]) -> io::Result<Vec<u8>> {
        self.serial += 1;
        let message = method_call(self.serial, member, signature, arguments);
        self.stream.get_mut().write_all(&message)?;
        loop {
            let (kind, reply_to, body) = self.read()?;
            match kind {
                METHOD_RETURN if reply_to == Some(self.serial) => return Ok(body),
                ERROR if reply_to == Some(self.serial) => {
                    return Err(io::Error::other("the message bus has no resource manager"));
                }
                // A signal.
                _ => {}
            }
        }
    }

    /// The type of the next message, the serial number that it replies to, and its body.
    fn read(&mut self) -> io::Result<(u8, Option<u32>, Vec<u8>)> {
        let mut head = [0; 16];
        self.stream.read_exact(&mut head)?;
        let number = |at: usize| {
            let bytes = [head[at], head[at + 1], head[at + 2], head[at + 3]];
            let value = match head[0] {
                b'l' => u32::from_le_bytes(bytes),
                _ => u32::from_be_bytes(bytes),
            };
            usize::try_from(value).unwrap_or(usize::MAX)
        };
        let (body, fields) = (number(4), number(12));
        let rest = fields.checked_next_multiple_of(8);
        let rest = rest.and_then(|fields| fields.checked_add(body));
        let rest = rest
            .filter(|&len| len <= MAX_MESSAGE)
            .ok_or_else(malformed)?;
        let mut bytes = vec![0; rest];
        self.stream.read_exact(&mut bytes)?;
        let reply_to = reply_serial(bytes.get(..fields).ok_or_else(malformed)?, head[0] == b'l');
        let body = bytes.split_off(rest - body);
        Ok((head[1], reply_to, body))
    }
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the message bus makes no sense")
}

/// A call of `org.freedesktop.DBus.MEMBER`, little-endian.
fn method_call(serial: u32, member: &str, signature: &str, arguments: &[u8]) -> Vec<u8> {
    let bus = "org.freedesktop.DBus";
    let mut fields = Vec::new();
    // Path, interface, member, destination.
    for (code, kind, value) in [
        (1, b'o', "/org/freedesktop/DBus"),
        (2, b's', bus),
        (3, b's', member),
        (6, b's', bus),
    ] {
        pad(&mut fields, 8);
        fields.extend([code, 1, kind, 0]);
        put_string(&mut fields, value);
    }
    if !signature.is_empty() {
        pad(&mut fields, 8);
        fields.extend([8, 1, b'g', 0]);
        fields.extend(u8::try_from(signature.len()));
        fields.extend(signature.bytes());
        fields.push(0);
    }
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(0).to_le_bytes();
    let mut message = vec![b'l', 1, 0, 1];
    message.extend(length(arguments));
    message.extend(serial.to_le_bytes());
    message.extend(length(&fields));
    message.extend(fields);
    pad(&mut message, 8);
    message.extend(arguments);
    message
}

/// The field REPLY_SERIAL (5) of a message's header fields.
fn reply_serial(fields: &[u8], little: bool) -> Option<u32> {
    let number = |at: usize| -> Option<u32> {
        let bytes = fields.get(at..at + 4)?.try_into().ok()?;
        Some(if little {
            u32::from_le_bytes(bytes)
        } else {
            u32::from_be_bytes(bytes)
        })
    };
    // Each is a code, the signature of one value, and the value.
    let mut at: usize = 0;
    loop {
        at = at.next_multiple_of(8);
        let (&code, kind) = (fields.get(at)?, fields.get(at + 2)?);
        let value = at + 4;
        match kind {
            b'u' if code == 5 => return number(value),
            b'u' => at = value + 4,
            b's' | b'o' => at = value + 5 + usize::try_from(number(value)?).ok()?,
            b'g' => at = value + 2 + usize::from(*fields.get(value)?),
            _ => return None,
        }
    }
}

fn put_string(out: &mut Vec<u8>, text: &str) {
    out.extend(u32::try_from(text.len()).unwrap_or(0).to_le_bytes());
    out.extend(text.bytes());
    out.push(0);
}

fn pad(out: &mut Vec<u8>, boundary: usize) {
    out.resize(out.len().next_multiple_of(boundary), 0);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path_of(address: &str) -> Option<String> {
        let socket = socket(address).unwrap()?;
        Some(socket.as_pathname()?.display().to_string())
    }

    #[test]
    fn an_address_is_the_first_socket_in_it() {
        for (address, path) in [
            ("unix:path=/run/bus", Some("/run/bus")),
            ("unix:guid=0,path=/run/bus", Some("/run/bus")),
            ("tcp:host=localhost;unix:path=/run/bus", Some("/run/bus")),
            ("unix:path=/run/a%20b", None),
            ("unix:tmpdir=/tmp", None),
            ("autolaunch:", None),
            ("", None),
        ] {
            assert_eq!(path_of(address).as_deref(), path, "{address}");
        }
        let named = socket("unix:abstract=/tmp/x").unwrap().unwrap();
        assert_eq!(named.as_abstract_name(), Some(&b"/tmp/x"[..]));
    }

    /// The reply of a bus to `Hello`, as it came: REPLY_SERIAL 1, and more.
    #[test]
    fn the_serial_number_of_a_reply_is_found() {
        let mut fields = Vec::new();
        for (code, kind, value) in [(6, b's', ":1.0"), (7, b's', "org.freedesktop.DBus")] {
            pad(&mut fields, 8);
            fields.extend([code, 1, kind, 0]);
            put_string(&mut fields, value);
        }
        pad(&mut fields, 8);
        fields.extend([8, 1, b'g', 0, 1, b's', 0]);
        assert_eq!(reply_serial(&fields, true), None);
        pad(&mut fields, 8);
        fields.extend([5, 1, b'u', 0, 7, 0, 0, 0]);
        assert_eq!(reply_serial(&fields, true), Some(7));
    }

    proptest! {
        #[test]
        fn any_header_is_read(bytes in proptest::collection::vec(any::<u8>(), 0..200), little: bool) {
            let _ = reply_serial(&bytes, little);
        }
    }
}
