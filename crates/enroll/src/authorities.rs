//! The keys of an authority that are trusted, and how new ones replace them.

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
    /// The keys that sign user certificates.
    pub users: Vec<AnyKey>,
    /// The keys that sign host certificates, the list of revoked keys, and the list of the authority's keys.
    pub hosts: Vec<AnyKey>,
    /// The number of the list of keys that they come from, which grows with each change; 0 if somebody gave the keys.
    pub number: u64,
}

impl Authorities {
    /// Keys that a person gave as files.
    #[must_use]
    pub fn given(users: Vec<AnyKey>, hosts: Vec<AnyKey>) -> Self {
        Self {
            users,
            hosts,
            number: 0,
        }
    }

    /// Reads keys in the form of lines of `authorized_keys`.
    ///
    /// # Errors
    ///
    /// [`Error::BadAnswer`], also if a kind has no key, or if a key is of both kinds.
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

    /// The keys in `signed`, which replace these.
    ///
    /// They are accepted if one of the host keys here signed them for the authority with the name `audience`, if their number is not smaller than
    /// the one here, and if they were signed at most [`MAX_AGE`] seconds before `now` (seconds since 1970).
    ///
    /// # Errors
    ///
    /// [`Error::NotTaken`], [`Error::BadAnswer`]. Keep the keys that are there.
    pub fn successor(&self, signed: &SignedKeys, audience: &str, now: u64) -> Result<Self> {
        // One signature by a key that is trusted here is enough. The others are for machines that trust other keys.
        let signatures = signed.signatures.iter().take(MAX_KEYS);
        let mut refused = Error::NotTaken(STRANGER);
        let is_signed = signatures.into_iter().any(|it| {
            match self.check_signature(it, NAMESPACE, signed.list.as_bytes()) {
                Ok(()) => true,
                // If a signature by a known key is wrong, that error is reported rather than the one about unknown keys.
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

/// The contents of a signed list of keys.
#[derive(Default)]
struct List {
    audience: String,
    number: u64,
    /// When the list was signed, in seconds since 1970.
    made: u64,
    users: Vec<String>,
    hosts: Vec<String>,
}

impl List {
    /// Reads lines of a word and a value. Unknown words are refused, because a later version may use them to restrict the others.
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
