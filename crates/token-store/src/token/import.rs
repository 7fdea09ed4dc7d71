//! Importing into a token a key that was made outside of the chip.

use rand_core::{OsRng, RngCore};
use tpm_core::{
    ArrivalKey, Error as Tpm, Hash, KeyBlob, OpenSrk, PinAuth, PublicKey, Scheme, SoftwareKey,
    Usage,
};

use super::open_token::OpenToken;
use crate::{KeyPair, KeySpec, Result, Store};

impl OpenToken {
    /// Imports `software` into the chip as a key of this token, and stores it. Its type is that of
    /// `software`; the one in `spec` is ignored.
    ///
    /// The key can never leave the chip again, and it stays marked: [`Key::origin`](crate::Key::origin).
    /// Copies of it from before go on working. Nothing is kept before the chip has signed with
    /// it, and the signature was checked with the public key that `software` has. If the
    /// program is killed meanwhile, at most an arrival key without keys is left.
    ///
    /// # Errors
    ///
    /// [`Error::KeyExists`](crate::Error::KeyExists) if the token has this key, also if another
    /// program imported it meanwhile; [`Error::Conflict`](crate::Error::Conflict) if the token was
    /// made anew meanwhile; those of label and id, of the TPM (a key type that the chip lacks among
    /// them) and of the store.
    pub fn import(
        &self,
        store: &mut Store,
        software: &SoftwareKey,
        spec: &KeySpec,
    ) -> Result<KeyPair> {
        let mut spec = spec.clone();
        spec.key_type = software.key_type();
        self.check_spec(store, &spec)?;
        // Refuses it before the chip has any work. The check in the last transaction decides.
        store.refuse_twin(self.token(), software.public())?;
        let key = self
            .bring_in(store, software, spec.usage)
            .map_err(|err| err.of_token(self.label()))?;
        self.remember_chip(store);
        store.add_imported_key(self.token(), &spec, &key)
    }

    /// The part that is done with the chip.
    fn bring_in(&self, store: &Store, software: &SoftwareKey, usage: Usage) -> Result<KeyBlob> {
        let known = store.arrival_key(self.token())?;
        let auth = self.auth()?;
        let op = self.tpm().begin()?;
        let root = self.objects().srk.open(&op)?;
        let key_type = software.key_type();
        if !self.chip_now(&root)?.has_key_type(key_type) {
            return Err(Tpm::NotSupported(key_type.name()).into());
        }
        let arrival = match known {
            Some(arrival) => arrival,
            None => self.make_arrival_key(store, &root, &auth)?,
        };
        // As keys that the chip makes: see `OpenToken::create`.
        let usage = Usage::sign_and(usage.decrypt || key_type.is_rsa());
        let token_key = &self.objects().key;
        let refused = |err| self.refused(&root, err);
        let key = token_key
            .import(&root, &auth, &arrival, software, usage)
            .map_err(refused)?;
        let ready = token_key.load_key(&root, &auth, &key).map_err(refused)?;
        let mut digest = [0; 32];
        OsRng.fill_bytes(&mut digest);
        let scheme = match software.public() {
            PublicKey::Rsa { .. } => Scheme::RsaPkcs1(Hash::Sha256),
            PublicKey::Ecc { .. } => Scheme::Ecdsa,
        };
        // Checks the signature with the public key of `key`, which is that of `software`.
        ready.sign(&op, scheme, &digest)?;
        Ok(key)
    }

    /// Makes the arrival key of this token, and keeps it.
    fn make_arrival_key(
        &self,
        store: &Store,
        root: &OpenSrk<'_>,
        auth: &PinAuth,
    ) -> Result<ArrivalKey> {
        let token_key = &self.objects().key;
        let made = token_key
            .create_arrival_key(root, auth)
            .map_err(|err| self.refused(root, err))?;
        store.keep_arrival_key(self.token(), token_key.blob(), &made)
    }
}
