//! The mechanisms, and the keys for each.

use cryptoki_sys::*;
use sha2::digest::DynDigest;
use token_store::Key;
use tpm_core::{Hash, KeyType, PublicKey};

use crate::error::{Error, Result};

/// The scheme of a signature, besides its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Padding {
    Pkcs1,
    /// The caller has already put the padding of PKCS#1 v1.5 around the data. The module removes
    /// it, so that it signs only such blocks.
    Pkcs1Block,
    Pss,
    Ecdsa,
}

/// A mechanism for signing and verifying.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Signing {
    pub(crate) padding: Padding,
    /// The hash that the module applies; `None` if the input is already a digest.
    pub(crate) hash: Option<Hash>,
}

/// A mechanism with its parameter, as the caller gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mechanism {
    pub(crate) kind: CK_MECHANISM_TYPE,
    pub(crate) parameter: Parameter,
}

/// The parameter of a mechanism.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Parameter {
    None,
    /// `CK_RSA_PKCS_PSS_PARAMS`: hash, mask generation, length of the salt.
    Pss(CK_MECHANISM_TYPE, CK_RSA_PKCS_MGF_TYPE, CK_ULONG),
    /// `CK_RSA_PKCS_OAEP_PARAMS`: hash, mask generation, label.
    Oaep(CK_MECHANISM_TYPE, CK_RSA_PKCS_MGF_TYPE, Vec<u8>),
    /// `CK_ECDH1_DERIVE_PARAMS`: key derivation function, shared data, the other's public point.
    Ecdh(CK_EC_KDF_TYPE, Vec<u8>, Vec<u8>),
    /// Another parameter.
    Unknown,
}

const SIGNING: [(CK_MECHANISM_TYPE, Signing); 16] = [
    (
        CKM_RSA_PKCS,
        Signing {
            padding: Padding::Pkcs1,
            hash: None,
        },
    ),
    (
        CKM_RSA_X_509,
        Signing {
            padding: Padding::Pkcs1Block,
            hash: None,
        },
    ),
    (
        CKM_SHA1_RSA_PKCS,
        Signing {
            padding: Padding::Pkcs1,
            hash: Some(Hash::Sha1),
        },
    ),
    (
        CKM_SHA256_RSA_PKCS,
        Signing {
            padding: Padding::Pkcs1,
            hash: Some(Hash::Sha256),
        },
    ),
    (
        CKM_SHA384_RSA_PKCS,
        Signing {
            padding: Padding::Pkcs1,
            hash: Some(Hash::Sha384),
        },
    ),
    (
        CKM_SHA512_RSA_PKCS,
        Signing {
            padding: Padding::Pkcs1,
            hash: Some(Hash::Sha512),
        },
    ),
    (
        CKM_RSA_PKCS_PSS,
        Signing {
            padding: Padding::Pss,
            hash: None,
        },
    ),
    (
        CKM_SHA1_RSA_PKCS_PSS,
        Signing {
            padding: Padding::Pss,
            hash: Some(Hash::Sha1),
        },
    ),
    (
        CKM_SHA256_RSA_PKCS_PSS,
        Signing {
            padding: Padding::Pss,
            hash: Some(Hash::Sha256),
        },
    ),
    (
        CKM_SHA384_RSA_PKCS_PSS,
        Signing {
            padding: Padding::Pss,
            hash: Some(Hash::Sha384),
        },
    ),
    (
        CKM_SHA512_RSA_PKCS_PSS,
        Signing {
            padding: Padding::Pss,
            hash: Some(Hash::Sha512),
        },
    ),
    (
        CKM_ECDSA,
        Signing {
            padding: Padding::Ecdsa,
            hash: None,
        },
    ),
    (
        CKM_ECDSA_SHA1,
        Signing {
            padding: Padding::Ecdsa,
            hash: Some(Hash::Sha1),
        },
    ),
    (
        CKM_ECDSA_SHA256,
        Signing {
            padding: Padding::Ecdsa,
            hash: Some(Hash::Sha256),
        },
    ),
    (
        CKM_ECDSA_SHA384,
        Signing {
            padding: Padding::Ecdsa,
            hash: Some(Hash::Sha384),
        },
    ),
    (
        CKM_ECDSA_SHA512,
        Signing {
            padding: Padding::Ecdsa,
            hash: Some(Hash::Sha512),
        },
    ),
];

