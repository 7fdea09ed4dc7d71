//! The endorsement key of a machine of which only the maker's certificate is at hand.
//!
//! # Source
//!
//! TCG EK Credential Profile, annex B "Default EK Templates".

use super::{certificate, chain, template};
use crate::{EkCertificate, Error, PublicArea, Result};

/// Which templates a maker's keys follow, where the profile has two of them: RSA of 2048 bits, and ECC on P-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EkRange {
    /// Templates L-1 and L-2, which chips usually come with.
    #[default]
    Low,
    /// Templates H-1 and H-2.
    High,
}

impl EkCertificate {
    /// Reads a file with one certificate: DER, as [`parse`](Self::parse) takes it, or PEM.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`], also for several certificates.
    pub fn from_file(bytes: &[u8]) -> Result<Self> {
        match &chain::in_file(bytes)?[..] {
            [one] => Self::parse(one),
            _ => Err(Error::malformed(
                "certificate",
                "the file has several, and one is needed",
            )),
        }
    }

    /// The public area of its endorsement key, and so the Name: the key by the TCG's template. P-384 and RSA of 3072 bits have one template
    /// (H-3, H-6), whatever `range` is.
    ///
    /// A chip that writes a coordinate of a point without its leading zeros has another Name. Nobody has checked the certificate's signature.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] for a key that no template is for; [`Error::Refused`] by V1 for a certificate that is not one of an endorsement key, and by V2
    /// for a key that can be computed from its public half.
    pub fn public_area(&self, range: EkRange) -> Result<PublicArea> {
        let key = certificate::key(&self.0);
        let area = key.and_then(|key| template::public_area(&key, range));
        let Some(area) = area else {
            return Err(Error::malformed(
                "certificate",
                "no template of the TCG's is for its key: RSA of 2048 or 3072 bits, or ECC on P-256 or P-384",
            ));
        };
        let area = PublicArea::parse(&area)?;
        self.check_is_for(&area)?;
        template::check(&area)?;
        Ok(area)
    }
}
