//! The elliptic curves of SSH that TPMs have.

use std::fmt;

use ssh_key::{Algorithm, EcdsaCurve};

/// A NIST curve that SSH has a key type for.
///
/// Its `Display` form is its name in SSH, such as `nistp256`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Curve {
    /// NIST P-256.
    NistP256,
    /// NIST P-384.
    NistP384,
    /// NIST P-521.
    NistP521,
}

impl Curve {
    /// The length of a coordinate in bytes: 32, 48 or 66.
    #[must_use]
    pub fn field_size(self) -> usize {
        match self {
            Self::NistP256 => 32,
            Self::NistP384 => 48,
            Self::NistP521 => 66,
        }
    }

    /// The size of the curve in bits: 256, 384 or 521.
    #[must_use]
    pub fn bits(self) -> usize {
        match self {
            Self::NistP256 => 256,
            Self::NistP384 => 384,
            Self::NistP521 => 521,
        }
    }

    /// The name of the key type and of its only signature algorithm, such as
    /// `ecdsa-sha2-nistp256` (RFC 5656 sections 3.1 and 6.2).
    #[must_use]
    pub fn algorithm(self) -> &'static str {
        match self {
            Self::NistP256 => "ecdsa-sha2-nistp256",
            Self::NistP384 => "ecdsa-sha2-nistp384",
            Self::NistP521 => "ecdsa-sha2-nistp521",
        }
    }
}

impl fmt::Display for Curve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nistp{}", self.bits())
    }
}

impl From<Curve> for Algorithm {
    fn from(curve: Curve) -> Self {
        let curve = match curve {
            Curve::NistP256 => EcdsaCurve::NistP256,
            Curve::NistP384 => EcdsaCurve::NistP384,
            Curve::NistP521 => EcdsaCurve::NistP521,
        };
        Self::Ecdsa { curve }
    }
}
