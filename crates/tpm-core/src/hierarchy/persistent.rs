//! The persistent keys in the chip, of all programs.

use tpm_wire::{Reader, algorithm, roca};

use crate::{Operation, Result, chip::info, command::exception::Exception, hierarchy::primary};

/// The persistent handles (part 2, section 7.5).
const FIRST: u32 = 0x8100_0000;
const LAST: u32 = 0x81ff_ffff;

/// A persistent key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PersistentKey {
    /// Its handle.
    pub handle: u32,
    /// Whether it is an RSA key with the ROCA fingerprint (CVE-2017-15361): its private half
    /// can be computed from the public one.
    pub has_roca: bool,
}

/// All persistent keys, in the order of their handles.
///
/// # Errors
///
/// Failures of the chip; [`Error::Malformed`](crate::Error::Malformed) if an RSA key's public area
/// cannot be parsed.
pub fn list(op: &Operation<'_>) -> Result<Vec<PersistentKey>> {
    let mut keys = Vec::new();
    for handle in info::handles(op, FIRST, LAST)? {
        // Skips handles that were evicted since the list was read.
        if let Some((public, _)) = primary::stated_public(op, handle, Exception::Shown)? {
            let has_roca = modulus(&public)?.is_some_and(roca::is_vulnerable);
            keys.push(PersistentKey { handle, has_roca });
        }
    }
    Ok(keys)
}

/// The modulus in the `TPMT_PUBLIC` of any RSA key; `None` for other algorithms.
fn modulus(public: &[u8]) -> Result<Option<&[u8]>> {
    let mut reader = Reader::new(public, "public area");
    if reader.u16()? != algorithm::RSA {
        return Ok(None);
    }
    // Name algorithm and attributes; then the policy.
    reader.take(6)?;
    reader.sized()?;
    // The symmetric algorithm has a key size and a mode.
    if reader.u16()? != algorithm::NULL {
        reader.take(4)?;
    }
    // Of the schemes only RSAES has no hash (part 2, section 11.2.4.2).
    if !matches!(reader.u16()?, algorithm::NULL | algorithm::RSAES) {
        reader.take(2)?;
    }
    // Size and exponent.
    reader.take(6)?;
    let modulus = reader.sized()?;
    reader.finish()?;
    Ok(Some(modulus))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use testing::assert_matches;
    use tpm_wire::Put;

    use super::*;
    use crate::{Error, KeyType, Usage, hierarchy::ek::EkType, structures::template};

    /// A template with its empty modulus, the last two bytes, replaced.
    fn with_modulus(template: &[u8], modulus: &[u8]) -> Vec<u8> {
        // The endorsement key's template has a modulus of zeros.
        let end = template.len() - 2 - if template.len() > 256 { 256 } else { 0 };
        let mut public = template[..end].to_vec();
        public.put_sized(modulus);
        public
    }

    #[test]
    fn the_modulus_is_found_whatever_comes_before_it() {
        let n = [0xa5; 256];
        let signing = template::signing_key(KeyType::Rsa2048, Usage::SIGN).unwrap();
        let endorsement = template::endorsement_key(EkType::Rsa2048).unwrap();
        let mut attestation = with_modulus(&signing, &n);
        // RSASSA with SHA-256 in place of the null scheme: policy and symmetric algorithm are
        // empty, so that the scheme is at byte 12.
        attestation.splice(12..14, [0x00, 0x14, 0x00, 0x0b]);
        for public in [
            with_modulus(&signing, &n),
            with_modulus(&endorsement, &n),
            attestation,
        ] {
            assert_eq!(modulus(&public).unwrap(), Some(&n[..]));
            for cut in 2..public.len() {
                assert_matches!(modulus(&public[..cut]), Err(Error::Malformed(_)));
            }
        }
        let ecc = template::signing_key(KeyType::EccP256, Usage::SIGN).unwrap();
        assert_eq!(modulus(&ecc).unwrap(), None);
    }

    proptest! {
        #[test]
        fn any_public_area_is_read_or_refused(
            mut public in proptest::collection::vec(any::<u8>(), 2..64),
        ) {
            public[..2].copy_from_slice(&algorithm::RSA.to_be_bytes());
            let _ = modulus(&public);
        }
    }
}
