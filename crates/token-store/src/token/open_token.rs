//! A token after the user's login.

mod login;
mod signing;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tpm_core::{
    Blob, Capabilities, KeyBlob, KeyType, Name, OpenSrk, Operation, PinAuth, ReadyKey, Scheme,
    Signature, Tpm, Usage,
};

pub(crate) use self::login::{derived, report};
pub(crate) use self::signing::Signing;
use super::parts::TokenObjects;
use crate::{
    Error, Key, KeyPair, KeySpec, Object, Result, Store, Token, TokenId, pin::Kdf,
    token::init::ask_chip,
};

/// A token after the user's login, which makes keys and signs.
///
/// It holds the value derived from the PIN, wiped when dropped, and for each used key a context
/// that the chip saved. Nothing stays loaded in a bare chip. It needs the [`Store`] only to store
/// new keys, and can be used from many threads.
pub struct OpenToken {
    tpm: Arc<Tpm>,
    id: TokenId,
    label: String,
    pin_generation: i64,
    objects: TokenObjects,
    /// The chip's capabilities; `None` if they are not known yet.
    chip: Mutex<Option<Capabilities>>,
    kdf: Kdf,
    /// The value derived from the PIN; `None` after the chip has refused it, so that it does not
    /// cost another try.
    auth: Mutex<Option<PinAuth>>,
    ready: Mutex<HashMap<Name, Arc<ReadyKey>>>,
}

/// How many keys are kept ready. Each takes some kilobytes. A user with more keys loads one again
/// from time to time.
const MAX_READY: usize = 256;

impl OpenToken {
    /// The id of the token.
    #[must_use]
    pub fn token(&self) -> TokenId {
        self.id
    }

    pub(super) fn label(&self) -> &str {
        &self.label
    }

    pub(super) fn tpm(&self) -> &Arc<Tpm> {
        &self.tpm
    }

    pub(crate) fn objects(&self) -> &TokenObjects {
        &self.objects
    }

    /// Whether this login is still valid for `token`, which was read after the store changed.
    ///
    /// It is not if the SO has reset the PIN, if the PIN was changed, or if the token was made
    /// again. The chip itself goes on signing with a key that it loaded before. So a program that
    /// keeps a login must check this before each use.
    #[must_use]
    pub fn is_current(&self, token: &Token) -> bool {
        (self.id, self.pin_generation) == (token.id, token.pin_generation)
    }

    /// Makes a key pair in the chip and stores it. An RSA key can take minutes.
    ///
    /// It is [`check_spec`](Self::check_spec), [`make`](Self::make) and [`keep`](Self::keep) in
    /// turn, for callers that do not need the store in the meantime.
    ///
    /// # Errors
    ///
    /// Errors of label and id, of the TPM (such as a key type that the chip lacks) and of the
    /// store. Nothing is stored then.
    pub fn generate(&self, store: &mut Store, spec: &KeySpec) -> Result<KeyPair> {
        self.check_spec(store, spec)?;
        let blob = self.make(spec)?;
        self.keep(store, spec, &blob)
    }

    /// Refuses a wrong `spec` before the chip spends a minute on the key.
    ///
    /// # Errors
    ///
    /// Errors of label and id; [`Error::ReadOnly`].
    pub fn check_spec(&self, store: &Store, spec: &KeySpec) -> Result<()> {
        spec.check()?;
        if store.is_read_only() {
            return Err(Error::ReadOnly);
        }
        store.token(self.id).map(drop)
    }

    /// Makes a key in the chip, to be stored by [`keep`](Self::keep).
    ///
    /// # Errors
    ///
    /// Those of the TPM.
    pub fn make(&self, spec: &KeySpec) -> Result<Blob> {
        self.create(spec.key_type, spec.usage)
    }

