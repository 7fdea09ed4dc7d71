//! The keys of an authority that are believed, and how they are followed by others.

use ssh_format::{AnyKey, CertificateKind, SigHash, SshSig};

use crate::krl::{MAX_AGE, SKEW};
use crate::{Error, Result, SignedKeys};

/// The namespace of the signatures under the keys.
const NAMESPACE: &str = "ca-keys@tpmssh";
/// The first line of a list of keys.
const FORMAT: &str = "tpmssh-ca-keys-v1";
/// The most keys in a list, and signatures under it.
const MAX_KEYS: usize = 256;

/// The keys of an authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorities {
    /// Sign the certificates of users.
    pub users: Vec<AnyKey>,
    /// Sign the certificates of hosts, the list of revoked keys, and the list of their successors.
    pub hosts: Vec<AnyKey>,
    /// The number of the list that they are from: larger for each newer one; 0 if they are from none.
    pub number: u64,
}

impl Authorities {
    /// Keys for users and for hosts that somebody gave.
    #[must_use]
    pub fn given(users: Vec<AnyKey>, hosts: Vec<AnyKey>) -> Self {
        Self {
            users,
            hosts,
            number: 0,
        }
    }

    /// Reads lines of `authorized_keys`.
    ///
    /// # Errors
    ///
    /// [`Error::BadAnswer`], also without a key of either kind, or with one that is of both.
    pub fn from_lines(users: &[String], hosts: &[String], number: u64) -> Result<Self> {
        let keys = |lines: &[String]| {
            let keys = lines.iter().map(|line| AnyKey::from_line(line));
            let keys: ssh_format::Result<Vec<_>> = keys.map(|it| Ok(it?.0)).collect();
            keys.map_err(Error::bad)
        };
        if users.len() > MAX_KEYS || hosts.len() > MAX_KEYS {
            return Err(Error::BadAnswer("the authority has too many keys".into()));
        }
        let (users, hosts) = (keys(users)?, keys(hosts)?);
        if users.is_empty() || hosts.is_empty() {
            return Err(Error::BadAnswer(
                "the authority has no key for users, or none for hosts".into(),
            ));
        }
        if users.iter().any(|key| hosts.contains(key)) {
            return Err(Error::BadAnswer(
                "one key of the authority is for users and for hosts".into(),
            ));
        }
        Ok(Self {
            users,
            hosts,
            number,
        })
    }

    /// The keys that sign certificates of this kind.
    #[must_use]
    pub fn of(&self, kind: CertificateKind) -> &[AnyKey] {
        match kind {
            CertificateKind::Host => &self.hosts,
            CertificateKind::User => &self.users,
        }
    }

    /// The keys that follow these: those in `signed`, if one of the host keys here signed them for the authority with the name `audience`, their
    /// number is not smaller than the one here, and they were signed at most [`MAX_AGE`] seconds before `now` (seconds since 1970).
    ///
    /// # Errors
    ///
    /// [`Error::NotTaken`], [`Error::BadAnswer`]. Keep the keys that are there.
    pub fn successor(&self, signed: &SignedKeys, audience: &str, now: u64) -> Result<Self> {
        // One of them is by a key that is known here; the others are for those who know another one.
        let signatures = signed.signatures.iter().take(MAX_KEYS);
        let mut refused = Error::NotTaken(STRANGER);
        let is_signed = signatures.into_iter().any(|it| {
            match self.check_signature(it, NAMESPACE, signed.list.as_bytes()) {
                Ok(()) => true,
                // Why one by a known key is wrong says more than that another one is by a stranger.
                Err(Error::NotTaken(STRANGER)) => false,
                Err(err) => {
                    refused = err;
                    false
                }
            }
        });
        if !is_signed {
            return Err(refused);
        }
        let list = List::parse(&signed.list)?;
        if list.audience != audience {
            return Err(Error::NotTaken("its keys are for another authority"));
        }
        let keys = Self::from_lines(&list.users, &list.hosts, list.number)?;
        if keys.number < self.number {
            return Err(Error::NotTaken(
                "its list of keys is older than the one that was taken last",
            ));
        }
        if keys.number == self.number && keys != *self {
            return Err(Error::NotTaken(
                "its list of keys has changed under the same number",
            ));
        }
        if now.saturating_sub(list.made) > MAX_AGE {
            return Err(Error::NotTaken(
                "its list of keys was signed more than a day ago",
            ));
        }
        if list.made > now.saturating_add(SKEW) {
            return Err(Error::NotTaken(
                "its list of keys is from the future: see that the clock is right",
            ));
        }
        Ok(keys)
    }

    /// Checks a signature by one of the host keys over `message`.
    pub(crate) fn check_signature(
        &self,
        armored: &str,
        namespace: &str,
        message: &[u8],
    ) -> Result<()> {
        let signature = SshSig::from_armored(armored).map_err(Error::bad)?;
        let digest = signature.hash().of(message).map_err(Error::bad)?;
        if !self.hosts.contains(signature.signer().key()) {
            return Err(Error::NotTaken(STRANGER));
        }
        let verified = signature.verify(namespace, &digest);
        if signature.hash() != SigHash::Sha512 || verified.is_err() {
            return Err(Error::NotTaken("its signature is wrong"));
        }
        Ok(())
    }
}

const STRANGER: &str = "it is not signed by the authority's key that is trusted";

/// A list of keys, as it is signed.
#[derive(Default)]
struct List {
    audience: String,
    number: u64,
    /// In seconds since 1970.
    made: u64,
    users: Vec<String>,
    hosts: Vec<String>,
}

impl List {
    /// Reads lines of a word and a value. A word that is not known is refused: it may take back what the others say.
    fn parse(text: &str) -> Result<Self> {
        let bad = || Error::BadAnswer("its list of keys is of another format".into());
        let rest = text.strip_prefix(FORMAT).ok_or_else(bad)?;
        let rest = rest.strip_prefix('\n').ok_or_else(bad)?;
        let rest = rest.strip_suffix('\n').ok_or_else(bad)?;
        let mut list = Self::default();
        let mut seen = Vec::new();
        for line in rest.split('\n') {
            let (word, value) = line.split_once(' ').ok_or_else(bad)?;
            let number = || value.parse().map_err(|_| bad());
            match word {
                "user" => list.users.push(value.to_owned()),
                "host" => list.hosts.push(value.to_owned()),
                _ if seen.contains(&word) => return Err(bad()),
                "audience" => value.clone_into(&mut list.audience),
                "number" => list.number = number()?,
                "made" => list.made = number()?,
                _ => return Err(bad()),
            }
            seen.push(word);
        }
        let needed = ["audience", "number", "made"];
        if !needed.iter().all(|word| seen.contains(word)) {
            return Err(bad());
        }
        Ok(list)
    }
}

#[cfg(test)]
mod tests;
