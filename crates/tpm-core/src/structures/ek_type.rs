//! The types of endorsement keys, and their handles in the TCG's registry.

/// The types of endorsement keys that this crate makes, from the TCG's default templates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EkType {
    /// RSA 2048 (template L-1).
    Rsa2048,
    /// ECC P-256 (template L-2).
    EccP256,
    /// ECC P-384 (template H-3).
    EccP384,
}

impl EkType {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Rsa2048, Self::EccP256, Self::EccP384];

    /// The name in one word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rsa2048 => "rsa2048",
            Self::EccP256 => "ecc-p256",
            Self::EccP384 => "ecc-p384",
        }
    }

    /// The persistent handle where the key is kept.
    ///
    /// # Source
    ///
    /// TCG Registry of Reserved TPM 2.0 Handles, section 2.3.1.
    #[must_use]
    pub const fn handle(self) -> u32 {
        match self {
            Self::Rsa2048 => 0x8101_0001,
            Self::EccP256 => 0x8101_0002,
            Self::EccP384 => 0x8101_0016,
        }
    }

    /// Whether its use asks for the endorsement hierarchy's authorization value: so the templates of the low range
    /// want it. Those of the high range have an empty one of their own.
    pub(crate) const fn asks_endorsement(self) -> bool {
        matches!(self, Self::Rsa2048 | Self::EccP256)
    }

    /// The NV index of the manufacturer's certificate.
    ///
    /// # Source
    ///
    /// TCG EK Credential Profile, section 2.2.1.
    #[must_use]
    pub const fn certificate_index(self) -> u32 {
        match self {
            Self::Rsa2048 => 0x01c0_0002,
            Self::EccP256 => 0x01c0_000a,
            Self::EccP384 => 0x01c0_0016,
        }
    }
}
