//! The list of revoked keys.

use std::sync::PoisonError;

use serde_json::json;
use ssh_format::{AnyKey, Krl};

use super::Authority;
use crate::Refusal;
use crate::signer::sign_file;

/// The namespace of the authority's signature under its keys.
const KEYS_NAMESPACE: &str = "ca-keys@tpmssh";
/// The namespace of the authority's signature under the list.
const NAMESPACE: &str = "krl@tpmssh";
/// Seconds after which a new list is made even if nothing has changed, so that an old one shows its age.
const FRESH: u64 = 60 * 60;

/// A list of revoked keys with the signature of the authority's host key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedKrl {
    /// The list, as `sshd` reads it.
    pub bytes: Vec<u8>,
    /// Its number.
    pub number: u64,
    /// An SSHSIG over `bytes`, armoured.
    pub signature: String,
}

impl Authority {
    /// The authority's keys as JSON, with a signature by the one for hosts over the lines
    /// `user KEY` and `host KEY`, made once: every client can ask for it, and each signature takes the time of a chip.
    ///
    /// # Errors
    ///
    /// [`Refusal::Signer`].
    pub fn ca_keys(&self) -> Result<String, Refusal> {
        let force = self.in_force();
        let mut made = force.ca_keys.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = &*made {
            return Ok(made.clone());
        }
        let ca = &force.policy.ca;
        let (user, host) = (ca.user.line(""), ca.host.line(""));
        let text = format!("user {user}\nhost {host}\n");
        let signature = sign_file(&self.signer, &ca.host, KEYS_NAMESPACE, text.as_bytes())?;
        let fields = json!({"user": user, "host": host, "signature": signature});
        Ok(made.insert(format!("{fields}\n")).clone())
    }

    /// The list of revoked keys: the last one, or a new one if a key was revoked since or an hour has passed. All nodes of an authority give
    /// out the same list under the same number, each with its own signature. A list that could not be signed is signed at the next call.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unavailable`], [`Refusal::Signer`].
    pub fn krl(&self, now: u64) -> Result<SignedKrl, Refusal> {
        let force = self.in_force();
        let mut last = force.krl.lock().unwrap_or_else(PoisonError::into_inner);
        let known = last.as_ref().map(|last| last.number);
        let list = self.registry.revoked(known, now, FRESH)?;
        let Some(list) = list else {
            return last
                .clone()
                .ok_or_else(|| Refusal::Unavailable("there is no list".into()));
        };
        let policy = &force.policy;
        let mut krl = Krl::new(list.number, list.made, &policy.audience);
        for blob in &list.keys {
            let key = AnyKey::from_blob(blob).map_err(|err| Refusal::Unavailable(err.into()))?;
            krl.revoke_key(&key);
        }
        let bytes = krl.to_bytes();
        let signature = sign_file(&self.signer, &policy.ca.host, NAMESPACE, &bytes)?;
        let made = SignedKrl {
            bytes,
            number: list.number,
            signature,
        };
        *last = Some(made.clone());
        Ok(made)
    }
}
