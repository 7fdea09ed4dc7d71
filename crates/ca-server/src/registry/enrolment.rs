//! What an enrolment or a renewal asks of the registry, and what it gets.

use key_proof::{Binding, Name, Verified};
use ssh_format::Certificate;

use super::Assignment;
use crate::Refusal;
use crate::policy::Rebind;

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

/// Signs a certificate. It is called at most once, before the transaction ends.
pub type Sign<'a> = &'a mut dyn FnMut() -> Result<Signed, Refusal>;
