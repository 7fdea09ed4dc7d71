//! The PIN wall of a key: what a TPM asks for before it uses the key. The verifier derives it from the public areas.

use std::fmt;

use ssh_format::Curve;
use tpm_wire::{Reader, algorithm};

use crate::{
    Check, HashAlg, Name, PublicArea, Result,
    error::refuse,
    policy_digest,
    public_area::{KeyScheme, PublicKey, Symmetric},
};

/// What a TPM asks for before it uses a key, weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Wall {
    /// No wall: the key's blob and access to the TPM are enough to use the key.
    None,
    /// A PIN. Wrong ones count towards the lockout of the whole chip.
    Lockout,
    /// A PIN. The chip counts wrong ones for this token alone.
    Counter,
}

impl Wall {
    /// The name in one word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Lockout => "lockout",
            Self::Counter => "counter",
        }
    }
}

impl fmt::Display for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The wall that a prover claims, with the public areas and Names that show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WallClaim {
    /// A PIN counter.
    Counter {
        /// The public area of the NV index (`TPMS_NV_PUBLIC`).
        counter: Vec<u8>,
        /// The Name of the object whose authorization value is the SO PIN.
        so_name: Vec<u8>,
        /// The Name of the object that guards changes of the PIN.
        guard_name: Vec<u8>,
    },
    /// The chip's lockout.
    Lockout {
        /// The Name of the object whose authorization value is the SO PIN.
        so_name: Vec<u8>,
    },
    /// No wall.
    None,
}

// The attributes of token keys. All have fixedTPM, fixedParent, sensitiveDataOrigin, restricted and decrypt, and besides:
const BEHIND_COUNTER: u32 = 0x0003_04b2; // adminWithPolicy, noDA
const BEHIND_LOCKOUT: u32 = 0x0003_00f2; // userWithAuth, adminWithPolicy
const BEHIND_NOTHING: u32 = 0x0003_0472; // userWithAuth, noDA

/// `TPM_NT_PIN_FAIL`, POLICYWRITE, AUTHREAD, POLICYREAD, NO_DA, WRITTEN. OWNERWRITE, AUTHWRITE and PPWRITE are clear: with them, somebody
/// without the SO PIN could set the count back.
const COUNTER_ATTRIBUTES: u32 = 0x220c_0088;
/// `TPMS_NV_PIN_COUNTER_PARAMETERS`: count and limit, 4 bytes each.
const COUNTER_SIZE: u16 = 8;

/// A part of check V5: the token key `parent` has the wall that `claim` names.
pub(crate) fn check(parent: &PublicArea, claim: &WallClaim) -> Result<Wall> {
    let v5 = |why| refuse(Check::V5, why);
    check_storage_key(parent)?;
    match (parent.attributes(), claim) {
        (
            BEHIND_COUNTER,
            WallClaim::Counter {
                counter,
                so_name,
                guard_name,
            },
        ) => {
            let so = checked_name(so_name)?;
            let guard = checked_name(guard_name)?;
            check_counter(counter, policy_digest::of_counter(&so, &guard).bytes())?;
            let name = Name::of(HashAlg::Sha256, &[counter]);
            if parent.policy == policy_digest::behind_counter(&name).bytes() {
                Ok(Wall::Counter)
            } else {
                v5("the key's parent does not ask for this PIN counter")
            }
        }
        (BEHIND_LOCKOUT, WallClaim::Lockout { so_name }) => {
            let so = checked_name(so_name)?;
            if parent.policy == policy_digest::behind_lockout(&so).bytes() {
                Ok(Wall::Lockout)
            } else {
                v5("the policy of the key's parent is not that of a PIN wall")
            }
        }
        (BEHIND_NOTHING, WallClaim::None) if parent.policy.is_empty() => Ok(Wall::None),
        (BEHIND_COUNTER | BEHIND_LOCKOUT | BEHIND_NOTHING, _) => {
            v5("the PIN wall is not the one that is claimed")
        }
        _ => v5("the attributes of the key's parent are not those of a token key"),
    }
}

/// Checks that `parent` is a storage key of tpmssh's templates: P-256 or RSA-2048, SHA-256, AES-128.
fn check_storage_key(parent: &PublicArea) -> Result<()> {
    let is_kind = match &parent.key {
        PublicKey::Ecc { curve, .. } => *curve == Curve::NistP256,
        PublicKey::Rsa { n, e } => n.len() == 256 && *e == 65537,
    };
    let fits = parent.name_alg == HashAlg::Sha256
        && parent.symmetric == (Symmetric::Aes { bits: 128 })
        && parent.scheme == KeyScheme::None;
    if is_kind && fits {
        Ok(())
    } else {
        refuse(Check::V5, "the key's parent is not a token key")
    }
}

/// Reads the Name of an object with SHA-256. The Name of a hierarchy (4 bytes) is refused: with it, the owner of that hierarchy could take
/// the place of the SO.
fn checked_name(bytes: &[u8]) -> Result<Name> {
    match Name::from_bytes(bytes) {
        Ok(name) if bytes.starts_with(&[0x00, 0x0b]) => Ok(name),
        _ => refuse(Check::V5, "a Name in the PIN wall is not that of an object"),
    }
}

/// Checks that the NV index with the public area `public` is a PIN counter with this policy.
///
/// # Source
///
/// Part 2, section 13.5 "TPMS_NV_PUBLIC".
fn check_counter(public: &[u8], policy: &[u8]) -> Result<()> {
    let mut reader = Reader::new(public, "PIN counter");
    let index = reader.u32()?;
    let hash = reader.u16()?;
    let attributes = reader.u32()?;
    let found = reader.sized()?;
    let size = reader.u16()?;
    reader.finish()?;
    if !(0x0180_0000..=0x01bf_ffff).contains(&index)
        || hash != algorithm::SHA256
        || size != COUNTER_SIZE
    {
        return refuse(Check::V5, "the PIN counter is not one of tpmssh's");
    }
    if attributes != COUNTER_ATTRIBUTES {
        return refuse(
            Check::V5,
            "the attributes of the PIN counter let others change it",
        );
    }
    if found != policy {
        return refuse(
            Check::V5,
            "the policy of the PIN counter lets others change it",
        );
    }
    Ok(())
}
