//! The keys of the store, as SSH knows them; without the TPM.

use std::sync::Arc;

use ssh_format::PublicKey;
use token_store::{Class, Error, Key, Store, StoreDir, Token};
use tpm_core::Curve;

use crate::certificate::Offered;

/// A key that the agent can use.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// Its SSH form.
    pub(crate) public: PublicKey,
    /// The certificates that the store keeps for it.
    pub(crate) certificates: Vec<Offered>,
    /// Its label, fit to be shown.
    pub(crate) comment: String,
    /// The key in the chip.
    pub(crate) key: Arc<Key>,
    /// The token that it belongs to.
    pub(crate) token: Arc<Token>,
}

impl Identity {
    /// The blob by which clients name it.
    #[must_use]
    pub(crate) fn blob(&self) -> &[u8] {
        self.public.blob()
    }
}

/// What a store holds at one time.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    /// The keys of all tokens, in the order in which they were made.
    pub(crate) identities: Vec<Identity>,
    /// The tokens, those without keys as well.
    pub(crate) tokens: Vec<Arc<Token>>,
}

impl Keys {
    /// The key with this blob.
    #[must_use]
    pub(crate) fn find(&self, blob: &[u8]) -> Option<&Identity> {
        self.identities
            .iter()
            .find(|identity| identity.blob() == blob)
    }

    /// The token with this label or serial number, if it is the only one.
    #[must_use]
    pub(crate) fn token(&self, name: &str) -> Option<&Arc<Token>> {
        let mut found = self
            .tokens
            .iter()
            .filter(|token| token.label == name || token.serial == name);
        found.next().filter(|_| found.next().is_none())
    }
}

/// A reader of the store that reads it again when it has changed.
#[derive(Debug)]
pub(crate) struct KeyStore {
    dir: StoreDir,
    store: Option<Store>,
    seen: Option<u64>,
    keys: Arc<Keys>,
}

impl KeyStore {
    pub(crate) fn new(dir: StoreDir) -> Self {
        Self {
            dir,
            store: None,
            seen: None,
            keys: Arc::default(),
        }
    }

    /// The keys as they are now; none where there is no store.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with the store.
    pub(crate) fn read(&mut self) -> Result<Arc<Keys>, Error> {
        match self.try_read() {
            // Put back from a copy, or deleted and made anew.
            Err(Error::Replaced) => {
                self.store = None;
                self.try_read()
            }
            keys => keys,
        }
        .or_else(|err| {
            self.store = None;
            match err {
                Error::NoStore { .. } => Ok(Arc::default()),
                err => Err(err),
            }
        })
    }

    fn try_read(&mut self) -> Result<Arc<Keys>, Error> {
        let store = match self.store.take() {
            Some(store) => store,
            None => {
                self.seen = None;
                Store::open(&self.dir)?
            }
        };
        let store = self.store.insert(store);
        let now = store.change_counter()?;
        if self.seen != Some(now) {
            self.keys = Arc::new(all(store)?);
            self.seen = Some(now);
        }
        Ok(self.keys.clone())
    }
}

fn all(store: &Store) -> Result<Keys, Error> {
    let mut keys = Keys::default();
    for token in store.tokens()? {
        let token = Arc::new(token);
        let kept = store.ssh_certificates(token.id)?;
        for object in store.objects(token.id)? {
            let (Class::PrivateKey, Some(key)) = (object.class(), object.key()) else {
                continue;
            };
            let Some(public) = ssh_key(key.public()) else {
                continue;
            };
            let its = kept.iter().filter(|kept| kept.object == object.id);
            let certificates = its
                .filter_map(|kept| Offered::new(&kept.certificate, public.blob()))
                .collect();
            keys.identities.push(Identity {
                certificates,
                public,
                comment: plain(&object.label),
                key: key.clone(),
                token: token.clone(),
            });
        }
        keys.tokens.push(token);
    }
    Ok(keys)
}

/// The SSH form of a key of the chip; `None` where SSH has none.
fn ssh_key(key: &tpm_core::PublicKey) -> Option<PublicKey> {
    match key {
        tpm_core::PublicKey::Rsa { n, e } => PublicKey::rsa(n, *e).ok(),
        tpm_core::PublicKey::Ecc { curve, x, y } => PublicKey::ecdsa(ssh_curve(*curve), x, y).ok(),
    }
}

/// The SSH name of a curve.
pub(crate) fn ssh_curve(curve: Curve) -> ssh_format::Curve {
    match curve {
        Curve::P256 => ssh_format::Curve::NistP256,
        Curve::P384 => ssh_format::Curve::NistP384,
        Curve::P521 => ssh_format::Curve::NistP521,
    }
}

/// `text` as one line that does nothing to a terminal.
pub(crate) fn plain(text: &str) -> String {
    let turns = |c| matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{61c}' | '\u{feff}');
    text.chars()
        .map(|c| if c.is_control() || turns(c) { '?' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_store_there_are_no_keys() {
        let dir = tempfile::tempdir().unwrap();
        let dir = StoreDir::at(dir.path().join("none")).unwrap();
        assert!(KeyStore::new(dir).read().unwrap().identities.is_empty());
    }

    #[test]
    fn a_store_that_appears_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let dir = StoreDir::at(dir.path().join("store")).unwrap();
        let mut keys = KeyStore::new(dir.clone());
        assert!(keys.read().unwrap().tokens.is_empty());
        Store::open_or_create(&dir).unwrap();
        assert!(keys.read().unwrap().tokens.is_empty());
        assert!(keys.seen.is_some());
    }

    #[test]
    fn a_label_becomes_one_line() {
        assert_eq!(plain("a\nb\x1b[2J\u{202e}ü"), "a?b?[2J?ü");
    }
}
