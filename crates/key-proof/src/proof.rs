//! A request with the TPM's answer to a challenge for it.

use crate::Request;

/// A request, and the TPM's answer to a challenge for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// What is claimed.
    pub request: Request,
    /// The ticket of the challenge, as it came.
    pub ticket: Vec<u8>,
    /// [`activation`](crate::activation) of the secret that the TPM brought out.
    pub activation: Vec<u8>,
    /// The `TPMS_ATTEST` of `TPM2_Certify`.
    pub attest: Vec<u8>,
    /// Its `TPMT_SIGNATURE`.
    pub signature: Vec<u8>,
    /// The signature by the key itself, armoured (SSHSIG).
    pub sshsig: String,
}
