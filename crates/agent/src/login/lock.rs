//! The lock of the agent: a passphrase, and a growing delay after wrong ones.

use std::sync::Mutex;
use std::time::Duration;

use rand_core::{OsRng, RngCore};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::machine::mutex::lock;

/// Each wrong passphrase in a row adds [`STEP`] to the delay, up to [`LONGEST`], as in OpenSSH.
const STEP: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(10);

/// Whether the agent is locked, and with what.
#[derive(Default)]
pub(crate) struct Lock {
    state: Mutex<State>,
    /// Held during an attempt, so that parallel attempts take as long as sequential ones.
    attempt: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    passphrase: Option<Salted>,
    failures: u32,
}

impl Lock {
    pub(crate) fn is_locked(&self) -> bool {
        lock(&self.state).passphrase.is_some()
    }

    /// Locks with `passphrase`; `false` if it is locked already.
    pub(crate) fn lock(&self, passphrase: &[u8]) -> bool {
        let mut state = lock(&self.state);
        if state.passphrase.is_some() {
            return false;
        }
        *state = State {
            passphrase: Some(Salted::new(passphrase)),
            failures: 0,
        };
        true
    }

    /// Unlocks; `false`, after a delay that grows, if `passphrase` is not the right one.
    pub(crate) async fn unlock(&self, passphrase: &[u8]) -> bool {
        let _turn = self.attempt.lock().await;
        let Some(failures) = self.try_unlock(passphrase) else {
            return true;
        };
        tokio::time::sleep(delay(failures)).await;
        false
    }

    /// Unlocks and returns `None`. Otherwise returns the number of failures so far: 0 if the agent is
    /// not locked.
    fn try_unlock(&self, passphrase: &[u8]) -> Option<u32> {
        let mut state = lock(&self.state);
        match &state.passphrase {
            None => return Some(0),
            Some(salted) if salted.is(passphrase) => *state = State::default(),
            Some(_) => {
                state.failures = state.failures.saturating_add(1);
                return Some(state.failures);
            }
        }
        None
    }
}

/// A passphrase of which nothing is kept but a hash.
struct Salted {
    salt: [u8; 32],
    hash: Zeroizing<[u8; 32]>,
}

impl Salted {
    fn new(passphrase: &[u8]) -> Self {
        let mut salt = [0; 32];
        OsRng.fill_bytes(&mut salt);
        Self {
            salt,
            hash: hash(&salt, passphrase),
        }
    }

    fn is(&self, passphrase: &[u8]) -> bool {
        let other = hash(&self.salt, passphrase);
        self.hash.ct_eq(&*other).into()
    }
}

/// How long the answer to the last of so many wrong passphrases in a row is held back.
fn delay(failures: u32) -> Duration {
    STEP.saturating_mul(failures).min(LONGEST)
}

fn hash(salt: &[u8], passphrase: &[u8]) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(
        Sha256::new()
            .chain_update(salt)
            .chain_update(passphrase)
            .finalize()
            .into(),
    )
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[tokio::test]
    async fn a_wrong_passphrase_takes_as_long_as_those_before_it_say() {
        let lock = Lock::default();
        assert!(!lock.unlock(b"").await, "it is not locked");
        assert!(lock.lock(b"right") && lock.is_locked());
        assert!(!lock.lock(b"other"));
        for failures in 1..=2 {
            let start = Instant::now();
            assert!(!lock.unlock(b"wrong").await);
            assert!(start.elapsed() >= delay(failures), "{failures}");
        }
        assert!(lock.unlock(b"right").await && !lock.is_locked());
    }

    #[test]
    fn the_delay_grows_by_a_tenth_of_a_second_up_to_ten() {
        let seconds =
            [0, 1, 2, 99, 100, 101, u32::MAX].map(|failures| delay(failures).as_secs_f32());
        assert_eq!(seconds, [0.0, 0.1, 0.2, 9.9, 10.0, 10.0, 10.0]);
    }

    #[tokio::test]
    async fn attempts_at_once_take_their_turns() {
        let lock = Lock::default();
        lock.lock(b"right");
        let start = Instant::now();
        let wrong = || lock.unlock(b"wrong");
        tokio::join!(wrong(), wrong(), wrong());
        // The sum of the three delays; side by side they would take no longer than the last one.
        assert!(start.elapsed() >= delay(1) + delay(2) + delay(3));
    }
}
