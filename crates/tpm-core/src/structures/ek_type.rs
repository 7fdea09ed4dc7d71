//! The types of endorsement keys, and their handles in the TCG's registry.

/// The types of endorsement keys that this crate makes, from the TCG's default templates.
///
/// Those of the low range ask for the endorsement hierarchy's authorization value at each use. Those of the high range have an
/// empty value of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EkType {
    /// RSA 2048, low range (template L-1).
    Rsa2048,
    /// ECC P-256, low range (template L-2).
    EccP256,
    /// RSA 2048, high range (template H-1).
    Rsa2048High,
    /// ECC P-256, high range (template H-2).
    EccP256High,
    /// ECC P-384 (template H-3).
    EccP384,
    /// RSA 3072 (template H-6).
    Rsa3072,
}

impl EkType {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Rsa2048,
        Self::EccP256,
        Self::Rsa2048High,
        Self::EccP256High,
        Self::EccP384,
        Self::Rsa3072,
    ];

    /// The name in one word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rsa2048 => "rsa2048",
            Self::EccP256 => "ecc-p256",
            Self::Rsa2048High => "rsa2048-high",
            Self::EccP256High => "ecc-p256-high",
            Self::EccP384 => "ecc-p384",
            Self::Rsa3072 => "rsa3072",
        }
    }

    /// The persistent handle where the key is kept.
    ///
    /// # Source
    ///
    /// TCG Registry of Reserved TPM 2.0 Handles, section 2.3.1. In the high range the last byte is that of the certificate's index.
    #[must_use]
    pub const fn handle(self) -> u32 {
        match self {
            Self::Rsa2048 => 0x8101_0001,
            Self::EccP256 => 0x8101_0002,
            Self::Rsa2048High => 0x8101_0012,
            Self::EccP256High => 0x8101_0014,
            Self::EccP384 => 0x8101_0016,
            Self::Rsa3072 => 0x8101_001c,
        }
    }

    /// Whether each use asks for the endorsement hierarchy's authorization value, as the templates of the low range want it.
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
            Self::Rsa2048High => 0x01c0_0012,
            Self::EccP256High => 0x01c0_0014,
            Self::EccP384 => 0x01c0_0016,
            Self::Rsa3072 => 0x01c0_001c,
        }
    }
}
