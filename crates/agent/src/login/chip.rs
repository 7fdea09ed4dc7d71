//! What is asked of the TPM: logins and signatures.

use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256, Sha384, Sha512};
use ssh_format::{RsaHash, Signature};
use token_store::token::refresh_tries;
use token_store::{Error, Key, OpenToken, Pin, Store, StoreDir, Token, Tries};
use tpm_core::{Curve, Hash, PublicKey, Scheme, Tpm};

use crate::key::store::ssh_curve;
use crate::machine::mutex::lock;

/// `SSH_AGENT_RSA_SHA2_256` and `SSH_AGENT_RSA_SHA2_512`.
const RSA_SHA2_256: u32 = 2;
const RSA_SHA2_512: u32 = 4;

/// What a signature is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Rsa(RsaHash),
    Ecdsa(Curve),
}

impl Algorithm {
    /// What `flags` ask for with `key`; `None` for SHA-1 and what is unknown.
    pub(crate) fn choose(key: &PublicKey, flags: u32) -> Option<Self> {
        if flags & !(RSA_SHA2_256 | RSA_SHA2_512) != 0 {
            return None;
        }
        match key {
            PublicKey::Rsa { .. } if flags & RSA_SHA2_256 != 0 => Some(Self::Rsa(RsaHash::Sha256)),
            PublicKey::Rsa { .. } if flags & RSA_SHA2_512 != 0 => Some(Self::Rsa(RsaHash::Sha512)),
            PublicKey::Ecc { curve, .. } => Some(Self::Ecdsa(*curve)),
            _ => None,
        }
    }

    fn scheme(self) -> Scheme {
        match self {
            Self::Rsa(RsaHash::Sha256) => Scheme::RsaPkcs1(Hash::Sha256),
            Self::Rsa(RsaHash::Sha512) => Scheme::RsaPkcs1(Hash::Sha512),
            Self::Ecdsa(_) => Scheme::Ecdsa,
        }
    }

    fn digest(self, data: &[u8]) -> Vec<u8> {
        match self {
            Self::Rsa(RsaHash::Sha256) | Self::Ecdsa(Curve::P256) => Sha256::digest(data).to_vec(),
            Self::Ecdsa(Curve::P384) => Sha384::digest(data).to_vec(),
            Self::Rsa(RsaHash::Sha512) | Self::Ecdsa(Curve::P521) => Sha512::digest(data).to_vec(),
        }
    }
}

/// The TPM, and the store that its tokens are kept in.
#[derive(Debug)]
pub(crate) struct Chip {
    tpm: Arc<Tpm>,
    dir: StoreDir,
    turn: Mutex<()>,
}

/// A client's turn with the chip, for which the others wait.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    chip: &'a Chip,
    _held: MutexGuard<'a, ()>,
}

impl Chip {
    pub(crate) fn new(tpm: Arc<Tpm>, dir: StoreDir) -> Self {
        Self {
            tpm,
            dir,
            turn: Mutex::default(),
        }
    }

    /// Waits until nobody else works with the chip.
    pub(crate) fn turn(&self) -> Turn<'_> {
        Turn {
            chip: self,
            _held: lock(&self.turn),
        }
    }

    /// Waits until what was begun is done, or for `patience`.
    pub(crate) fn finish(&self, patience: Duration) {
        /// This is done once, by a program that ends.
        const LOOK: Duration = Duration::from_millis(5);
        let end = Instant::now() + patience;
        // A turn that ended in a panic has ended.
        while matches!(self.turn.try_lock(), Err(TryLockError::WouldBlock)) {
            if Instant::now() >= end {
                log::warn!("the TPM is still busy");
                return;
            }
            thread::sleep(LOOK);
        }
    }
}

