//! The endorsement key of a machine that is not there yet, computed from its maker's certificate.
//!
//! # Source
//!
//! TCG EK Credential Profile, annex B "Default EK Templates".

use super::{
    certificate, chain,
    template::{self, EkRange},
};
use crate::{EkCertificate, Error, PublicArea, Result};

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

    /// The public area of the certificate's endorsement key, by the TCG's template; the Name follows from it. P-384 and RSA of 3072 bits have
    /// only one template (H-3, H-6), and ignore `range`.
    ///
    /// The result is wrong for a chip that leaves out leading zeros of a coordinate. The certificate's signature is not checked.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] if there is no template for the key. [`Error::Refused`] by V1 if the certificate is not for an endorsement key, and by V2
    /// if the private half can be computed from the public half (ROCA).
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
