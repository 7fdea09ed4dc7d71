//! Checks of the public areas of an attestation key, a key of tpmssh and a storage root key.

use ssh_format::{AnyKey, Curve, PublicKey as SshKey};
use tpm_wire::roca;

use crate::{
    Check, HashAlg, Origin, PublicArea, Result,
    error::refuse,
    public_area::{KeyScheme, PublicKey, Symmetric, attributes as attr},
};

const BORN_HERE: u32 = attr::FIXED_TPM | attr::FIXED_PARENT | attr::SENSITIVE_DATA_ORIGIN;

/// The attributes of an attestation key (V4): fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, noDA, restricted, sign, and no others.
///
/// "Restricted" is the important one: such a key signs only data that the TPM itself has made. Its attestations of other keys are therefore true.
const ATTESTATION_KEY: u32 =
    BORN_HERE | attr::USER_WITH_AUTH | attr::NO_DA | attr::RESTRICTED | attr::SIGN;

/// The attributes of a key of tpmssh (V5): as above, but not restricted.
const SIGNING_KEY: u32 = BORN_HERE | attr::USER_WITH_AUTH | attr::NO_DA | attr::SIGN;

pub(crate) fn check_attestation_key(key: &PublicArea) -> Result<()> {
    let v4 = |why| refuse(Check::V4, why);
    if key.attributes & attr::RESTRICTED == 0 {
        return v4("the attestation key signs anything, and not only what the TPM says");
    }
    if key.attributes != ATTESTATION_KEY {
        return v4("the attributes of the attestation key are not those of one");
    }
    if !key.policy.is_empty() || key.symmetric != Symmetric::None || key.name_alg != HashAlg::Sha256
    {
        return v4("the attestation key has another policy, cipher or hash");
    }
    let fits = match (&key.key, key.scheme) {
        (PublicKey::Ecc { curve, .. }, KeyScheme::Ecdsa(HashAlg::Sha256)) => {
            *curve == Curve::NistP256
        }
        (PublicKey::Rsa { n, e }, KeyScheme::RsaSsa(HashAlg::Sha256)) => {
            n.len() == 256 && *e == 65537 && !roca::is_vulnerable(n)
        }
        _ => false,
    };
    if fits {
        Ok(())
    } else {
        v4("the attestation key is neither ECDSA on P-256 nor RSASSA with 2048 bits")
    }
}

/// Check V5 without the parent. Returns the key in SSH's form.
pub(crate) fn check_key(key: &PublicArea) -> Result<AnyKey> {
    let v5 = |why| refuse(Check::V5, why);
    match origin(key) {
        Origin::BornHere => {}
        Origin::Imported => {
            return v5("the key was made outside of the TPM, and there may be a copy");
        }
        Origin::CanLeave => return v5("the key can leave its TPM"),
    }
    let may_decrypt = matches!(key.key, PublicKey::Rsa { .. });
    if key.attributes != SIGNING_KEY
        && !(may_decrypt && key.attributes == SIGNING_KEY | attr::DECRYPT)
    {
        return v5("the attributes of the key are not those of a key that signs for SSH");
    }
    let is_plain = key.policy.is_empty()
        && key.symmetric == Symmetric::None
        && key.scheme == KeyScheme::None
        && key.name_alg == HashAlg::Sha256;
    if !is_plain {
        return v5("the key has another policy, scheme or hash");
    }
    let ssh_key = match &key.key {
        PublicKey::Rsa { n, e } => {
            if !matches!(n.len(), 256 | 384) || *e != 65537 {
                return v5("the RSA key has neither 2048 nor 3072 bits, or a strange exponent");
            }
            if roca::is_vulnerable(n) {
                return v5("the RSA key can be computed from its public half (ROCA)");
            }
            SshKey::rsa(n, *e)
        }
        PublicKey::Ecc { curve, x, y } => SshKey::ecdsa(*curve, x, y),
    };
    match ssh_key.and_then(|key| AnyKey::from_blob(key.blob())) {
        Ok(key) => Ok(key),
        Err(_) => v5("the public key is not one"),
    }
}

/// A part of check V12: the storage root key has to be a storage key that cannot leave the TPM.
pub(crate) fn check_root(srk: &PublicArea) -> Result<()> {
    let needed = BORN_HERE | attr::RESTRICTED | attr::DECRYPT;
    let allowed = needed | attr::USER_WITH_AUTH | attr::ADMIN_WITH_POLICY | attr::NO_DA;
    if srk.attributes & needed == needed && srk.attributes & !allowed == 0 {
        Ok(())
    } else {
        refuse(
            Check::V12,
            "what is at the root of the TPM is no storage key of its own",
        )
    }
}

/// Where a key comes from, by its attributes.
pub(crate) fn origin(key: &PublicArea) -> Origin {
    let attributes = key.attributes;
    if attributes & BORN_HERE == BORN_HERE {
        Origin::BornHere
    } else if attributes & attr::SENSITIVE_DATA_ORIGIN == 0 {
        Origin::Imported
    } else {
        Origin::CanLeave
    }
}

impl PublicArea {
    /// Where the key comes from, by its attributes. A TPM does not let them change, but a prover may write any attributes into a file:
    /// they count only after the [proof](crate::verify) was checked.
    #[must_use]
    pub fn origin(&self) -> Origin {
        origin(self)
    }
}