const DIGESTS: [(CK_MECHANISM_TYPE, Hash); 4] = [
    (CKM_SHA_1, Hash::Sha1),
    (CKM_SHA256, Hash::Sha256),
    (CKM_SHA384, Hash::Sha384),
    (CKM_SHA512, Hash::Sha512),
];

/// The mechanism for signing `kind`.
///
/// # Errors
///
/// [`Error::MechanismInvalid`].
pub(crate) fn signing(kind: CK_MECHANISM_TYPE) -> Result<Signing> {
    let found = SIGNING.iter().find(|(known, _)| *known == kind);
    found
        .map(|&(_, signing)| signing)
        .ok_or(Error::MechanismInvalid)
}

/// The hash of a digest mechanism.
///
/// # Errors
///
/// [`Error::MechanismInvalid`].
pub(crate) fn digest(kind: CK_MECHANISM_TYPE) -> Result<Hash> {
    let found = DIGESTS.iter().find(|(known, _)| *known == kind);
    found.map(|&(_, hash)| hash).ok_or(Error::MechanismInvalid)
}

/// A hash that is fed piece by piece.
pub(crate) fn hasher(hash: Hash) -> Box<dyn DynDigest + Send> {
    match hash {
        Hash::Sha1 => Box::new(sha1::Sha1::default()),
        Hash::Sha256 => Box::new(sha2::Sha256::default()),
        Hash::Sha384 => Box::new(sha2::Sha384::default()),
        Hash::Sha512 => Box::new(sha2::Sha512::default()),
    }
}

/// The hash of a mask generation function.
///
/// # Errors
///
/// [`Error::MechanismParamInvalid`].
pub(crate) fn mgf(kind: CK_RSA_PKCS_MGF_TYPE) -> Result<Hash> {
    match kind {
        CKG_MGF1_SHA1 => Ok(Hash::Sha1),
        CKG_MGF1_SHA256 => Ok(Hash::Sha256),
        CKG_MGF1_SHA384 => Ok(Hash::Sha384),
        CKG_MGF1_SHA512 => Ok(Hash::Sha512),
        _ => Err(Error::MechanismParamInvalid),
    }
}

/// The hash of a key derivation function of ANSI X9.63; `None` for `CKD_NULL`.
///
/// # Errors
///
/// [`Error::MechanismParamInvalid`].
pub(crate) fn kdf(kind: CK_EC_KDF_TYPE) -> Result<Option<Hash>> {
    match kind {
        CKD_NULL => Ok(None),
        CKD_SHA1_KDF => Ok(Some(Hash::Sha1)),
        CKD_SHA256_KDF => Ok(Some(Hash::Sha256)),
        CKD_SHA384_KDF => Ok(Some(Hash::Sha384)),
        CKD_SHA512_KDF => Ok(Some(Hash::Sha512)),
        _ => Err(Error::MechanismParamInvalid),
    }
}

/// `CKA_KEY_GEN_MECHANISM`.
pub(crate) fn key_generation(key_type: KeyType) -> CK_MECHANISM_TYPE {
    if key_type.is_rsa() {
        CKM_RSA_PKCS_KEY_PAIR_GEN
    } else {
        CKM_EC_KEY_PAIR_GEN
    }
}

/// `CKA_ALLOWED_MECHANISMS` of a private key whose owner gave no list: all its mechanisms.
pub(crate) fn of_private_key(key: &Key) -> Vec<CK_MECHANISM_TYPE> {
    let (rsa, decrypts) = (key.key_type().is_rsa(), key.usage().decrypt);
    let mut list = of_uses(rsa, key.signs(), decrypts);
    if !rsa && decrypts {
        list.push(CKM_ECDH1_DERIVE);
    }
    list
}

/// `CKA_ALLOWED_MECHANISMS` of a public key whose owner gave no list: the mechanisms with which it
/// verifies and encrypts. Derivation takes the private half.
pub(crate) fn of_public_key(
    public: &PublicKey,
    verifies: bool,
    encrypts: bool,
) -> Vec<CK_MECHANISM_TYPE> {
    of_uses(matches!(public, PublicKey::Rsa { .. }), verifies, encrypts)
}

