//! A TPM's attestation of a key that it holds (`TPMS_ATTEST`), and the signature of the attestation.

use tpm_wire::{Reader, algorithm};

use crate::{
    Error, HashAlg, Result, curves,
    public_area::{KeyScheme, PublicArea, PublicKey},
};

/// `TPM_GENERATED_VALUE`. A restricted key signs data from outside only if it does not begin with this value.
const MAGIC: u32 = 0xff54_4347;
/// `TPM_ST_ATTEST_CERTIFY`.
const CERTIFY: u16 = 0x8017;

/// The time of a TPM, as it is in an attestation by a key of the owner hierarchy.
///
/// The TPM adds a constant offset to the counters, another one for each attestation key, so only their differences mean something. The clock
/// counts powered time; it is not the time of day.
///
/// # Source
///
/// Part 1, section 36 "Timing Components"; part 3, section 18.1 "Attestation Commands".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TpmTime {
    /// How long the TPM was powered, in milliseconds.
    pub clock: u64,
    /// The number of TPM resets.
    pub resets: u32,
    /// The number of TPM restarts and resumes since the last reset.
    pub restarts: u32,
}

/// A `TPMS_ATTEST` of `TPM2_Certify`.
///
/// # Source
///
/// Part 2, sections 10.12.8 "TPMS_ATTEST" and 10.12.2 "TPMS_CERTIFY_INFO".
#[derive(Debug, Clone)]
pub(crate) struct Attest {
    /// The Qualified Name of the key that signed.
    pub(crate) signer: Vec<u8>,
    /// The qualifying data of the caller.
    pub(crate) extra: Vec<u8>,
    pub(crate) time: TpmTime,
    /// The Name of the key that was certified.
    pub(crate) name: Vec<u8>,
    /// The Qualified Name of that key.
    pub(crate) qualified_name: Vec<u8>,
}

impl Attest {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes, "attestation");
        if reader.u32()? != MAGIC {
            return Err(reader.malformed("no TPM made it").into());
        }
        if reader.u16()? != CERTIFY {
            return Err(reader.malformed("it is not about a key").into());
        }
        let signer = reader.sized()?.to_vec();
        let extra = reader.sized()?.to_vec();
        let time = TpmTime {
            clock: reader.u64()?,
            resets: reader.u32()?,
            restarts: reader.u32()?,
        };
        // `safe` of the clock, and the obfuscated version of the firmware.
        reader.u8()?;
        reader.u64()?;
        let name = reader.sized()?.to_vec();
        let qualified_name = reader.sized()?.to_vec();
        reader.finish()?;
        Ok(Self {
            signer,
            extra,
            time,
            name,
            qualified_name,
        })
    }
}

/// Checks that `signature` (a `TPMT_SIGNATURE`) is by `key` with the key's own scheme, over `message`.
///
/// # Source
///
/// Part 2, section 11.3.4 "TPMT_SIGNATURE".
pub(crate) fn verify_signature(key: &PublicArea, message: &[u8], signature: &[u8]) -> Result<()> {
    let mut reader = Reader::new(signature, "signature of the attestation");
    let (id, hash) = (reader.u16()?, HashAlg::from_id(reader.u16()?));
    let is_good = match (key.scheme, &key.key) {
        (KeyScheme::RsaSsa(own), PublicKey::Rsa { n, e })
            if id == algorithm::RSASSA && hash == Some(own) =>
        {
            let signature = reader.sized()?;
            reader.finish()?;
            curves::rsa_verifies(n, *e, own, message, signature)
        }
        (KeyScheme::Ecdsa(own), PublicKey::Ecc { curve, x, y })
            if id == algorithm::ECDSA && hash == Some(own) =>
        {
            let (r, s) = (reader.sized()?, reader.sized()?);
            reader.finish()?;
            curves::ecdsa_verifies(*curve, (x, y), own, message, (r, s))
        }
        _ => {
            return Err(reader
                .malformed("its scheme is not that of the attestation key")
                .into());
        }
    };
    if is_good {
        Ok(())
    } else {
        Err(Error::malformed(
            "signature of the attestation",
            "it is not by this key",
        ))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_an_attestation_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Attest::parse(&bytes);
            let _ = Attest::parse(&[&[0xff, 0x54, 0x43, 0x47, 0x80, 0x17][..], &bytes].concat());
        }
    }
}
