//! What the registry has of the authority's own keys.

use ssh_format::AnyKey;

use crate::Refusal;

/// A key of the authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaKey {
    /// Its number.
    pub id: i64,
    /// Whom it certifies: `user` or `host`.
    pub kind: String,
    /// The key, as the SSH protocol carries it.
    pub public: Vec<u8>,
    /// `active`: published. `retired`: revoked with all that it signed. `past`: noted by an older version, and neither.
    pub state: String,
    /// Where its private half is, such as `agent`; empty if no node has started with it.
    pub custody: String,
    /// The node that last started with it.
    pub node: String,
}

impl CaKey {
    /// Whether machines are told of it.
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
    /// Those that machines are told of, of one kind.
    pub fn active<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a CaKey> {
        let all = self.keys.iter();
        all.filter(move |key| key.is_active() && key.kind == kind)
    }

    /// The same as lines of `authorized_keys`.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unavailable`] for one that does not read back.
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

    /// What comes of retiring a key: the last active one of its kind only with `force`.
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

/// Who has the private half of a key.
#[derive(Debug, Clone, Copy, Default)]
pub struct Custody<'a> {
    /// Where it is, such as `agent`.
    pub place: &'a str,
    /// The node that starts with it; empty if none does.
    pub node: &'a str,
}

/// What came of retiring a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Retired {
    /// It is retired.
    Done(CaKey),
    /// It was retired before.
    Before,
    /// It is the last active one of its kind.
    Last(CaKey),
    /// There is none with this number.
    Unknown,
}

/// Refuses a key that is noted for the other kind, or retired.
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
