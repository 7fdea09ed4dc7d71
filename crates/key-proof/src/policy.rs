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
    /// Not at all: whoever asked first. A program that plays a TPM passes as well.
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
    /// The verifier's own word; a proof for any other is refused.
    pub audience: String,
    /// The certificates that chains of endorsement keys may end in. `None`: no certificate is asked for or looked at.
    pub anchors: Option<Anchors>,
    /// The Names of the endorsement keys that count. `None`: all do.
    pub inventory: Option<Vec<Name>>,
    /// The Names of endorsement keys that count no more.
    pub revoked: Vec<Name>,
    /// Whether a TPM may pass that neither a certificate nor the inventory vouches for.
    pub any_tpm: bool,
    /// Whether certificates that have expired are taken. A chip outlives the certificate of its maker.
    pub ignore_expiry: bool,
    /// The weakest wall that will do.
    pub least_wall: Wall,
    /// What the proof must be for. `None`: anything.
    pub kind: Option<Kind>,
    /// The principals that the key may be. `None`: any.
    pub principals: Option<Vec<String>>,
    /// The most seconds since the challenge was made. `None`: as long as the challenge is good.
    pub max_age: Option<u64>,
}

impl Policy {
    /// A policy that takes no TPM at all before [`anchors`](Self::anchors), [`inventory`](Self::inventory) or
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
