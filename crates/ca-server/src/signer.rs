//! Signatures by the authority's keys, which are in a token of the TPM ([`InToken`]), in an agent, for example with an HSM ([`Agent`]), or in the
//! memory of this process ([`InMemory`]).

mod agent;
pub(crate) mod sealed;
mod token;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use ssh_format::{AnyKey, SigHash, Signature, SshSig};

use crate::Refusal;
use crate::policy::CaPlace;

pub use agent::Agent;
pub use sealed::InMemory;
pub use token::InToken;
pub(crate) use token::read_pin;

/// Signs with the authority's keys.
pub trait Signer: Send + Sync {
    /// A signature by `key` over `data`, which is not verified. The caller must verify it before anybody sees it, because a wrong signature by a faulty
    /// chip can reveal the private key.
    ///
    /// # Errors
    ///
    /// [`Refusal::Signer`].
    fn sign(&self, key: &AnyKey, data: &[u8]) -> Result<Signature, Refusal>;

    /// The first of these keys that the place does not list; `None` if it lists all of them.
    ///
    /// This makes no signature, and says little about signatures. A listed key may need a PIN that is missing. A missing key may sign: the agent of
    /// tpmssh lists no keys of authorities, so that no client offers them to servers.
    ///
    /// # Errors
    ///
    /// [`Refusal::Signer`] if the place does not answer.
    fn unlisted<'a>(&self, keys: &[&'a AnyKey]) -> Result<Option<&'a AnyKey>, Refusal>;
}

/// A signer that remembers whether the last signature by each key succeeded, and whether the keys were ever listed.
pub(crate) struct Watched {
    signer: Box<dyn Signer>,
    /// For each key that has been used, by its blob: whether its last signature succeeded.
    signs: Mutex<HashMap<Vec<u8>, bool>>,
    has_listed: AtomicBool,
}

impl Watched {
    pub(crate) fn new(signer: Box<dyn Signer>) -> Self {
        Self {
            signer,
            signs: Mutex::default(),
            has_listed: AtomicBool::new(false),
        }
    }

    /// Checks that these keys can sign.
    ///
    /// If they were ever listed, they have to be listed now. If the last signature by a key did not succeed, or there was none, the key signs once.
    ///
    /// # Errors
    ///
    /// [`Refusal::Signer`].
    pub(crate) fn check(&self, keys: &[&AnyKey]) -> Result<(), Refusal> {
        match self.signer.unlisted(keys)? {
            None => self.has_listed.store(true, Ordering::Relaxed),
            Some(key) if self.has_listed.load(Ordering::Relaxed) => {
                let key = key.fingerprint();
                return Err(failed(format!("the key {key} is not there any more")));
            }
            Some(_) => {}
        }
        for key in keys {
            let signs = self.signs().get(key.blob()).copied();
            if signs != Some(true) {
                self.sign_file(key, "ready@tpmssh", b"")?;
            }
        }
        Ok(())
    }

    /// [`sign_file`] with this signer. A signature that fails or is wrong is remembered.
    ///
    /// # Errors
    ///
    /// [`Refusal::Signer`].
    pub(crate) fn sign_file(
        &self,
        key: &AnyKey,
        namespace: &str,
        message: &[u8],
    ) -> Result<String, Refusal> {
        sign_file(self, key, namespace, message).inspect_err(|_| self.disbelieve(key))
    }

    /// Remembers that the last signature by `key` was wrong.
    pub(crate) fn disbelieve(&self, key: &AnyKey) {
        self.signs().insert(key.blob().to_vec(), false);
    }

    fn signs(&self) -> std::sync::MutexGuard<'_, HashMap<Vec<u8>, bool>> {
        self.signs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Signer for Watched {
    fn sign(&self, key: &AnyKey, data: &[u8]) -> Result<Signature, Refusal> {
        let done = self.signer.sign(key, data);
        self.signs().insert(key.blob().to_vec(), done.is_ok());
        done
    }

    fn unlisted<'a>(&self, keys: &[&'a AnyKey]) -> Result<Option<&'a AnyKey>, Refusal> {
        self.signer.unlisted(keys)
    }
}

/// The signer for the keys at `place`.
///
/// # Errors
///
/// If its thread cannot be started, or the TPM does not open the sealed keys.
pub fn at(place: &CaPlace) -> anyhow::Result<Box<dyn Signer>> {
    Ok(match place {
        CaPlace::Agent(socket) => Box::new(Agent::new(socket.clone())),
        CaPlace::Token(token) => Box::new(InToken::new(token.clone())?),
        CaPlace::Sealed(file) => Box::new(InMemory::open(file)?),
    })
}

/// Protects the memory of this process before it holds a secret, such as a PIN: no core dumps, and no other process of this user can attach to it.
pub(crate) fn harden() {
    if let Err(err) = locked_memory::shield_process() {
        eprintln!("tpmssh-ca: other processes can read this one's memory: {err}");
    }
}

/// A file signature (SSHSIG, armoured) by `key` over `message`.
///
/// # Errors
///
/// [`Refusal::Signer`].
pub fn sign_file(
    signer: &dyn Signer,
    key: &AnyKey,
    namespace: &str,
    message: &[u8],
) -> Result<String, Refusal> {
    let digest = SigHash::Sha512.of(message).map_err(failed)?;
    let data = SshSig::to_sign(namespace, SigHash::Sha512, &digest).map_err(failed)?;
    let signature = signer.sign(key, &data)?;
    key.verify(signature.blob(), &data).map_err(failed)?;
    let file = SshSig::new(key.clone(), namespace, SigHash::Sha512, &signature).map_err(failed)?;
    Ok(file.armored())
}

fn failed(err: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Refusal {
    Refusal::Signer(err.into())
}

#[cfg(test)]
mod tests {
    use ssh_format::Curve;

    use super::*;

    /// A signer whose signatures have the right form, and are always wrong.
    struct Faulty;

    impl Signer for Faulty {
        fn sign(&self, _: &AnyKey, _: &[u8]) -> Result<Signature, Refusal> {
            Signature::ecdsa(Curve::NistP256, &[1; 32], &[1; 32]).map_err(failed)
        }

        fn unlisted<'a>(&self, _: &[&'a AnyKey]) -> Result<Option<&'a AnyKey>, Refusal> {
            Ok(None)
        }
    }

    #[test]
    fn a_key_whose_signature_was_wrong_has_to_show_that_it_signs() {
        let line = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBGsX0fLhLEJH+Lzm5WOkQPJ3A32BLeszoPShOUXYmMKWT+NC4v4af5uO5+tKfA+eFivOM1drMV7Oy7ZAaDe/UfU=";
        let (key, _) = AnyKey::from_line(line).unwrap();
        let watched = Watched::new(Box::new(Faulty));
        for _ in 0..2 {
            assert!(watched.check(&[&key]).is_err(), "not ready, each time");
        }
        // As if a signature had succeeded before.
        watched.signs().insert(key.blob().to_vec(), true);
        watched.check(&[&key]).unwrap();
        assert!(watched.sign_file(&key, "krl@tpmssh", b"list").is_err());
        assert!(watched.check(&[&key]).is_err(), "not ready after that");
    }
}
