//! The registry: devices, their keys, their names, and every certificate.

mod keys;
pub mod postgres;
pub mod sqlite;

use std::collections::BTreeSet;

use key_proof::{Binding, Name, TpmTime, Verified};
use serde::Serialize;
use ssh_format::{AnyKey, Certificate, Fingerprint};

use crate::Refusal;
use crate::policy::Rebind;

use keys::check_known;
pub use keys::{CaKey, CaKeys, Custody, Retired};

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

/// A key that was proven before, in one role.
#[derive(Debug, Clone)]
pub struct Bound {
    /// The number of this entry.
    pub id: i64,
    /// The Name of the device's endorsement key.
    pub ek_name: Name,
    /// The role and name that it was enrolled for.
    pub assignment: Assignment,
    /// Whether the key gets certificates. It does not while it waits for approval, or after it was replaced or revoked.
    pub active: bool,
    /// Whether the key was replaced or revoked. If it enrols again, it is treated as a new key.
    pub ended: bool,
    /// The part of the proof that renewals are checked with.
    pub binding: Binding,
    /// The PIN wall, such as `counter`.
    pub wall: String,
    /// The mode of the proof, such as `A`.
    pub mode: String,
    /// The SHA-256 of the trusted certificate that vouches for the TPM.
    pub trusted: Option<Vec<u8>>,
    /// The maker, by the TPM's certificate, such as `id:4E544300 NPCT75x id:0702`; empty without a certificate.
    pub maker: String,
}

/// An answer to a nonce. Each nonce is accepted with one answer only.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// The nonce.
    pub nonce: &'a [u8; 32],
    /// The end of the nonce's validity, in seconds since 1970.
    pub expires: u64,
    /// The SHA-256 of the whole answer.
    pub body: &'a [u8; 32],
    /// The time, in seconds since 1970.
    pub now: u64,
}

/// Why a device may have a role, or why a new key may replace the device's key in a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// The device has the role already.
    Known,
    /// A join token, by its hash. It gives the role, allows a new key, and is used up.
    Token([u8; 32]),
    /// An identity that the policy accepts. It gives the role.
    Identity,
    /// A signature by the SSH key with this blob. If the device has that key in this role, it allows a new key.
    OldKey(Vec<u8>),
}

impl Admission {
    /// Whether this gives a device a role that it does not have yet.
    pub(crate) fn gives_role(&self) -> bool {
        matches!(self, Self::Token(_) | Self::Identity)
    }
}

/// A proof that passed the checks V1 to V13, and what it asks for.
#[derive(Debug)]
pub struct Enrolment<'a> {
    /// What was proven.
    pub verified: &'a Verified,
    /// The role and the name.
    pub assignment: &'a Assignment,
    /// Why the device may have the role.
    pub admission: &'a Admission,
    /// The answer to the challenge.
    pub answer: Answer<'a>,
    /// Whether an administrator has to approve the first key.
    pub approve_first: bool,
    /// What a new key needs if the device has a key in this role already.
    pub rebind: Rebind,
}

/// A certificate that was signed, but is not stored and sent yet.
#[derive(Debug)]
pub struct Signed {
    /// The certificate.
    pub certificate: Certificate,
    /// The number of the authority's key.
    pub ca: i64,
}

/// The result of an enrolment or a renewal.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The certificate. Its row is on the disk.
    Issued(Vec<u8>),
    /// The key waits for an administrator's approval, under this number.
    Pending(i64),
    /// The nonce was used before, with another answer.
    NonceUsed,
    /// The join token was used, has expired or is unknown.
    NoToken,
    /// The device has this role under another name.
    OtherName,
    /// Another key has one of the host names.
    NameTaken,
    /// The device or the key was revoked or replaced, or was never here.
    Unknown,
    /// The TPM's time went back (check V14).
    TimeWentBack,
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

/// The contents of a list of revoked keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    /// The number of the list: larger than those of all lists before it.
    pub number: u64,
    /// When the list was made, in seconds since 1970.
    pub made: u64,
    /// The blobs of revoked keys, in the order in which they were revoked.
    pub keys: Vec<Vec<u8>>,
    /// The fingerprints of revoked keys that the backup lacked: nothing else is known of them.
    pub fingerprints: Vec<Fingerprint>,
}

/// A device that is expected.
#[derive(Debug, Clone)]
pub struct Expected {
    /// The Name of its endorsement key.
    pub ek_name: Name,
    /// The role and name that it gets.
    pub assignment: Assignment,
}

/// A revocation of a device, from the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotedRevocation {
    /// The Name of the device's endorsement key.
    pub ek_name: Name,
    /// The reason that the administrator gave.
    pub reason: String,
    /// When it was revoked, in seconds since 1970.
    pub made: u64,
    /// Who revoked it, such as `uid 0`.
    pub by: String,
    /// The device's SSH keys, as far as the log has them.
    pub keys: BTreeSet<Fingerprint>,
}

/// What [`Registry::restored`] needs from the audit log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Noted {
    /// Revocations of devices.
    pub revocations: Vec<NotedRevocation>,
    /// Keys of the authority that were retired.
    pub retired: Vec<Fingerprint>,
}

/// What [`Registry::restored`] has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The devices that were not revoked in the backup, and are now.
    pub revoked: Vec<Name>,
    /// The keys that the backup lacks, and that are now revoked by their fingerprints.
    pub fingerprints: Vec<Fingerprint>,
    /// How many join tokens were ended.
    pub tokens: u64,
    /// The next list of revoked keys has a number above this one.
    pub krl_number: u64,
}

/// Signs a certificate. It is called at most once, before the transaction ends.
pub type Sign<'a> = &'a mut dyn FnMut() -> Result<Signed, Refusal>;

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

/// A number above those of all lists of revoked keys that were given out. `last` is the number in the backup.
///
/// Lists are made less often than once a millisecond. So the milliseconds since 1970 are above all numbers, except those after an earlier restore, which
/// added the same million.
fn number_after_restore(last: u64, now: u64) -> u64 {
    last.max(now.saturating_mul(1000)).saturating_add(1_000_000)
}

/// What is stored of the last list of revoked keys.
#[derive(Debug, Clone, Copy)]
struct LastList {
    number: u64,
    made: u64,
    /// How many keys the list has; -1 if there was no list yet.
    had: i64,
    /// How many keys are revoked now.
    has: i64,
}

impl LastList {
    /// Whether the next list has to be made.
    fn is_over(self, now: u64, fresh: u64) -> bool {
        self.had != self.has || now.saturating_sub(self.made) >= fresh
    }

    fn next(self, now: u64) -> Self {
        Self {
            number: self.number.saturating_add(1),
            made: now,
            had: self.has,
            ..self
        }
    }

    fn with(self, keys: Vec<Vec<u8>>, fingerprints: Vec<Fingerprint>) -> Revoked {
        Revoked {
            number: self.number,
            made: self.made,
            keys,
            fingerprints,
        }
    }
}
