//! Constraints: under which conditions an added key may be used.

use std::time::Duration;

use ssh_format::{AnyKey, Certificate};

use super::{Malformed, Reader};

/// OpenSSH's `AGENT_MAX_DEST_CONSTRAINTS`.
const MAX_DESTINATIONS: usize = 1024;
/// The longest pattern of user names.
const MAX_USER: usize = 256;
/// The most certificates that come with one addition.
const MAX_CERTIFICATES: usize = 256;

const LIFETIME: u8 = 1;
const CONFIRM: u8 = 2;
const EXTENSION: u8 = 255;

/// The conditions of a key; without any it is free.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Constraints {
    /// How long it stays.
    pub lifetime: Option<Duration>,
    /// Whether a person confirms each use.
    pub confirm: bool,
    /// The hosts that the key may be used for; empty means any host.
    pub destinations: Vec<Destination>,
    /// Certificates to offer beside the keys, as blobs.
    pub certificates: Vec<Vec<u8>>,
    /// Whether to offer the certificates alone.
    pub certificates_only: bool,
}

/// One permitted hop: from a host (or from here) to a host, there as some users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// Where the request comes from; `None` for this machine.
    pub from: Option<Hop>,
    /// Where it goes.
    pub to: Hop,
}

/// A host: its name for people, and the keys by which it is recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hop {
    /// The host's name, for messages and for principals of host certificates.
    pub host: String,
    /// A pattern of user names at that host; `None` for anyone.
    pub user: Option<String>,
    /// The keys that the host may show.
    pub keys: Vec<HopKey>,
}

/// A key that a host may show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HopKey {
    /// Its blob.
    pub blob: Vec<u8>,
    /// Whether it is a certificate authority, which signs the host's key.
    pub is_ca: bool,
}

impl Constraints {
    /// Reads the constraints at the end of a message.
    ///
    /// # Errors
    ///
    /// [`Malformed`], also for a constraint that is not known: adding the key without it would
    /// be worse than not adding it.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut all = Self::default();
        while !reader.is_empty() {
            match reader.byte()? {
                LIFETIME if all.lifetime.is_none() => {
                    all.lifetime = Some(Duration::from_secs(reader.u32()?.into()));
                }
                CONFIRM => all.confirm = true,
                EXTENSION => all.extension(reader)?,
                _ => return Err(reader.malformed("an unknown or repeated constraint")),
            }
        }
        Ok(all)
    }

    fn extension(&mut self, reader: &mut Reader<'_>) -> Result<(), Malformed> {
        match reader.text("constraint")? {
            "restrict-destination-v00@openssh.com" if self.destinations.is_empty() => {
                let mut list = reader.nested()?;
                while !list.is_empty() {
                    if self.destinations.len() == MAX_DESTINATIONS {
                        return Err(list.malformed("too many destinations"));
                    }
                    self.destinations.push(destination(&mut list)?);
                }
                // A list without an entry would read as "anywhere".
                if self.destinations.is_empty() {
                    return Err(list.malformed("an empty list of destinations"));
                }
                Ok(())
            }
            "associated-certs-v00@openssh.com" if self.certificates.is_empty() => {
                self.certificates_only = reader.boolean()?;
                let mut list = reader.nested()?;
                while !list.is_empty() {
                    if self.certificates.len() == MAX_CERTIFICATES {
                        return Err(list.malformed("too many certificates"));
                    }
                    self.certificates.push(list.string()?.to_vec());
                }
                Ok(())
            }
            _ => Err(reader.malformed("an unknown or repeated constraint")),
        }
    }
}

/// One entry of `restrict-destination-v00@openssh.com`: from-hop, to-hop, reserved.
fn destination(list: &mut Reader<'_>) -> Result<Destination, Malformed> {
    let mut entry = list.nested()?;
    let from = hop(entry.nested()?)?;
    let to = hop(entry.nested()?)?;
    reserved(&mut entry)?;
    entry.finish()?;
    if from.user.is_some() || from.host.is_empty() != from.keys.is_empty() {
        return Err(entry.malformed("an inconsistent origin"));
    }
    if to.host.is_empty() || to.keys.is_empty() {
        return Err(entry.malformed("an incomplete destination"));
    }
    let from = (!from.host.is_empty()).then_some(from);
    Ok(Destination { from, to })
}

/// User, host name, reserved, then keys up to the end.
fn hop(mut reader: Reader<'_>) -> Result<Hop, Malformed> {
    let user = reader.text("user")?;
    let host = reader.text("host")?.to_owned();
    reserved(&mut reader)?;
    if user.len() > MAX_USER {
        return Err(reader.malformed("a user pattern that is too long"));
    }
    let mut keys = Vec::new();
    while !reader.is_empty() {
        let blob = reader.string()?;
        check_key(&reader, blob)?;
        keys.push(HopKey {
            blob: blob.to_vec(),
            is_ca: reader.boolean()?,
        });
    }
    let user = (!user.is_empty()).then(|| user.to_owned());
    Ok(Hop { host, user, keys })
}