    /// Stores a key of this token as a pair of objects.
    ///
    /// # Errors
    ///
    /// As [`OpenToken::check_spec`]; [`Error::KeyExists`] if the token has the key already.
    pub fn keep(&self, store: &mut Store, spec: &KeySpec, blob: &Blob) -> Result<KeyPair> {
        self.check_spec(store, spec)?;
        self.remember_chip(store);
        store.add_key(self.id, spec, blob)
    }

    /// Keeps the capabilities of the chip that this login found out.
    pub(super) fn remember_chip(&self, store: &Store) {
        if let Some(chip) = &*lock(&self.chip) {
            store.remember_chip(self.id, chip);
        }
    }

    /// Makes a key in the chip that is not stored: it is gone when the value is dropped. `spec`'s
    /// label, id and subject are not used.
    ///
    /// # Errors
    ///
    /// Those of the TPM.
    pub fn generate_session_key(&self, spec: &KeySpec) -> Result<Key> {
        let blob = KeyBlob::parse(self.make(spec)?)?;
        Ok(Key::new(blob, spec.permissions()))
    }

    /// Keeps a key that was made for a session: its private half alone, with the label, id,
    /// subject and attributes of `spec`. Its permissions stay as they were.
    ///
    /// # Errors
    ///
    /// As [`OpenToken::keep`].
    pub fn keep_session_key(&self, store: &mut Store, spec: &KeySpec, key: &Key) -> Result<Object> {
        self.check_spec(store, spec)?;
        store.add_private_key(self.id, spec, key)
    }

    /// Loads `key` into the chip, to check that it is undamaged and of this token. A first
    /// signature is then cheaper.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if it was changed or is of another token; otherwise as
    /// [`OpenToken::sign`].
    pub fn load(&self, key: &Key) -> Result<()> {
        self.with_key(key, |_, _| Ok(()))
    }

    /// Signs `digest`, which must be as long as the scheme's hash. For ECDSA and
    /// [`Scheme::RsaPkcs1Any`] it may have any length.
    ///
    /// The signature is verified with the stored public key before it is returned.
    ///
    /// # Errors
    ///
    /// [`Error::KeyUse`] if the key's owner does not let it make such signatures.
    /// [`Error::LoggedOut`] if the chip refuses the PIN that it accepted at login, because it was
    /// changed in the meantime. The chip checks the PIN only for keys that it has not loaded yet:
    /// see [`OpenToken::is_current`]. Errors of the TPM.
    pub fn sign(&self, key: &Key, scheme: Scheme, digest: &[u8]) -> Result<Signature> {
        let signing = self.signing(key, scheme, digest)?;
        self.with_key(key, |ready, op| signing.run(ready, op))
    }

