//! What is asked of the TPM: logins and signatures.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ssh_format::Signature;
use ssh_keys::{Algorithm, Attested, Challenged};
use token_store::token::refresh_tries;
use token_store::{Error, Key, OpenToken, Pin, Store, StoreDir, Token, Tries};
use tokio::sync::Notify;
use tpm_core::{Tcti, Tpm, Waiting};

use crate::machine::mutex::lock;

/// How long a connection to a resource manager is kept that nobody uses.
pub(crate) const IDLE: Duration = Duration::from_secs(10);

/// The TPM, and the store that its tokens are kept in.
#[derive(Debug)]
pub(crate) struct Chip {
    tpm: Arc<Tpm>,
    dir: StoreDir,
    /// Whether a client has the turn.
    taken: Mutex<bool>,
    free: Condvar,
    /// Notified when a turn with tpm2-abrmd ends: its connection is closed after [`IDLE`].
    used: Notify,
}

/// A client's turn with the chip, for which the others wait.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    chip: &'a Chip,
    /// While this lives, the deadline of operations counts from the request for this turn.
    _waiting: Waiting<'a>,
}

impl Chip {
    pub(crate) fn new(tpm: Arc<Tpm>, dir: StoreDir) -> Self {
        Self {
            tpm,
            dir,
            taken: Mutex::default(),
            free: Condvar::new(),
            used: Notify::new(),
        }
    }

    /// Where the TPM was found last.
    pub(crate) fn found(&self) -> Tcti {
        self.tpm.found()
    }

    /// The directory of the store.
    pub(crate) fn store(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// Waits until no other client uses the chip.
    ///
    /// # Errors
    ///
    /// A timeout if the chip has not answered any client for as long as one command may wait.
    pub(crate) fn turn(&self) -> Result<Turn<'_>, Error> {
        let began = Instant::now();
        let mut taken = lock(&self.taken);
        while *taken {
            let left = self.tpm.left(began)?;
            let waited = self.free.wait_timeout(taken, left);
            taken = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        *taken = true;
        Ok(Turn {
            chip: self,
            _waiting: self.tpm.waiting_since(began),
        })
    }

    /// Waits until the running requests are done, for at most `patience`.
    pub(crate) fn finish(&self, patience: Duration) {
        let taken = lock(&self.taken);
        let waited = self
            .free
            .wait_timeout_while(taken, patience, |taken| *taken);
        if waited.unwrap_or_else(PoisonError::into_inner).1.timed_out() {
            log::warn!("the TPM is still busy");
        }
    }

    /// Waits until a turn with tpm2-abrmd, which has few connections, has ended.
    pub(crate) async fn used(&self) {
        self.used.notified().await;
    }

    /// Gives the connection to the resource manager back if it has not been used for [`IDLE`];
    /// `true` if there is none now.
    pub(crate) fn rest(&self) -> bool {
        self.tpm.rest(IDLE)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *lock(&self.chip.taken) = false;
        self.chip.free.notify_all();
        if matches!(self.chip.tpm.tcti(), Tcti::Tabrmd(_)) {
            self.chip.used.notify_one();
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

    /// Answers a verifier's challenge with a key of an open token: see [`ssh_keys::attest()`].
    pub(crate) fn attest(
        &self,
        open: &OpenToken,
        key: &Key,
        request: &[u8; 32],
        nonce: &[u8; 32],
    ) -> Result<Attested, Error> {
        // For the attestation key, which is kept there.
        let store = Store::open(&self.chip.dir)?;
        let challenged = Challenged {
            key,
            request,
            nonce,
        };
        ssh_keys::attest(open, &store, &challenged)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

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
        let turn = chip.turn().unwrap();
        assert!(time(1) >= Duration::from_secs(1));
        drop(turn);
        let panicked = thread::scope(|scope| {
            let turn = scope.spawn(|| {
                let _turn = chip.turn().unwrap();
                panic!("on purpose");
            });
            turn.join().is_err()
        });
        assert!(panicked);
        assert!(time(600) < Duration::from_secs(300));
    }
}
