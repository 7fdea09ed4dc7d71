//! The keys of the store, as SSH knows them; without the TPM.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use ssh_format::{Fingerprint, text};
use token_store::{Error, Key, Object, ObjectId, Store, StoreDir, Token};
use tpm_core::Origin;

use crate::error::chain;
use crate::key::certificate::{Offered, key_in};
use crate::public_files::PublicFiles;

/// A key that the agent can use. There may be thousands, so it holds what a list shows, and the
/// rest only once it is used.
#[derive(Debug)]
pub(crate) struct Identity {
    /// The private key in the store.
    pub(crate) id: ObjectId,
    /// Whether it is the key of a certificate authority.
    pub(crate) is_authority: bool,
    blob: Box<[u8]>,
    always_authenticate: bool,
    origin: Origin,
    key: OnceLock<Arc<Key>>,
    /// The certificates that the store keeps for it.
    pub(crate) certificates: Box<[Offered]>,
    /// Its label, which anybody may have chosen: see [`text`].
    pub(crate) label: Box<str>,
    /// The token that it belongs to.
    pub(crate) token: Arc<Token>,
}

impl Identity {
    /// A private key of `token` with the certificates that were `kept` for it; `None` if SSH
    /// has no such keys.
    fn new(
        object: &Object,
        token: &Arc<Token>,
        kept: &[Vec<u8>],
        authorities: &[ObjectId],
    ) -> Option<Self> {
        // SSH cannot use a key that only decrypts.
        let key = object.key().filter(|key| ssh_keys::can_sign(key))?;
        let public = ssh_keys::public_key(key.public()).ok()?;
        let offered = |certificate: &Vec<u8>| Offered::new(certificate, public.blob());
        Some(Self {
            id: object.id,
            is_authority: authorities.contains(&object.id),
            blob: public.blob().into(),
            always_authenticate: key.always_authenticate(),
            origin: key.origin(),
            key: OnceLock::new(),
            certificates: kept.iter().filter_map(offered).collect(),
            label: object.label.as_str().into(),
            token: token.clone(),
        })
    }

    /// The blob by which clients name it.
    #[must_use]
    pub(crate) fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// Its label as clients list it, with a word for a key that was made outside of the TPM.
    #[must_use]
    pub(crate) fn comment(&self) -> Cow<'_, str> {
        let label = text::one_line(&self.label);
        match self.imported() {
            "" => label,
            imported => label + imported,
        }
    }

    /// Its label for a question to a person, between quotation marks.
    #[must_use]
    pub(crate) fn quoted(&self) -> String {
        format!("{}{}", text::quoted(&self.label), self.imported())
    }

    /// The text that follows its label.
    fn imported(&self) -> &'static str {
        match self.origin {
            Origin::Chip => "",
            Origin::Outside => " (imported)",
        }
    }

    /// Where it was made.
    #[must_use]
    pub(crate) fn origin(&self) -> Origin {
        self.origin
    }

    /// The fingerprint, by which people compare it.
    #[must_use]
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of_blob(&self.blob)
    }

    /// Whether each use is to ask for the PIN again.
    #[must_use]
    pub(crate) fn always_authenticate(&self) -> bool {
        self.always_authenticate
    }

    /// The key in the chip, once [`Identity::keep_key`] has got it from [`KeyStore::key`].
    #[must_use]
    pub(crate) fn key(&self) -> Option<&Key> {
        self.key.get().map(Arc::as_ref)
    }

    /// Keeps the key in the chip and returns it.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchObject`] if `key` has another public key: the store was replaced, and its
    /// object ids name other keys now.
    pub(crate) fn keep_key(&self, key: Arc<Key>) -> Result<&Key, Error> {
        match ssh_keys::public_key(key.public()).ok() {
            Some(public) if public.blob() == self.blob() => Ok(self.key.get_or_init(|| key)),
            _ => Err(Error::NoSuchObject),
        }
    }
}

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
    fn new(mut identities: Vec<Identity>, tokens: Vec<Arc<Token>>) -> Self {
        identities.shrink_to_fit();
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
    let mut identities = Vec::new();
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
            identities.extend(Identity::new(&object, &token, &kept, &authorities));
        })?;
        tokens.push(token);
    }
    Ok(Keys::new(identities, tokens))
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