impl Turn<'_> {
    /// Logs in to `token`; a wrong PIN costs one try.
    pub(crate) fn login(&self, token: &Token, pin: Option<&Pin>) -> Result<OpenToken, Error> {
        let store = Store::open(&self.chip.dir)?;
        // As it is now: the PIN may have been changed since it was listed.
        let token = store.token(token.id)?;
        OpenToken::open(&store, &self.chip.tpm, &token, pin)
    }

    /// How many wrong PINs `token` still takes; spends none.
    pub(crate) fn tries(&self, token: &Token) -> Result<Option<Tries>, Error> {
        let store = Store::open(&self.chip.dir)?;
        let token = store.token(token.id)?;
        refresh_tries(&store, &self.chip.tpm, &token)
    }

    /// Signs `data` with a key of an open token.
    pub(crate) fn sign(
        &self,
        open: &OpenToken,
        key: &Key,
        algorithm: Algorithm,
        data: &[u8],
    ) -> Result<Signature, Error> {
        sign(open, key, algorithm, data)
    }
}

/// Signs `data` with a key of an open token, as OpenSSH would: RSA with SHA-512, ECDSA with the
/// hash of its curve.
///
/// For programs that need no agent.
///
/// # Errors
///
/// As [`OpenToken::sign`].
pub fn sign_for_ssh(open: &OpenToken, key: &Key, data: &[u8]) -> Result<Signature, Error> {
    let algorithm = Algorithm::choose(key.public(), RSA_SHA2_512).ok_or_else(unusable)?;
    sign(open, key, algorithm, data)
}

fn sign(
    open: &OpenToken,
    key: &Key,
    algorithm: Algorithm,
    data: &[u8],
) -> Result<Signature, Error> {
    let digest = algorithm.digest(data);
    let made = open.sign(key, algorithm.scheme(), &digest)?;
    let blob = match (algorithm, &made) {
        (Algorithm::Rsa(hash), tpm_core::Signature::Rsa(number)) => Signature::rsa(hash, number),
        (Algorithm::Ecdsa(curve), tpm_core::Signature::Ecdsa { r, s }) => {
            Signature::ecdsa(ssh_curve(curve), r, s)
        }
        _ => return Err(unusable()),
    };
    blob.map_err(|_| unusable())
}

fn unusable() -> Error {
    Error::Invalid {
        what: "signature",
        why: "the TPM made one of another kind",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_waits_for_a_turn_but_not_for_long_and_not_for_one_that_panicked() {
        let dir = tempfile::tempdir().unwrap();
        let dir = StoreDir::at(dir.path().join("none")).unwrap();
        let tcti = "swtpm:host=127.0.0.1,port=1".parse().unwrap();
        let chip = Chip::new(Arc::new(Tpm::new(tcti)), dir);
        let time = |patience| {
            let start = Instant::now();
            chip.finish(Duration::from_secs(patience));
            start.elapsed()
        };
        let turn = chip.turn();
        assert!(time(1) >= Duration::from_secs(1));
        drop(turn);
        let panicked = thread::scope(|scope| {
            let turn = scope.spawn(|| {
                let _turn = chip.turn();
                panic!("on purpose");
            });
            turn.join().is_err()
        });
        assert!(panicked);
        assert!(time(600) < Duration::from_secs(300));
    }

    #[test]
    fn flags_choose_the_hash_and_never_sha1() {
        let rsa = PublicKey::Rsa {
            n: vec![0xc1; 256],
            e: 65_537,
        };
        let choose = |flags| Algorithm::choose(&rsa, flags);
        assert_eq!(choose(0), None);
        assert_eq!(choose(2), Some(Algorithm::Rsa(RsaHash::Sha256)));
        assert_eq!(choose(4), Some(Algorithm::Rsa(RsaHash::Sha512)));
        assert_eq!(choose(1), None);
        assert_eq!(choose(1 << 31 | 2), None);
        let ecc = PublicKey::Ecc {
            curve: Curve::P384,
            x: vec![1; 48],
            y: vec![1; 48],
        };
        assert_eq!(
            Algorithm::choose(&ecc, 0),
            Some(Algorithm::Ecdsa(Curve::P384))
        );
        assert_eq!(Algorithm::choose(&ecc, 1 << 31), None);
    }
}
