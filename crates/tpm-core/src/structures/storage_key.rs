//! The fields of a storage key's public area that a salt needs.

use tpm_wire::algorithm;

use crate::{Error, Hash, PublicKey, Result};

/// The public key and the name algorithm of a storage key's `TPMT_PUBLIC`.
///
/// # Errors
///
/// [`Error::Malformed`] if `public` is not a storage key's public area, or its name algorithm is
/// not supported.
pub(crate) fn parse(public: &[u8]) -> Result<(PublicKey, Hash)> {
    const INVALID: Error = Error::Malformed("storage root key");
    let id = public.get(2..4).ok_or(INVALID)?;
    let hash = match u16::from_be_bytes([id[0], id[1]]) {
        algorithm::SHA256 => Hash::Sha256,
        algorithm::SHA384 => Hash::Sha384,
        algorithm::SHA512 => Hash::Sha512,
        _ => return Err(INVALID),
    };
    let key = PublicKey::from_public_area(public).map_err(|_| INVALID)?;
    Ok((key, hash))
}
