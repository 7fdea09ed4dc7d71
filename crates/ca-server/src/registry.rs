//! The registry: devices, their keys, their names, and every certificate.

mod enrolment;
mod keys;
pub mod postgres;
mod restored;
mod revoked;
pub mod sqlite;

use key_proof::{Name, TpmTime};
use serde::Serialize;
use ssh_format::AnyKey;

use crate::Refusal;

pub use enrolment::{Admission, Answer, Bound, Enrolment, Outcome, Sign, Signed};
use keys::check_known;
pub use keys::{CaKey, CaKeys, Custody, Retired};
use restored::number_after_restore;
pub use restored::{Noted, NotedRevocation, Restored};
use revoked::LastList;
pub use revoked::Revoked;

/// What the registry knows of a device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// Whether the device was revoked.
    pub revoked: bool,
    /// Its roles and names, also those that wait for approval.
    pub assignments: Vec<Assignment>,
    /// The roles that an administrator imported for this endorsement key.
    pub imported: Vec<String>,
}

/// A role and a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The role, by its name in the policy.
    pub role: String,
    /// The name of the machine or person.
    pub name: String,
}

/// A join token of this authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinToken {
    /// The role and name that it gives.
    pub assignment: Assignment,
    /// Whether the token has uses left and has not expired.
    pub is_good: bool,
}

/// A join token that is to be made, or that can still be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenLine {
    /// The SHA-256 of the token.
    pub hash: [u8; 32],
    /// The role and name that it gives.
    pub assignment: Assignment,
    /// How often it can be used (again).
    pub uses: u32,
    /// The end of its validity, in seconds since 1970.
    pub expires: u64,
    /// Who made it, such as `uid 0`.
    pub by: String,
}

/// A line of the list of devices that an administrator sees.
#[derive(Debug, Serialize)]
pub struct DeviceLine {
    /// The number of the device.
    pub device: i64,
    /// The Name of its endorsement key, in hexadecimal.
    pub ek_name: String,
    /// `active` or `revoked`.
    pub state: String,
    /// The maker, by the TPM's certificate; empty without a certificate.
    pub maker: String,
    /// The role; empty if the device has none.
    pub role: String,
    /// The name; empty if the device has no role.
    pub name: String,
    /// The number of a key that waits for approval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending: Option<i64>,
    /// The fingerprint of that key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_key: Option<String>,
    /// When the device last got a certificate in this role, or enrolled, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<u64>,
    /// The end of its last certificate, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<u64>,
}

/// A device that is expected.
#[derive(Debug, Clone)]
pub struct Expected {
    /// The Name of its endorsement key.
    pub ek_name: Name,
    /// The role and name that it gets.
    pub assignment: Assignment,
}

/// The registry. Each call is one transaction: it is done completely and is on the disk, or changes nothing.
pub trait Registry: Send + Sync {
    /// Checks that the registry answers and can write. Returns its own clock in seconds since 1970, if it has one.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unavailable`].
    fn ready(&self) -> Result<Option<u64>, Refusal>;

    /// What is known of a device; `None` if it is unknown.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unavailable`], as for each call.
    fn standing(&self, ek_name: &Name) -> Result<Option<Standing>, Refusal>;

    /// The join token with this hash.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unavailable`].
    fn join_token(&self, hash: &[u8; 32], now: u64) -> Result<Option<JoinToken>, Refusal>;

    /// The entries of the key with these Names: one for each of its roles.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unavailable`].
    fn bound(&self, attestation_key: &Name, key: &Name) -> Result<Vec<Bound>, Refusal>;

    /// The roles and names in which the device with this endorsement key gets certificates for the SSH key with this blob.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unavailable`].
    fn has_key(&self, ek_name: &Name, ssh_key: &[u8]) -> Result<Vec<Assignment>, Refusal>;

    /// Enrols a key: stores it, has the certificate signed, and stores that.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unavailable`], and that of `sign`.
    fn enrol(
        &self,
        enrolment: &Enrolment<'_>,
        principals: &[String],
        sign: Sign<'_>,
    ) -> Result<Outcome, Refusal>;

