//! Connection strings, which tell where the TPM is. Only the listed kinds are accepted.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    str::FromStr,
};

use super::nodes::Nodes;
use crate::{Error, Result};

/// A way to reach a TPM.
///
/// The format is that of libtss2 (`name:configuration`). This crate parses it itself, because
/// libtss2's loader would load any library by name and run any command (`cmd:`).
///
/// ```
/// # use tpm_core::Tcti;
/// let tcti: Tcti = "swtpm:host=127.0.0.1,port=2321".parse()?;
/// assert!(!tcti.is_managed());
/// assert!("cmd:touch x".parse::<Tcti>().is_err());
/// # Ok::<(), tpm_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tcti {
    /// The kernel's resource manager, written `device`: the node `/dev/tpmrm*` with the lowest
    /// number that can be opened. It is looked for each time a connection is opened, because a chip
    /// whose driver is bound again can get another number. A [`Tpm`](crate::Tpm) that was connected
    /// to one chip does not go on to another.
    Kernel,
    /// A device node: `device:/dev/tpmrm0` (through the kernel's resource manager) or
    /// `device:/dev/tpm0` (the bare chip, one program at a time).
    Device(PathBuf),
    /// The user-space resource manager tpm2-abrmd, by its D-Bus configuration
    /// (`bus_name=…,bus_type=…`, either may be absent).
    Tabrmd(String),
    /// A swtpm on a loopback TCP port.
    Swtpm {
        /// A loopback address.
        host: IpAddr,
        /// The data port.
        port: u16,
    },
}

/// The longest connection string that is accepted, in bytes.
const MAX_LEN: usize = 512;

impl Tcti {
    /// [`Tcti::Kernel`], if this machine has a node of the kernel's resource manager.
    #[must_use]
    pub fn default_device() -> Option<Self> {
        let nodes = Nodes::of_this_machine().list();
        (!nodes.is_empty()).then_some(Self::Kernel)
    }

    /// Whether a resource manager isolates this connection from others.
    #[must_use]
    pub fn is_managed(&self) -> bool {
        match self {
            Self::Device(path) => path
                .file_name()
                .is_some_and(|name| name.as_encoded_bytes().starts_with(b"tpmrm")),
            Self::Kernel | Self::Tabrmd(_) => true,
            Self::Swtpm { .. } => false,
        }
    }
}

impl fmt::Display for Tcti {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernel => f.write_str("device"),
            Self::Device(path) => write!(f, "device:{}", path.display()),
            Self::Tabrmd(conf) if conf.is_empty() => f.write_str("tabrmd"),
            Self::Tabrmd(conf) => write!(f, "tabrmd:{conf}"),
            Self::Swtpm { host, port } => write!(f, "swtpm:host={host},port={port}"),
        }
    }
}

impl FromStr for Tcti {
    type Err = Error;

    fn from_str(given: &str) -> Result<Self> {
        let refuse = |why| Error::Tcti {
            given: given.chars().filter(|c| !c.is_control()).take(80).collect(),
            why,
        };
        if given.len() > MAX_LEN || given.chars().any(char::is_control) {
            return Err(refuse("too long, or with control characters"));
        }
        let (name, conf) = given.split_once(':').unwrap_or((given, ""));
        match name {
            "device" => device(conf).map_err(refuse),
            "tabrmd" => tabrmd(conf).map_err(refuse),
            "swtpm" => socket(conf)
                .map(|(host, port)| Self::Swtpm { host, port })
                .map_err(refuse),
            "mssim" => Err(refuse(
                "mssim: is not supported; use swtpm: for a simulated TPM",
            )),
            _ => Err(refuse("it must begin with device:, tabrmd: or swtpm:")),
        }
    }
}

fn device(conf: &str) -> Result<Tcti, &'static str> {
    if conf.is_empty() {
        return Ok(Tcti::Kernel);
    }
    if !conf.starts_with("/dev/tpm") || conf.contains("..") {
        return Err("the device must be /dev/tpmrm0, /dev/tpm0 or the like");
    }
    Ok(Tcti::Device(conf.into()))
}

fn tabrmd(conf: &str) -> Result<Tcti, &'static str> {
    for pair in conf.split(',').filter(|pair| !pair.is_empty()) {
        let valid = match pair.split_once('=') {
            Some(("bus_type", bus)) => matches!(bus, "system" | "session"),
            Some(("bus_name", name)) => {
                !name.is_empty()
                    && name
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
            }
            _ => false,
        };
        if !valid {
            return Err("tabrmd takes bus_name=NAME and bus_type=system or session");
        }
    }
    Ok(Tcti::Tabrmd(conf.to_owned()))
}

fn socket(conf: &str) -> Result<(IpAddr, u16), &'static str> {
    let mut host = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let mut port = 2321;
    for pair in conf.split(',').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("host", "localhost")) => host = IpAddr::V4(Ipv4Addr::LOCALHOST),
            Some(("host", value)) => {
                host = value
                    .parse()
                    .map_err(|_| "the host must be an IP address or localhost")?;
            }
            Some(("port", value)) => {
                port = value
                    .parse()
                    .map_err(|_| "the port must be a number from 1 to 65534")?;
            }
            Some(("path", _)) => return Err("a socket path is not supported; use host= and port="),
            _ => return Err("it takes host=ADDRESS and port=NUMBER"),
        }
    }
    if !host.is_loopback() {
        return Err("a simulated TPM must be on this machine (127.0.0.1 or ::1)");
    }
    if port == 0 || port == u16::MAX {
        return Err("the port must be a number from 1 to 65534");
    }
    Ok((host, port))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use testing::assert_matches;

    use super::*;

    #[test]
    fn what_libtss2_writes_is_understood() {
        for (text, managed) in [
            ("device", true),
            ("device:/dev/tpmrm0", true),
            ("device:/dev/tpm0", false),
            ("tabrmd", true),
            ("tabrmd:bus_name=com.example.Tpm,bus_type=session", true),
            ("swtpm:host=127.0.0.1,port=2321", false),
            ("swtpm:host=::1,port=2400", false),
        ] {
            let tcti: Tcti = text.parse().unwrap();
            assert_eq!(tcti.to_string(), text);
            assert_eq!(tcti.is_managed(), managed, "{text}");
        }
        assert_eq!("device:".parse::<Tcti>().unwrap(), Tcti::Kernel);
    }

    #[test]
    fn what_could_run_or_load_something_is_refused() {
        for text in [
            "cmd:touch x",
            "./evil.so",
            "/usr/lib/evil.so",
            "libtss2-tcti-device.so:/dev/tpm0",
            "mssim:host=::1,port=2400",
            "swtpm:host=a;b",
            "swtpm:path=/run/swtpm",
            "swtpm:host=192.0.2.1,port=2321",
            "swtpm:port=0",
            "swtpm:port=65535",
            "swtpm:colour=red",
            "tabrmd:bus_type=evil",
            "device:/etc/passwd",
            "device:/dev/tpm0/../../etc/passwd",
            "swtpm:\nport=2321",
            "",
        ] {
            assert_matches!(text.parse::<Tcti>(), Err(Error::Tcti { .. }), "{text:?}");
        }
        assert!("x".repeat(1 << 20).parse::<Tcti>().is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_and_what_is_read_reads_again(text in ".{0,60}|(swtpm|tabrmd|device):.{0,40}") {
            if let Ok(tcti) = text.parse::<Tcti>() {
                prop_assert_eq!(tcti.to_string().parse::<Tcti>().unwrap(), tcti);
            }
        }
    }
}
