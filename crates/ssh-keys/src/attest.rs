//! The answer of an open token to the challenge of a verifier.

use key_proof::{ENROLL_NAMESPACE, Transcript, qualifying_data};
use sha2::{Digest, Sha512};
use ssh_format::{SigHash, SshSig};
use token_store::{Key, OpenToken, Result, Store};

/// The part of a proof that takes an open token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attested {
    /// The `TPMS_ATTEST` of `TPM2_Certify`, as the TPM returned it.
    pub attest: Vec<u8>,
    /// The attestation key's `TPMT_SIGNATURE` over it.
    pub signature: Vec<u8>,
    /// The key's own signature over the request (SSHSIG, armoured).
    pub sshsig: String,
}

/// Answers the challenge with this `nonce` for the request whose hash is `request`.
///
/// The caller chooses the bytes of neither signature: the TPM signs its own statement about the key,
/// and the key signs in the namespace [`ENROLL_NAMESPACE`], which is used for nothing else.
///
/// # Errors
///
/// As [`OpenToken::certify`] and [`OpenToken::sign`].
pub fn attest(
    open: &OpenToken,
    store: &Store,
    key: &Key,
    request: &Transcript,
    nonce: &[u8; 32],
) -> Result<Attested> {
    let certified = open.certify(store, key, &qualifying_data(nonce, request))?;
    Ok(Attested {
        attest: certified.attest,
        signature: certified.signature,
        sshsig: own_signature(open, key, request)?,
    })
}

fn own_signature(open: &OpenToken, key: &Key, request: &Transcript) -> Result<String> {
    let public = crate::public_key(key.public()).map_err(|_| crate::unusable())?;
    let digest = Sha512::digest(request);
    let data = SshSig::to_sign(ENROLL_NAMESPACE, SigHash::Sha512, &digest)
        .map_err(|_| crate::unusable())?;
    let signature = crate::sign(open, key, &data)?;
    SshSig::new(
        (&public).into(),
        ENROLL_NAMESPACE,
        SigHash::Sha512,
        &signature,
    )
    .map(|signature| signature.armored())
    .map_err(|_| crate::unusable())
}
