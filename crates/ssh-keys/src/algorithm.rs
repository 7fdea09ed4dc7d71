//! The SSH signature algorithms of a key.

use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};
use ssh_format::RsaHash;
use token_store::Key;
use tpm_core::{Curve, Hash, PublicKey, Scheme};

/// `SSH_AGENT_RSA_SHA2_256` and `SSH_AGENT_RSA_SHA2_512`.
const RSA_SHA2_256: u32 = 2;
const RSA_SHA2_512: u32 = 4;

/// A signature algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// `rsa-sha2-256` or `rsa-sha2-512`; `ssh-rsa` only if a request names it.
    Rsa(RsaHash),
    /// ECDSA with the hash that RFC 5656 gives to the curve.
    Ecdsa(Curve),
}

impl Algorithm {
    /// The algorithm that OpenSSH prefers for a key.
    #[must_use]
    pub fn preferred(key: &PublicKey) -> Self {
        match key {
            PublicKey::Rsa { .. } => Self::Rsa(RsaHash::Sha512),
            PublicKey::Ecc { curve, .. } => Self::Ecdsa(*curve),
        }
    }

    /// The algorithms of a key, the preferred one first.
    fn all(key: &PublicKey) -> Vec<Self> {
        let other = matches!(key, PublicKey::Rsa { .. }).then_some(Self::Rsa(RsaHash::Sha256));
        [Self::preferred(key)].into_iter().chain(other).collect()
    }

    /// The algorithm that OpenSSH prefers of those that the key's owner allows; `None` if there is
    /// none.
    #[must_use]
    pub fn allowed(key: &Key) -> Option<Self> {
        let is_allowed = |algorithm: &Self| {
            let len = algorithm.digest(&[]).len();
            key.check_sign(algorithm.scheme(), len).is_ok()
        };
        Self::all(key.public()).into_iter().find(is_allowed)
    }

    /// As [`Algorithm::allowed`]; the one preferred of all if none is allowed.
    pub(crate) fn of(key: &Key) -> Self {
        Self::allowed(key).unwrap_or_else(|| Self::preferred(key.public()))
    }

    /// The algorithm that the flags of a request to an agent ask for; `None` for unknown flags.
    ///
    /// RSA without flags is `ssh-rsa`, with SHA-1 ([`RsaHash::Sha1`]): whether to make such a
    /// signature is for the caller to decide.
    ///
    /// # Source
    ///
    /// RFC 9987 section 3.6.1.
    #[must_use]
    pub fn from_agent_flags(key: &PublicKey, flags: u32) -> Option<Self> {
        if flags & !(RSA_SHA2_256 | RSA_SHA2_512) != 0 {
            return None;
        }
        match key {
            PublicKey::Rsa { .. } if flags & RSA_SHA2_256 != 0 => Some(Self::Rsa(RsaHash::Sha256)),
            PublicKey::Rsa { .. } if flags & RSA_SHA2_512 != 0 => Some(Self::Rsa(RsaHash::Sha512)),
            PublicKey::Rsa { .. } => Some(Self::Rsa(RsaHash::Sha1)),
            PublicKey::Ecc { curve, .. } => Some(Self::Ecdsa(*curve)),
        }
    }

    pub(crate) fn scheme(self) -> Scheme {
        match self {
            Self::Rsa(RsaHash::Sha1) => Scheme::RsaPkcs1(Hash::Sha1),
            Self::Rsa(RsaHash::Sha256) => Scheme::RsaPkcs1(Hash::Sha256),
            Self::Rsa(RsaHash::Sha512) => Scheme::RsaPkcs1(Hash::Sha512),
            Self::Ecdsa(_) => Scheme::Ecdsa,
        }
    }

    pub(crate) fn digest(self, data: &[u8]) -> Vec<u8> {
        match self {
            Self::Rsa(RsaHash::Sha1) => Sha1::digest(data).to_vec(),
            Self::Rsa(RsaHash::Sha256) | Self::Ecdsa(Curve::P256) => Sha256::digest(data).to_vec(),
            Self::Ecdsa(Curve::P384) => Sha384::digest(data).to_vec(),
            Self::Rsa(RsaHash::Sha512) | Self::Ecdsa(Curve::P521) => Sha512::digest(data).to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_choose_the_hash() {
        let rsa = PublicKey::Rsa {
            n: vec![0xc1; 256],
            e: 65_537,
        };
        let choose = |flags| Algorithm::from_agent_flags(&rsa, flags);
        assert_eq!(choose(0), Some(Algorithm::Rsa(RsaHash::Sha1)));
        assert_eq!(choose(2), Some(Algorithm::Rsa(RsaHash::Sha256)));
        assert_eq!(choose(4), Some(Algorithm::Rsa(RsaHash::Sha512)));
        assert_eq!(choose(1), None);
        assert_eq!(choose(1 << 31 | 2), None);
        let own = Algorithm::all(&rsa);
        assert!(
            !own.contains(&Algorithm::Rsa(RsaHash::Sha1)),
            "only on request"
        );
        let ecc = PublicKey::Ecc {
            curve: Curve::P384,
            x: vec![1; 48],
            y: vec![1; 48],
        };
        let chosen = Some(Algorithm::Ecdsa(Curve::P384));
        assert_eq!(Algorithm::from_agent_flags(&ecc, 0), chosen);
        assert_eq!(Algorithm::from_agent_flags(&ecc, 1 << 31), None);
    }
}
