//! The keys of the store, as SSH knows them; without the TPM.

use std::collections::HashMap;
use std::sync::Arc;

use token_store::{Error, Key, ObjectId, Store, StoreDir, Token};

use crate::error::chain;
use crate::key::certificate::key_in;
use crate::key::identity::{Identities, Identity};
use crate::public_files::PublicFiles;

/// What a store holds at one time.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    /// The keys of all tokens, in the order in which they were made.
    pub(crate) identities: Vec<Identity>,
    /// The tokens, those without keys as well.
    pub(crate) tokens: Vec<Arc<Token>>,
    /// The places of the identities, in the order of their blobs.
    by_blob: Vec<u32>,
}

impl Keys {
    fn new(identities: Vec<Identity>, tokens: Vec<Arc<Token>>) -> Self {
        let mut by_blob: Vec<u32> = (0..).take(identities.len()).collect();
        by_blob.sort_by_key(|place| identities[*place as usize].blob());
        Self {
            identities,
            tokens,
            by_blob,
        }
    }

    /// The key with this blob; the oldest, should there be two.
    #[must_use]
    fn find(&self, blob: &[u8]) -> Option<&Identity> {
        let at = |place: &u32| &self.identities[*place as usize];
        let place = self
            .by_blob
            .partition_point(|place| at(place).blob() < blob);
        let found = self.by_blob.get(place).map(at)?;
        (found.blob() == blob).then_some(found)
    }

    /// The key that a blob names: its own, or that of a certificate for it.
    #[must_use]
    pub(crate) fn named(&self, blob: &[u8]) -> Option<&Identity> {
        self.find(blob).or_else(|| self.find(key_in(blob)?.blob()))
    }

    /// Whether there is a token with this serial number.
    #[must_use]
    pub(crate) fn has_token(&self, serial: &str) -> bool {
        self.tokens.iter().any(|token| token.serial == serial)
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
    /// The only token to read, by label or serial number.
    only: Option<String>,
    /// The files with the public keys, which are kept up to date.
    files: Option<PublicFiles>,
    store: Option<Store>,
    seen: Option<u64>,
    keys: Arc<Keys>,
}

impl KeyStore {
    /// A reader of the tokens in `dir`, or of `only` one, that keeps `files` up to date.
    pub(crate) fn new(dir: StoreDir, only: Option<String>, files: Option<PublicFiles>) -> Self {
        Self {
            dir,
            only,
            files,
            store: None,
            seen: None,
            keys: Arc::default(),
        }
    }

    /// The keys as they are now; none if there is no store.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub(crate) fn read(&mut self) -> Result<Arc<Keys>, Error> {
        match self.try_read() {
            // The store was restored from a copy, or deleted and made again.
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

    /// Whether the keys are those of a store, and not none because there is no store.
    pub(crate) fn is_open(&self) -> bool {
        self.store.is_some()
    }

    /// The key in the chip that is the object `id`.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchObject`] if it is not there any more, and those of the store.
    pub(crate) fn key(&self, id: ObjectId) -> Result<Arc<Key>, Error> {
        let store = self.store.as_ref().ok_or(Error::NoSuchObject)?;
        let object = store.object(id)?;
        object.key().cloned().ok_or(Error::NoSuchObject)
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
            self.keys = Arc::new(all(store, self.only.as_deref())?);
            self.seen = Some(now);
            let files = self.files.as_ref();
            for err in files.map(|files| files.update(store)).unwrap_or_default() {
                log::warn!("{}", chain(&err));
            }
        }
        Ok(self.keys.clone())
    }
}

/// The keys of all tokens, or of those that are called `only`.
fn all(store: &Store, only: Option<&str>) -> Result<Keys, Error> {
    let mut identities = Identities::default();
    let mut tokens = Vec::new();
    let is_meant =
        |token: &Token| only.is_none_or(|name| token.label == name || token.serial == name);
    for token in store.tokens()?.into_iter().filter(is_meant) {
        let token = Arc::new(token);
        let mut kept: HashMap<ObjectId, Vec<Vec<u8>>> = HashMap::new();
        for certificate in store.ssh_certificates(token.id)? {
            let its = kept.entry(certificate.object).or_default();
            its.push(certificate.certificate);
        }
        let authorities = store.authorities(token.id)?;
        store.each_private_key(token.id, |object| {
            let kept = kept.remove(&object.id).unwrap_or_default();
            identities.add(&object, &token, &kept, &authorities);
        })?;
        tokens.push(token);
    }
    Ok(Keys::new(identities.finish(), tokens))
}

#[cfg(test)]
mod tests {
    use token_store::token::{self, InitOptions};
    use token_store::{KeySpec, OpenToken, WallKind};
    use tpm_core::{KeyType, OwnerAuth, Tpm};