/// Refuses a blob that is no key, as OpenSSH does. One of an unknown type stays: an `ssh` that is
/// newer than this agent sends it, and no bind to such a server is believed.
fn check_key(reader: &Reader<'_>, blob: &[u8]) -> Result<(), Malformed> {
    let read = match AnyKey::from_blob(blob) {
        Err(ssh_format::Error::NotAKey) => {
            Certificate::from_blob(blob).and_then(|certificate| certificate.verify())
        }
        read => read.map(drop),
    };
    match read {
        Ok(()) | Err(ssh_format::Error::UnknownKeyType(_)) => Ok(()),
        Err(_) => Err(reader.malformed("a host key that is none")),
    }
}

/// A field for later versions, whose meaning we cannot know.
fn reserved(reader: &mut Reader<'_>) -> Result<(), Malformed> {
    if reader.string()?.is_empty() {
        Ok(())
    } else {
        Err(reader.malformed("a field of a later version"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::{fields, put_string};

    /// Bytes in the form of an Ed25519 key.
    const KEY: &[u8] = b"\0\0\0\x0bssh-ed25519\0\0\0\x2001234567890123456789012345678901";

    fn hop_bytes(user: &str, host: &str, keys: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        for field in [user, host, ""] {
            put_string(&mut out, field.as_bytes());
        }
        for key in keys {
            put_string(&mut out, key);
            out.push(0);
        }
        out
    }

    fn entry(from: &[u8], to: &[u8]) -> Vec<u8> {
        let mut entry = Vec::new();
        for field in [from, to, b""] {
            put_string(&mut entry, field);
        }
        let mut out = Vec::new();
        put_string(&mut out, &entry);
        out
    }

    fn restrict(entries: &[Vec<u8>]) -> Vec<u8> {
        let mut out = vec![EXTENSION];
        put_string(&mut out, b"restrict-destination-v00@openssh.com");
        put_string(&mut out, &entries.concat());
        out
    }

    fn decode(bytes: &[u8]) -> Result<Constraints, Malformed> {
        Constraints::decode(&mut fields(bytes))
    }

    fn from_here() -> Vec<u8> {
        hop_bytes("", "", &[])
    }

    #[test]
    fn lifetime_confirm_and_destination_are_read() {
        let mut bytes = vec![LIFETIME, 0, 0, 0, 60, CONFIRM];
        let to = hop_bytes("git", "host", &[KEY]);
        bytes.extend(restrict(&[entry(&from_here(), &to)]));
        let all = decode(&bytes).unwrap();
        assert_eq!(all.lifetime, Some(Duration::from_secs(60)));
        assert!(all.confirm);
        let [only] = &all.destinations[..] else {
            panic!("{all:?}")
        };
        assert_eq!(only.from, None);
        assert_eq!(only.to.user.as_deref(), Some("git"));
        assert_eq!((&*only.to.host, &*only.to.keys[0].blob), ("host", KEY));
    }

    #[test]
    fn an_unknown_constraint_is_refused() {
        assert!(decode(&[3, 0, 0, 0, 1]).is_err());
        let mut unknown = vec![EXTENSION];
        put_string(&mut unknown, b"sk-provider@openssh.com");
        put_string(&mut unknown, b"internal");
        assert!(decode(&unknown).is_err());
    }

    #[test]
    fn at_most_1024_destinations_and_256_bytes_of_pattern() {
        let to = |user: &str| hop_bytes(user, "host", &[KEY]);
        let some = |count| restrict(&vec![entry(&from_here(), &to("")); count]);
        assert_eq!(decode(&some(1024)).unwrap().destinations.len(), 1024);
        assert!(decode(&some(1025)).is_err());
        let user = |len| restrict(&[entry(&from_here(), &to(&"u".repeat(len)))]);
        assert!(decode(&user(256)).is_ok());
        assert!(decode(&user(257)).is_err());
    }

    /// The combinations that OpenSSH refuses.
    #[test]
    fn inconsistent_hops_are_refused() {
        let good = hop_bytes("", "host", &[KEY]);
        for (from, to) in [
            (hop_bytes("me", "", &[]), good.clone()),
            (hop_bytes("me", "jump", &[KEY]), good.clone()),
            (hop_bytes("", "jump", &[]), good.clone()),
            (hop_bytes("", "", &[KEY]), good.clone()),
            (from_here(), hop_bytes("", "", &[KEY])),
            (from_here(), hop_bytes("", "host", &[])),
        ] {
            assert!(decode(&restrict(&[entry(&from, &to)])).is_err());
        }
        assert!(decode(&restrict(&[])).is_err(), "would read as anywhere");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = decode(&bytes);
        }

        #[test]
        fn a_cut_constraint_is_refused(at in 1_usize..138) {
            let to = hop_bytes("git", "host", &[KEY]);
            let whole = restrict(&[entry(&from_here(), &to)]);
            prop_assume!(at < whole.len());
            prop_assert!(decode(&whole[..at]).is_err());
        }
    }
}
