//! What the authority remembers: devices, their keys, their names, and every certificate.

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

/// Where a device stands in the registry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// Whether it was revoked.
    pub revoked: bool,
    /// Roles and names that it has or waits for.
    pub assignments: Vec<Assignment>,
    /// Those of the roles that an administrator imported for this endorsement key.
    pub imported: Vec<String>,
}

/// A role and a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The role, by its name in the policy.
    pub role: String,
    /// The machine or person.
    pub name: String,
}

/// A join token that was made here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinToken {
    /// What it is for.
    pub assignment: Assignment,
    /// Whether it has uses left and has not expired.
    pub is_good: bool,
}

/// A join token that is to be made, or one that is still good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenLine {
    /// Its hash.
    pub hash: [u8; 32],
    /// What it is for.
    pub assignment: Assignment,
    /// How often it can be used.
    pub uses: u32,
    /// Until when, in seconds since 1970.
    pub expires: u64,
    /// Who made it.
    pub by: String,
}

/// A key that was proven before.
#[derive(Debug, Clone)]
pub struct Bound {
    /// Its number.
    pub id: i64,
    /// The Name of the device's endorsement key.
    pub ek_name: Name,
    /// The role that it was proven for.
    pub assignment: Assignment,
    /// Whether it gets certificates: not if it waits, was replaced or was revoked.
    pub active: bool,
    /// Whether it was replaced or revoked, and comes back as a new key does.
    pub ended: bool,
    /// What renewals are checked by.
    pub binding: Binding,
    /// Such as `counter`.
    pub wall: String,
    /// Such as `A`.
    pub mode: String,
    /// The SHA-256 of the trusted certificate that vouches for the TPM.
    pub trusted: Option<Vec<u8>>,
    /// The maker by its certificate, such as `id:4E544300 NPCT75x id:0702`; empty without one.
    pub maker: String,
}

/// An answer to a nonce, which counts once.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'a> {
    /// The nonce.
    pub nonce: &'a [u8; 32],
    /// Until when the nonce is good.
    pub expires: u64,
    /// SHA-256 of the whole answer.
    pub body: &'a [u8; 32],
    /// The time, in seconds since 1970.
    pub now: u64,
}

/// What lets a device into a role, or another key of a device that has the role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// Nothing: the device has the role.
    Known,
    /// A join token, by its hash. It is used up, gives the role, and lets another key in.
    Token([u8; 32]),
    /// An identity that the policy takes. It gives the role.
    Identity,
    /// A signature by the SSH key with this blob. If it is a key that the device has in this role, it lets another key in.
    OldKey(Vec<u8>),
}

impl Admission {
    /// Whether it gives a device a role that it does not have yet.
    pub(crate) fn gives_role(&self) -> bool {
        matches!(self, Self::Token(_) | Self::Identity)
    }
}

/// A proof that passed V1 to V13, and what it asks for.
#[derive(Debug)]
pub struct Enrolment<'a> {
    /// What was proven.
    pub verified: &'a Verified,
    /// The role and the name.
    pub assignment: &'a Assignment,
    /// What lets the device in.
    pub admission: &'a Admission,
    /// The answer to the challenge.
    pub answer: Answer<'a>,
    /// Whether an administrator has to approve the first key.
    pub approve_first: bool,
    /// What another key for a device that has one needs.
    pub rebind: Rebind,
}

/// A certificate that was signed and is not released yet.
#[derive(Debug)]
pub struct Signed {
    /// The certificate.
    pub certificate: Certificate,
    /// The number of the authority's key.
    pub ca: i64,
}

/// What came of an answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The certificate, whose row is on the disk.
    Issued(Vec<u8>),
    /// It waits for an administrator, under this number.
    Pending(i64),
    /// The nonce was answered before, otherwise.
    NonceUsed,
    /// The join token was used, has expired or is unknown.
    NoToken,
    /// The device has this role under another name.
    OtherName,
    /// Another key has one of the host names.
    NameTaken,
    /// The device or the key was revoked or replaced, or was never here.
    Unknown,
    /// The TPM's time has gone back (V14).
    TimeWentBack,
}

/// A device as an administrator sees it.
#[derive(Debug, Serialize)]
pub struct DeviceLine {
    /// Its number.
    pub device: i64,
    /// The Name of its endorsement key, in hexadecimal.
    pub ek_name: String,
    /// `active` or `revoked`.
    pub state: String,
    /// The maker by its certificate; empty without one.
    pub maker: String,
    /// The role and name; empty without any.
    pub role: String,
    /// The name.
    pub name: String,
    /// The number of a key that waits for approval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending: Option<i64>,
    /// The fingerprint of that key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_key: Option<String>,
    /// When it was last seen, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<u64>,
    /// Until when its last certificate is good, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<u64>,
}

/// What a list of revoked keys has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    /// The number of the list: larger than those of all lists before it.
    pub number: u64,
    /// When it was made, in seconds since 1970.
    pub made: u64,
    /// The blobs of the keys, in the order in which they were revoked.
    pub keys: Vec<Vec<u8>>,
    /// The fingerprints of more of them, of which nothing else is known: they are in no backup.
    pub fingerprints: Vec<Fingerprint>,
}

/// A device that is expected.
#[derive(Debug, Clone)]
pub struct Expected {
    /// The Name of its endorsement key.
    pub ek_name: Name,
    /// What it may be.
    pub assignment: Assignment,
}

/// A revocation as the audit log has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotedRevocation {
    /// The Name of the device's endorsement key.
    pub ek_name: Name,
    /// Why.
    pub reason: String,
    /// When, in seconds since 1970.
    pub made: u64,
    /// Who, such as `uid 0`.
    pub by: String,
    /// The device's SSH keys, as far as the log has them.
    pub keys: BTreeSet<Fingerprint>,
}