    /// Renews the certificate of the entry with the number `bound`, and reserves the host names in `names` for it.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unavailable`], and that of `sign`.
    fn renew(
        &self,
        bound: i64,
        names: &[String],
        time: TpmTime,
        answer: Answer<'_>,
        sign: Sign<'_>,
    ) -> Result<Outcome, Refusal>;

    /// Publishes a key of the authority, when a node starts with it or before. Returns its number.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unavailable`]; [`Refusal::Signer`] for a key that is retired or of the other kind.
    fn ca_key(&self, kind: &str, public: &[u8], custody: &Custody<'_>) -> Result<i64, Refusal>;

    /// The authority's keys.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unavailable`].
    fn ca_keys(&self) -> Result<CaKeys, Refusal>;

    /// Retires a key of the authority, which cannot be undone. The key is no longer published, and is in the list of revoked keys. The last active key
    /// of a kind is retired only with `force`.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unavailable`].
    fn retire_ca_key(&self, id: i64, force: bool) -> Result<Retired, Refusal>;

    /// The list of revoked keys, the same for all nodes; `None` if it still has the number `known`. A new list is made if a key was revoked since
    /// the last one, or the last one is `fresh` seconds old at `now`.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unavailable`].
    fn revoked(&self, known: Option<u64>, now: u64, fresh: u64)
    -> Result<Option<Revoked>, Refusal>;

    /// All devices: one line for each role, and if several keys wait in a role, one line for each of them.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unavailable`].
    fn devices(&self) -> Result<Vec<DeviceLine>, Refusal>;

    /// The number of devices in each state.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unavailable`].
    fn states(&self) -> Result<Vec<(String, i64)>, Refusal>;

    /// Stores a join token.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unavailable`].
    fn add_join_token(&self, token: &TokenLine) -> Result<(), Refusal>;

    /// The join tokens that can be used at `now`, in the order in which they expire.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unavailable`].
    fn join_tokens(&self, now: u64) -> Result<Vec<TokenLine>, Refusal>;

    /// Withdraws the join token with this hash. `false` if there is none.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unavailable`].
    fn withdraw_join_token(&self, hash: &[u8; 32]) -> Result<bool, Refusal>;

    /// Approves a waiting key. It replaces the key that the device has in this role, and gets that key's host names. Returns the key; `None` if no
    /// key waits under this number.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unavailable`].
    fn approve(&self, pending: i64) -> Result<Option<AnyKey>, Refusal>;

    /// Revokes a device with all its keys, which cannot be undone. Other devices lose these keys as well: they are other endorsement keys of the same
    /// chip. `false` if there is no device with this number.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unavailable`].
    fn revoke(&self, device: i64, reason: &str, now: u64, by: &str) -> Result<bool, Refusal>;

    /// The Name of the endorsement key of a device; `None` if there is no device with this number.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unavailable`].
    fn ek_name(&self, device: i64) -> Result<Option<Name>, Refusal>;

    /// All SSH keys that a device has enrolled, in every state: each with its role, oldest first.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unavailable`].
    fn device_keys(&self, ek_name: &Name) -> Result<Vec<(String, Vec<u8>)>, Refusal>;

    /// Whether a certificate with this serial number was issued on the day of `time` (seconds since 1970) or the day before.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unavailable`].
    fn has_issued(&self, serial: u64, time: u64) -> Result<bool, Refusal>;

    /// The last enrolment or renewal of any machine, in seconds since 1970; 0 if there was none.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unavailable`].
    fn last_seen(&self) -> Result<u64, Refusal>;

    /// Makes a registry safe that was restored from a backup.
    ///
    /// It stores the revocations in `noted`, also of devices and keys that the backup lacks. It ends all join tokens, because tokens that were
    /// used after the backup would be valid again. It raises the number of the list of revoked keys above all numbers that were given out,
    /// because machines refuse a smaller number.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unavailable`].
    fn restored(&self, noted: &Noted, now: u64) -> Result<Restored, Refusal>;

    /// Stores expected devices, all or none. Their assignments no longer wait for approval. Returns the index of the first device that is revoked or
    /// has the role under another name; then nothing is stored.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unavailable`].
    fn import(&self, expected: &[Expected], now: u64) -> Result<Option<usize>, Refusal>;
}
