//! The authority's own keys: which of them are valid, and the signed list by which machines learn of new ones.

use std::sync::{Arc, PoisonError};

use serde_json::json;
use ssh_format::AnyKey;

use super::{Authority, busy};
use crate::Refusal;
use crate::policy::Policy;
use crate::registry::{CaKeys, Custody};

/// The namespace of the authority's signatures under the list of its keys.
const NAMESPACE: &str = "ca-keys@tpmssh";
/// The first line of the list.
const FORMAT: &str = "tpmssh-ca-keys-v1";
/// How long a node reuses the keys that it has read, in seconds. For this time it may still sign with a key that another node has retired.
const KNOWN_FOR: u64 = 5;
/// How long a signed list is reused, in seconds. It contains the time of signing, by which machines recognize an old list.
const FRESH: u64 = 60 * 60;

/// The keys as they were last read.
pub(super) struct Known {
    at: u64,
    keys: Arc<CaKeys>,
}

/// The answer to `ca-keys`, and when it was signed.
pub(super) struct Made {
    number: u64,
    at: u64,
    text: String,
}

impl Authority {
    /// The authority's keys as this node last read them, some seconds ago at most.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unavailable`]; [`Refusal::Signer`] if a key that this node signs with is retired.
    pub(super) fn keys(&self, now: u64) -> Result<Arc<CaKeys>, Refusal> {
        let known = || self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = |it: &&Known| it.at <= now && now - it.at < KNOWN_FOR;
        let before = known()
            .as_ref()
            .filter(is_new)
            .map(|it| Arc::clone(&it.keys));
        let keys = match before {
            Some(keys) => keys,
            // Read without the lock, because a database may take long to fail.
            None => {
                let keys = Arc::new(self.registry.ca_keys()?);
                *known() = Some(Known {
                    at: now,
                    keys: Arc::clone(&keys),
                });
                keys
            }
        };
        for own in self.own_keys() {
            if keys.is_retired(own.blob()) {
                let own = own.fingerprint();
                let why = format!("{own} is retired: give this node another one (policy.toml)");
                return Err(Refusal::Signer(why.into()));
            }
        }
        Ok(keys)
    }

    /// Has the keys read again for the next request.
    pub(crate) fn keys_have_changed(&self) {
        *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The keys that this node signs with, for users and for hosts.
    pub(crate) fn own_keys(&self) -> [AnyKey; 2] {
        let policy = self.policy();
        [policy.ca.user.clone(), policy.ca.host.clone()]
    }

    /// The number of the list of the authority's keys.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unavailable`], [`Refusal::Signer`].
    pub fn keys_number(&self, now: u64) -> Result<u64, Refusal> {
        Ok(self.keys(now)?.number)
    }

    /// The list of the authority's keys as JSON, signed by this node's host key.
    ///
    /// It is also signed by every other active host key that this node can use, for machines that do not know this node's key yet. The list is
    /// signed once for each number and hour, because every client can ask for it and a signature takes the TPM's time.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unavailable`], [`Refusal::Signer`].
    pub fn ca_keys(&self, now: u64) -> Result<String, Refusal> {
        let keys = self.keys(now)?;
        let force = self.in_force();
        let is_since =
            |it: &Made, seconds| it.number == keys.number && it.at <= now && now - it.at < seconds;
        let made = force.ca_keys.at_hand(
            |it| is_since(it, 2 * FRESH),
            |last| match last.filter(|it| is_since(it, FRESH)) {
                Some(last) => Ok(last),
                None => self.make_ca_keys(&force.policy, &keys, now),
            },
        );
        Ok(made.unwrap_or_else(|| Err(busy()))?.text.clone())
    }

    fn make_ca_keys(&self, policy: &Policy, keys: &CaKeys, now: u64) -> Result<Arc<Made>, Refusal> {
        let list = list(&policy.audience, keys, now)?;
        let sign = |key: &AnyKey| self.signer.sign_file(key, NAMESPACE, list.as_bytes());
        let mut signatures = vec![sign(&policy.ca.host)?];
        for key in keys.active("host") {
            if key.public == policy.ca.host.blob() {
                continue;
            }
            let other = AnyKey::from_blob(&key.public).ok();
            // Fails for a key that only another node has, which is the usual case.
            signatures.extend(other.and_then(|key| sign(&key).ok()));
        }
        let fields = json!({
            "list": list,
            "signatures": signatures,
            "krl_number": keys.krl_number,
        });
        Ok(Arc::new(Made {
            number: keys.number,
            at: now,
            text: format!("{fields}\n"),
        }))
    }
}

/// The text of the list: lines of a word and a value.
fn list(audience: &str, keys: &CaKeys, now: u64) -> Result<String, Refusal> {
    let number = keys.number;
    let mut list = format!("{FORMAT}\naudience {audience}\nnumber {number}\nmade {now}\n");
    for kind in ["user", "host"] {
        for line in keys.lines(kind)? {
            list += &format!("{kind} {}\n", line.trim_end());
        }
    }
    Ok(list)
}

/// Publishes the key that a node starts with. Returns its number.
pub(super) fn start_with(
    registry: &dyn crate::registry::Registry,
    kind: &str,
    key: &AnyKey,
    place: &'static str,
) -> Result<i64, Refusal> {
    let names = rustix::system::uname();
    let node = names.nodename().to_string_lossy();
    let custody = Custody { place, node: &node };
    registry.ca_key(kind, key.blob(), &custody)
}