/// What the audit log has for [`Registry::restored`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Noted {
    /// Revocations of devices.
    pub revocations: Vec<NotedRevocation>,
    /// Keys of the authority that were retired.
    pub retired: Vec<Fingerprint>,
}

/// What [`Registry::restored`] has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The devices that the registry did not know to be revoked.
    pub revoked: Vec<Name>,
    /// The keys that it does not know, and that are revoked by their fingerprints.
    pub fingerprints: Vec<Fingerprint>,
    /// How many join tokens were ended.
    pub tokens: u64,
    /// The number of the next list of revoked keys is larger than this one.
    pub krl_number: u64,
}

/// Signs a certificate; called at most once, before the transaction ends.
pub type Sign<'a> = &'a mut dyn FnMut() -> Result<Signed, Refusal>;

/// The registry. Each call is one transaction: done whole and on the disk, or not at all.
pub trait Registry: Send + Sync {
    /// Whether it answers and could write now. Returns its own clock in seconds since 1970, if it has one.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unavailable`].
    fn ready(&self) -> Result<Option<u64>, Refusal>;

    /// Where a device stands; `None` if it was never here.
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

    /// The key with these Names, once for each of its roles.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unavailable`].
    fn bound(&self, attestation_key: &Name, key: &Name) -> Result<Vec<Bound>, Refusal>;

    /// The roles and names in which the device with this endorsement key has the SSH key with this blob, and gets certificates for it.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unavailable`].
    fn has_key(&self, ek_name: &Name, ssh_key: &[u8]) -> Result<Vec<Assignment>, Refusal>;

    /// Takes a proof: binds the key, has the certificate signed, and notes both.
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

    /// Takes a renewal by the key with the number `bound`, and gives it the host names in `names` that no other key has.
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

    /// Publishes a key of the authority, for a node that starts with it or before any does. Returns its number.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unavailable`]; [`Refusal::Signer`] for one that is retired or of the other kind.
    fn ca_key(&self, kind: &str, public: &[u8], custody: &Custody<'_>) -> Result<i64, Refusal>;

    /// The authority's keys.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unavailable`].
    fn ca_keys(&self) -> Result<CaKeys, Refusal>;

    /// Retires a key of the authority, for good: it is not published, and is in the list of revoked keys. The last active one of its kind only
    /// with `force`.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unavailable`].
    fn retire_ca_key(&self, id: i64, force: bool) -> Result<Retired, Refusal>;

    /// The list of revoked keys, the same for all nodes; `None` if it is still the one with the number `known`. A new one is made if a key
    /// was revoked since, or the last one was made `fresh` seconds before `now`.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unavailable`].
    fn revoked(&self, known: Option<u64>, now: u64, fresh: u64)
    -> Result<Option<Revoked>, Refusal>;

    /// All devices, one line for each role, and one for each of several keys that wait in it.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unavailable`].
    fn devices(&self) -> Result<Vec<DeviceLine>, Refusal>;

    /// The states of devices, and how many there are of each.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unavailable`].
    fn states(&self) -> Result<Vec<(String, i64)>, Refusal>;

    /// Notes a join token.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unavailable`].
    fn add_join_token(&self, token: &TokenLine) -> Result<(), Refusal>;

    /// The join tokens that are good at `now`; those that end first come first.
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

    /// Lets a waiting key have certificates; it replaces the key that the device has in this role, and gets its host names. Returns the key;
    /// `None` if none waits under this number.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unavailable`].
    fn approve(&self, pending: i64) -> Result<Option<AnyKey>, Refusal>;

    /// Revokes a device for good, with all its keys, also where another endorsement key of the chip has brought them. `false` if there is none
    /// with this number.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unavailable`].
    fn revoke(&self, device: i64, reason: &str, now: u64, by: &str) -> Result<bool, Refusal>;

    /// The Name of the endorsement key of a device; `None` if there is none with this number.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unavailable`].
    fn ek_name(&self, device: i64) -> Result<Option<Name>, Refusal>;

    /// The SSH keys that a device has brought, whatever has come of them: each with its role, in the order in which they came.
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

    /// When a machine was last seen, in seconds since 1970; 0 if there was none.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unavailable`].
    fn last_seen(&self) -> Result<u64, Refusal>;

    /// Makes a registry safe that was restored from a backup. Notes the revocations, also of devices and keys that it does not know. Ends all join tokens:
    /// those that were used since the backup are good again in it. Raises the number of the list of revoked keys above all numbers that were
    /// given out, since machines refuse a smaller one.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unavailable`].
    fn restored(&self, noted: &Noted, now: u64) -> Result<Restored, Refusal>;

    /// Notes devices that are expected, none of which waits any more: all or none. Returns the first that has the role under another name or is revoked.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unavailable`].
    fn import(&self, expected: &[Expected], now: u64) -> Result<Option<usize>, Refusal>;
}

/// The number of the list of revoked keys from which a restored registry goes on. `last` is the number in the backup. A list has been made at most
/// once a millisecond since 1970, so that the time is above all numbers but those after an earlier restore, which has added the same million.
fn number_after_restore(last: u64, now: u64) -> u64 {
    last.max(now.saturating_mul(1000)).saturating_add(1_000_000)
}

/// The list of revoked keys that was given out last.
#[derive(Debug, Clone, Copy)]
struct LastList {
    number: u64,
    made: u64,
    /// The number of its keys; -1 if there was no list yet.
    had: i64,
    /// The number of revoked keys by now.
    has: i64,
}

impl LastList {
    /// Whether it is time for the next one.
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
