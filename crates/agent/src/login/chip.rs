//! What is asked of the TPM: logins and signatures.

use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use ssh_format::Signature;
use ssh_keys::Algorithm;
use token_store::token::refresh_tries;
use token_store::{Error, Key, OpenToken, Pin, Store, StoreDir, Token, Tries};
use tpm_core::Tpm;

use crate::machine::mutex::lock;

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
        ssh_keys::sign_with(open, key, algorithm, data)
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
}
