//! The answer to the challenge of a verifier.

use key_proof::{ENROLL_NAMESPACE, Transcript, qualifying_data};
use sha2::{Digest, Sha512};
use ssh_format::{SigHash, SshSig};
use token_store::{
    Key, OpenToken, Pin, Result, Store, Token,
    attestation::{self, Activation, Asked},
};
use tpm_core::Tpm;
use zeroize::Zeroizing;

use crate::Algorithm;

/// The part of a proof that needs an open token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attested {
    /// The `TPMS_ATTEST` of `TPM2_Certify`, as the TPM returned it.
    pub attest: Vec<u8>,
    /// The attestation key's `TPMT_SIGNATURE` over it.
    pub signature: Vec<u8>,
    /// The key's own signature over the request (SSHSIG, armoured).
    pub sshsig: String,
}

/// A challenge, without the secret in it, and the key to prove.
///
/// The caller cannot choose the signed bytes: the TPM signs its own attestation of the key, and the key signs in the
/// namespace [`ENROLL_NAMESPACE`], which is used for nothing else.
#[derive(Debug, Clone, Copy)]
pub struct Challenged<'a> {
    /// The key.
    pub key: &'a Key,
    /// The hash of the request.
    pub request: &'a Transcript,
    /// The challenge's nonce.
    pub nonce: &'a [u8; 32],
}

/// Answers with an open token.
///
/// # Errors
///
/// As [`OpenToken::attest`].
pub fn attest(open: &OpenToken, store: &Store, challenged: &Challenged<'_>) -> Result<Attested> {
    challenged
        .answered(|asked| Ok(((), open.attest(store, asked)?)))
        .map(|((), attested)| attested)
}

/// Answers with a login of its own, which ends afterwards.
///
/// # Errors
///
/// As [`attestation::log_in_and_attest`].
pub fn log_in_and_attest(
    store: &Store,
    tpm: &Tpm,
    token: &Token,
    pin: Option<&Pin>,
    challenged: &Challenged<'_>,
) -> Result<Attested> {
    challenged
        .answered(|asked| {
            let attested = attestation::log_in_and_attest(store, tpm, token, pin, asked)?;
            Ok(((), attested))
        })
        .map(|((), attested)| attested)
}

/// Answers with a login of its own, and recovers the secret of the challenge.
///
/// # Errors
///
/// As [`attestation::answer`].
pub fn answer(
    store: &Store,
    tpm: &Tpm,
    token: &Token,
    pin: Option<&Pin>,
    activation: &Activation<'_>,
    challenged: &Challenged<'_>,
) -> Result<(Zeroizing<Vec<u8>>, Attested)> {
    challenged.answered(|asked| attestation::answer(store, tpm, token, pin, activation, asked))
}

impl Challenged<'_> {
    /// Runs `body`, which asks the TPM, and converts the result to SSH's form.
    fn answered<T>(
        &self,
        body: impl FnOnce(&Asked<'_>) -> Result<(T, attestation::Attested)>,
    ) -> Result<(T, Attested)> {
        let unusable = |_| crate::unusable();
        let public = crate::public_key(self.key.public()).map_err(unusable)?;
        let digest = Sha512::digest(self.request);
        let data = SshSig::to_sign(ENROLL_NAMESPACE, SigHash::Sha512, &digest).map_err(unusable)?;
        let algorithm = Algorithm::of(self.key);
        let (rest, attested) = body(&Asked {
            key: self.key,
            qualifying: &qualifying_data(self.nonce, self.request),
            scheme: algorithm.scheme(),
            digest: &algorithm.digest(&data),
        })?;
        let signature = crate::in_ssh_form(algorithm, &attested.signature)?;
        let sshsig = SshSig::new(
            (&public).into(),
            ENROLL_NAMESPACE,
            SigHash::Sha512,
            &signature,
        )
        .map_err(unusable)?;
        let attested = Attested {
            attest: attested.certified.attest,
            signature: attested.certified.signature,
            sshsig: sshsig.armored(),
        };
        Ok((rest, attested))
    }
}
