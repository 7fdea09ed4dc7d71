//! The list of revoked keys.

use std::sync::Arc;

use ssh_format::{AnyKey, Krl};

use super::{Authority, InForce, busy};
use crate::Refusal;

/// The namespace of the authority's signature under the list.
const NAMESPACE: &str = "krl@tpmssh";
/// Seconds after which a new list is made even if nothing has changed, so that machines recognize an old list by its time.
const FRESH: u64 = 60 * 60;

/// A list of revoked keys with the signature of the authority's host key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedKrl {
    /// The list, as `sshd` reads it.
    pub bytes: Vec<u8>,
    /// Its number.
    pub number: u64,
    /// When it was made, in seconds since 1970.
    pub made: u64,
    /// An SSHSIG over `bytes`, armoured.
    pub signature: String,
}

impl Authority {
    /// The list of revoked keys: the last one, or a new one if a key was revoked since or an hour has passed.
    ///
    /// All nodes of an authority have the same list under the same number, each with its own signature. A list that could not be signed is signed
    /// at the next call. While another request waits for the registry or the signer, this is the previous list.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unavailable`], [`Refusal::Signer`].
    pub fn krl(&self, now: u64) -> Result<Arc<SignedKrl>, Refusal> {
        let force = self.in_force();
        let is_good = |last: &Arc<SignedKrl>| now.saturating_sub(last.made) < 2 * FRESH;
        let made = force
            .krl
            .at_hand(is_good, |last| self.make_krl(&force, last, now));
        made.unwrap_or_else(|| Err(busy()))
    }

    /// The list with all keys that were revoked before this call. It waits as long as that takes.
    ///
    /// # Errors
    ///
    /// As [`Self::krl`].
    pub fn newest_krl(&self, now: u64) -> Result<Arc<SignedKrl>, Refusal> {
        let force = self.in_force();
        force.krl.newest(|last| self.make_krl(&force, last, now))
    }

    fn make_krl(
        &self,
        force: &InForce,
        last: Option<Arc<SignedKrl>>,
        now: u64,
    ) -> Result<Arc<SignedKrl>, Refusal> {
        // Fails if this node's key is retired: its list would not be accepted.
        self.keys(now)?;
        let known = last.as_ref().map(|last| last.number);
        let list = self.registry.revoked(known, now, FRESH)?;
        let Some(list) = list else {
            return last.ok_or_else(|| Refusal::Unavailable("there is no list".into()));
        };
        let policy = &force.policy;
        let mut krl = Krl::new(list.number, list.made, &policy.audience);
        for blob in &list.keys {
            let key = AnyKey::from_blob(blob).map_err(|err| Refusal::Unavailable(err.into()))?;
            krl.revoke_key(&key);
        }
        for print in list.fingerprints {
            krl.revoke_fingerprint(print);
        }
        let bytes = krl.to_bytes();
        let signature = self.signer.sign_file(&policy.ca.host, NAMESPACE, &bytes)?;
        Ok(Arc::new(SignedKrl {
            bytes,
            number: list.number,
            made: list.made,
            signature,
        }))
    }
}
