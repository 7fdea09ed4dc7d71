//! The authority's own keys, as the registry stores them.

use ssh_format::AnyKey;

use crate::Refusal;

/// A key of the authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaKey {
    /// The number of the key.
    pub id: i64,
    /// The kind of certificates that it signs: `user` or `host`.
    pub kind: String,
    /// The public key, as the SSH protocol encodes it.
    pub public: Vec<u8>,
    /// `active`: published. `retired`: revoked, and so are all certificates that it signed. `past`: stored by an older version, and not published.
    pub state: String,
    /// Where the private half is, such as `agent`; empty if no node has started with the key.
    pub custody: String,
    /// The node that last started with it.
    pub node: String,
}

impl CaKey {
    /// Whether the key is published.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.state == "active"
    }
}

/// All keys of the authority, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CaKeys {
    /// The number of this list: larger than those of all lists before it.
    pub number: u64,
    /// The number of the list of revoked keys that was given out last.
    pub krl_number: u64,
    /// The keys.
    pub keys: Vec<CaKey>,
}

impl CaKeys {
    /// The published keys of one kind.
    pub fn active<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a CaKey> {
        let all = self.keys.iter();
        all.filter(move |key| key.is_active() && key.kind == kind)
    }

    /// The published keys of one kind, as lines of `authorized_keys`.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unavailable`] if a stored key cannot be read.
    pub fn lines(&self, kind: &str) -> Result<Vec<String>, Refusal> {
        let line = |key: &CaKey| match AnyKey::from_blob(&key.public) {
            Ok(key) => Ok(key.line("")),
            Err(err) => Err(Refusal::Unavailable(err.into())),
        };
        self.active(kind).map(line).collect()
    }

    /// Whether a key was retired.
    #[must_use]
    pub fn is_retired(&self, public: &[u8]) -> bool {
        let mut all = self.keys.iter();
        all.any(|key| key.public == public && key.state == "retired")
    }

    /// Whether a key may be retired. The last active key of a kind may be only with `force`.
    pub(super) fn retirable(&self, id: i64, force: bool) -> Retired {
        let Some(key) = self.keys.iter().find(|key| key.id == id) else {
            return Retired::Unknown;
        };
        if key.state == "retired" {
            return Retired::Before;
        }
        let is_last = key.is_active() && self.active(&key.kind).count() == 1;
        if is_last && !force {
            return Retired::Last(key.clone());
        }
        Retired::Done(key.clone())
    }
}

/// Where the private half of a key is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Custody<'a> {
    /// The place, such as `agent`.
    pub place: &'a str,
    /// The node that starts with the key; empty if no node does.
    pub node: &'a str,
}

/// The result of retiring a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Retired {
    /// The key is retired.
    Done(CaKey),
    /// The key was retired before.
    Before,
    /// The key is the last active one of its kind, and is not retired.
    Last(CaKey),
    /// There is no key with this number.
    Unknown,
}

/// Refuses a key that is stored with the other kind, or is retired.
pub(super) fn check_known(kind: &str, known: &str, state: &str) -> Result<(), Refusal> {
    if known != kind {
        return Err(Refusal::Signer(
            format!("it is known as the key that certifies a {known}").into(),
        ));
    }
    if state == "retired" {
        return Err(Refusal::Signer("it is retired, for good".into()));
    }
    Ok(())
}
