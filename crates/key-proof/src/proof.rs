//! A request with the TPM's answer to a challenge for it.

use crate::Request;

/// A request, and the TPM's answer to a challenge for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The request: what the prover claims.
    pub request: Request,
    /// The ticket of the challenge, unchanged.
    pub ticket: Vec<u8>,
    /// [`activation`](crate::activation) of the secret that the TPM decrypted.
    pub activation: Vec<u8>,
    /// The `TPMS_ATTEST` of `TPM2_Certify`.
    pub attest: Vec<u8>,
    /// The `TPMT_SIGNATURE` of `attest`.
    pub signature: Vec<u8>,
    /// The signature by the key itself, armoured (SSHSIG).
    pub sshsig: String,
}
