//! What a verifier asks for, and how it knows a TPM.

use crate::{Kind, Name, Wall, ek::chain::Anchors};

/// How a verifier knows that a TPM is one of those that count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// By its maker's certificate and by its Name in the verifier's inventory.
    A,
    /// By its Name in the inventory alone.
    B,
    /// By its maker's certificate alone: any chip of these makers.
    C,
    /// Not at all: any TPM passes, and also a program that simulates one.
    D,
}

impl Mode {
    /// The letter.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
            Self::C => "C",
            Self::D => "D",
        }
    }
}

/// What a verifier asks for.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Policy {
    /// The time, in seconds since 1970.
    pub now: u64,
    /// The verifier's own name. A proof for another audience is refused.
    pub audience: String,
    /// The trusted certificates, in which the path from an endorsement key's certificate has to end. `None`: no certificate is needed or checked.
    pub anchors: Option<Anchors>,
    /// The Names of the endorsement keys that are accepted. `None`: all of them.
    pub inventory: Option<Vec<Name>>,
    /// The Names of endorsement keys that are refused.
    pub revoked: Vec<Name>,
    /// Whether a TPM passes without a certificate and without an inventory ([`Mode::D`]).
    pub any_tpm: bool,
    /// Whether expired certificates are accepted. A chip may outlive the certificate of its maker.
    pub ignore_expiry: bool,
    /// The weakest wall that is accepted.
    pub least_wall: Wall,
    /// What the proof must be for; a proof of [`Kind::None`] always passes. `None`: anything.
    pub kind: Option<Kind>,
    /// The principals that a request may name. `None`: any.
    pub principals: Option<Vec<String>>,
    /// The longest time since the challenge was made, in seconds. `None`: the validity of the challenge.
    pub max_age: Option<u64>,
}

impl Policy {
    /// A policy that refuses every TPM until [`anchors`](Self::anchors), [`inventory`](Self::inventory) or
    /// [`any_tpm`](Self::any_tpm) is set; `now` is in seconds since 1970.
    #[must_use]
    pub fn new(now: u64) -> Self {
        Self {
            now,
            audience: String::new(),
            anchors: None,
            inventory: None,
            revoked: Vec::new(),
            any_tpm: false,
            ignore_expiry: false,
            least_wall: Wall::None,
            kind: None,
            principals: None,
            max_age: None,
        }
    }
}