    use testing::assert_matches;

    use super::*;

    /// Makes a token without a PIN in `dir`, with so many keys.
    fn fill(dir: &StoreDir, keys: usize) {
        let swtpm = testing::Swtpm::start();
        let tpm = Arc::new(Tpm::new(swtpm.tcti().parse().unwrap()));
        let mut store = Store::open_or_create(dir).unwrap();
        let options = InitOptions {
            wall: Some(WallKind::None),
            ..InitOptions::new("t")
        };
        let owner = OwnerAuth::empty();
        let token = token::init(&mut store, &tpm, &options, None, None, &owner).unwrap();
        let open = OpenToken::open(&store, &tpm, &token.token, None).unwrap();
        for _ in 0..keys {
            let spec = KeySpec::new(KeyType::EccP256, "key");
            open.generate(&mut store, &spec).unwrap();
        }
    }

    #[test]
    fn a_key_is_found_by_its_blob_and_read_when_it_is_used() {
        let dir = tempfile::tempdir().unwrap();
        let dir = StoreDir::at(dir.path().join("store")).unwrap();
        fill(&dir, 5);
        let mut store = KeyStore::new(dir, None, None);
        let keys = store.read().unwrap();
        assert_eq!(keys.identities.len(), 5);
        for identity in &keys.identities {
            assert_eq!(keys.find(identity.blob()).unwrap().id, identity.id);
            assert!(identity.key().is_none());
            let key = store.key(identity.id).unwrap();
            identity.keep_key(key.clone()).unwrap();
            assert!(std::ptr::eq(identity.key().unwrap(), &*key));
        }
        for unknown in [&b""[..], b"unknown", &[0xff; 200]] {
            assert!(keys.find(unknown).is_none());
        }
    }

    #[test]
    fn another_key_in_its_place_is_not_taken() {
        let dir = tempfile::tempdir().unwrap();
        let dir = StoreDir::at(dir.path().join("store")).unwrap();
        fill(&dir, 2);
        let mut store = KeyStore::new(dir, None, None);
        let keys = store.read().unwrap();
        let other = store.key(keys.identities[1].id).unwrap();
        let refused = keys.identities[0].keep_key(other);
        assert_matches!(refused, Err(Error::NoSuchObject));
        assert!(keys.identities[0].key().is_none());
    }

    #[test]
    fn without_a_store_there_are_no_keys() {
        let dir = tempfile::tempdir().unwrap();
        let dir = StoreDir::at(dir.path().join("none")).unwrap();
        assert!(
            KeyStore::new(dir, None, None)
                .read()
                .unwrap()
                .identities
                .is_empty()
        );
    }

    #[test]
    fn a_store_that_appears_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let dir = StoreDir::at(dir.path().join("store")).unwrap();
        let mut keys = KeyStore::new(dir.clone(), None, None);
        assert!(keys.read().unwrap().tokens.is_empty());
        Store::open_or_create(&dir).unwrap();
        assert!(keys.read().unwrap().tokens.is_empty());
        assert!(keys.seen.is_some());
    }
}