    /// A signature to be made, after the check that the key's owner lets it make such ones.
    pub(crate) fn signing<'a>(
        &self,
        key: &Key,
        scheme: Scheme,
        digest: &'a [u8],
    ) -> Result<Signing<'a>> {
        Signing::new(lock(&self.chip).as_ref(), key, scheme, digest)
    }

    /// The raw RSA private operation on `block`, a big-endian number as many bytes as the modulus
    /// and smaller than it. The key must have been made with [`Usage::decrypt`].
    ///
    /// # Errors
    ///
    /// [`Error::KeyUse`]; otherwise as [`OpenToken::sign`].
    pub fn rsa_raw(&self, key: &Key, block: &[u8]) -> Result<Vec<u8>> {
        key.check_decrypt()?;
        self.with_key(key, |ready, op| {
            ready.rsa_raw(&self.objects.srk.open(op)?, block)
        })
    }

    /// The x coordinate of the ECDH shared point with the point (`x`, `y`), big-endian, padded to
    /// the length of the field. The key must have been made with [`Usage::decrypt`].
    ///
    /// # Errors
    ///
    /// [`Error::KeyUse`]; otherwise as [`OpenToken::sign`].
    pub fn ecdh(&self, key: &Key, x: &[u8], y: &[u8]) -> Result<Vec<u8>> {
        key.check_agree()?;
        self.with_key(key, |ready, op| {
            ready.ecdh(&self.objects.srk.open(op)?, x, y)
        })
    }

    fn create(&self, key_type: KeyType, usage: Usage) -> Result<Blob> {
        let auth = self.auth()?;
        let op = self.tpm.begin()?;
        let root = self.objects.srk.open(&op)?;
        let chip = self.chip_now(&root)?;
        if !chip.has_key_type(key_type) {
            return Err(tpm_core::Error::NotSupported(key_type.name()).into());
        }
        // OpenSSH prefers signatures with SHA-512, which no real chip known to us has. Padding them
        // in software needs a key that may decrypt. RSA keys get that attribute in every chip, so
        // that a forged answer about a chip changes nothing. The owner's choice of usage is stored
        // and enforced separately.
        let usage = Usage::sign_and(usage.decrypt || key_type.is_rsa());
        self.objects
            .key
            .create_key(&root, &auth, key_type, usage)
            .map_err(|err| self.refused(&root, err))
    }

    /// Runs `body` with a loaded key. If the chip has lost the key (a reset, a closed connection),
    /// loads it again and runs `body` again.
    pub(crate) fn with_key<T>(
        &self,
        key: &Key,
        body: impl Fn(&ReadyKey, &Operation<'_>) -> tpm_core::Result<T>,
    ) -> Result<T> {
        self.with_loaded(key, body)
            .map_err(|err| err.of_token(&self.label))
    }

    fn with_loaded<T>(
        &self,
        key: &Key,
        body: impl Fn(&ReadyKey, &Operation<'_>) -> tpm_core::Result<T>,
    ) -> Result<T> {
        use tpm_core::Error as Tpm;
        let ready = lock(&self.ready).get(key.name()).cloned();
        if let Some(ready) = ready {
            // A new operation, because the connection may have ended.
            match self.tpm.begin().and_then(|op| body(&ready, &op)) {
                // Using a key changes nothing in the chip, so it can be repeated.
                Err(Tpm::Stale | Tpm::Connection(_)) => {
                    drop(lock(&self.ready).remove(key.name()));
                }
                result => return Ok(result?),
            }
        }
        let auth = self.auth()?;
        let op = self.tpm.begin()?;
        let root = self.objects.srk.open(&op)?;
        let ready = self
            .objects
            .key
            .load_key(&root, &auth, key.blob())
            .map_err(|err| self.refused(&root, err))?;
        drop(root);
        let result = body(&ready, &op)?;
        let mut cache = lock(&self.ready);
        if cache.len() >= MAX_READY {
            cache.clear();
        }
        cache.insert(key.name().clone(), Arc::new(ready));
        Ok(result)
    }

    pub(super) fn auth(&self) -> Result<PinAuth> {
        lock(&self.auth).clone().ok_or(Error::LoggedOut)
    }

    /// The chip's capabilities. Reads them from the chip if they are not known or the firmware
    /// changed.
    pub(super) fn chip_now(&self, root: &OpenSrk<'_>) -> Result<Capabilities> {
        let mut known = lock(&self.chip);
        if let Some(chip) = &*known
            && chip.is_of(root.op())?
        {
            return Ok(chip.clone());
        }
        let chip = ask_chip(root)?;
        *known = Some(chip.clone());
        Ok(chip)
    }

    /// The error to report if the chip refused the value that was right at login.
    pub(super) fn refused(&self, root: &OpenSrk<'_>, err: tpm_core::Error) -> Error {
        match self.objects.user_refused(root, err).error {
            Error::WrongPin { .. } | Error::LastTry { .. } => {
                lock(&self.auth).take();
                Error::LoggedOut
            }
            err => err,
        }
    }
}

impl fmt::Debug for OpenToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenToken")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Locks a mutex, also after a panic in another thread: the guarded values are never half changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