/// The mechanisms of either half, without derivation.
fn of_uses(rsa: bool, signs: bool, decrypts: bool) -> Vec<CK_MECHANISM_TYPE> {
    let mut list = if signs { signing_with(rsa) } else { Vec::new() };
    if rsa && decrypts {
        if !signs {
            list.push(CKM_RSA_PKCS);
        }
        list.push(CKM_RSA_PKCS_OAEP);
    }
    list
}

/// The mechanisms that sign and verify with a type of key.
fn signing_with(rsa: bool) -> Vec<CK_MECHANISM_TYPE> {
    SIGNING
        .iter()
        .filter(|(_, signing)| (signing.padding != Padding::Ecdsa) == rsa)
        .map(|&(kind, _)| kind)
        .collect()
}

/// Every mechanism that works with a chip that makes keys of these types.
pub(crate) fn list(types: &[KeyType]) -> Vec<CK_MECHANISM_TYPE> {
    let all = SIGNING
        .iter()
        .map(|&(kind, _)| kind)
        .chain(DIGESTS.iter().map(|&(kind, _)| kind));
    all.chain([
        CKM_RSA_PKCS_KEY_PAIR_GEN,
        CKM_RSA_PKCS_OAEP,
        CKM_EC_KEY_PAIR_GEN,
        CKM_ECDH1_DERIVE,
    ])
    .filter(|&kind| info(kind, types).is_ok())
    .collect()
}

/// `C_GetMechanismInfo`, for a chip that makes keys of these types.
///
/// # Errors
///
/// [`Error::MechanismInvalid`].
pub(crate) fn info(kind: CK_MECHANISM_TYPE, types: &[KeyType]) -> Result<CK_MECHANISM_INFO> {
    const CURVES: CK_FLAGS = CKF_EC_F_P | CKF_EC_NAMEDCURVE | CKF_EC_UNCOMPRESS;
    if digest(kind).is_ok() {
        return Ok(CK_MECHANISM_INFO {
            ulMinKeySize: 0,
            ulMaxKeySize: 0,
            flags: CKF_DIGEST,
        });
    }
    let (rsa, flags) = match kind {
        CKM_RSA_PKCS_KEY_PAIR_GEN => (true, CKF_HW | CKF_GENERATE_KEY_PAIR),
        CKM_EC_KEY_PAIR_GEN => (false, CKF_HW | CKF_GENERATE_KEY_PAIR | CURVES),
        CKM_ECDH1_DERIVE => (false, CKF_HW | CKF_DERIVE | CURVES),
        CKM_RSA_PKCS_OAEP => (true, CKF_HW | CKF_ENCRYPT | CKF_DECRYPT),
        CKM_RSA_PKCS => (
            true,
            CKF_HW | CKF_SIGN | CKF_VERIFY | CKF_ENCRYPT | CKF_DECRYPT,
        ),
        _ => match signing(kind)?.padding {
            Padding::Ecdsa => (false, CKF_HW | CKF_SIGN | CKF_VERIFY | CURVES),
            _ => (true, CKF_HW | CKF_SIGN | CKF_VERIFY),
        },
    };
    let sizes = || {
        types
            .iter()
            .filter(|t| t.is_rsa() == rsa)
            .map(|t| CK_ULONG::from(t.bits()))
    };
    let (Some(min), Some(max)) = (sizes().min(), sizes().max()) else {
        return Err(Error::MechanismInvalid);
    };
    Ok(CK_MECHANISM_INFO {
        ulMinKeySize: min,
        ulMaxKeySize: max,
        flags,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chip_without_rsa_offers_no_rsa() {
        let list = list(&[KeyType::EccP256]);
        assert!(list.contains(&CKM_ECDSA) && list.contains(&CKM_SHA256));
        assert!(!list.contains(&CKM_RSA_PKCS));
        assert!(info(CKM_RSA_PKCS, &[KeyType::EccP256]).is_err());
        let info = info(CKM_RSA_PKCS, &[KeyType::Rsa2048, KeyType::Rsa3072]).unwrap();
        assert_eq!((info.ulMinKeySize, info.ulMaxKeySize), (2048, 3072));
    }
}
