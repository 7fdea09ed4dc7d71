//! The public area of a storage key, as far as a salt needs it.

use crate::{Error, Hash, PublicKey, Result, structures::algorithm};

/// The public key and the name algorithm of a storage key's `TPMT_PUBLIC`.
///
/// # Errors
///
/// [`Error::Malformed`] for anything else, and for a name algorithm that sessions here do not
/// know.
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
