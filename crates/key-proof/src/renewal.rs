//! A proof for a key that was proven before: the TPM still holds it, and its owner wants a new certificate.

use rand_core::CryptoRngCore;
use subtle::ConstantTimeEq;

use crate::{
    Binding, Check, Kind, Name, Result, TicketKey, TpmTime, Transcript,
    error::refuse,
    transcript::Fields,
    verify::{Attestation, SKEW, check_attestation, check_own_signature},
};

/// Seconds for which a nonce for a renewal is valid.
pub const RENEWAL_LIFETIME: u64 = 60;

/// The answer of a TPM to a nonce, for a key that the verifier has a [`Binding`] of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewal {
    /// The Name of the attestation key.
    pub attestation_key: Name,
    /// The Name of the key.
    pub key: Name,
    /// What the certificate is to be for.
    pub kind: Kind,
    /// The principals that the key asks for.
    pub principals: Vec<String>,
    /// The verifier's nonce, unchanged.
    pub nonce: [u8; 32],
    /// The `TPMS_ATTEST` of `TPM2_Certify`, with [`qualifying_data`](crate::qualifying_data) of the nonce and the transcript.
    pub attest: Vec<u8>,
    /// The `TPMT_SIGNATURE` of `attest`.
    pub signature: Vec<u8>,
    /// The signature by the key itself over the transcript, armoured (SSHSIG, [`ENROLL_NAMESPACE`](crate::ENROLL_NAMESPACE)).
    pub sshsig: String,
}

/// The hash that a renewal is bound to: the keys, the kind and principals, the verifier (`audience`) and the nonce.
#[must_use]
pub fn renewal_transcript(
    attestation_key: &Name,
    key: &Name,
    kind: Kind,
    principals: &[String],
    audience: &str,
    nonce: &[u8; 32],
) -> Transcript {
    let mut fields = Fields::default();
    fields.string(b"tpmssh-renew-v1");
    fields.string(attestation_key.bytes());
    fields.string(key.bytes());
    fields.string(kind.name().as_bytes());
    fields.list(principals.iter().map(String::as_bytes));
    fields.string(audience.as_bytes());
    fields.string(nonce);
    fields.hash()
}

/// Checks a renewal (V9 to V13) with the [`Binding`] from the key's proof. Returns the TPM's time, which must not go back.
///
/// [`TicketKey::check_renewal_nonce`] checks the nonce. The caller checks kind and principals.
///
/// # Errors
///
/// [`Error::Refused`](crate::Error::Refused) with the check.
pub fn verify_renewal(renewal: &Renewal, binding: &Binding, audience: &str) -> Result<TpmTime> {
    if renewal.key != binding.key {
        return refuse(Check::V11, "another key was certified");
    }
    if renewal.attestation_key != binding.attestation_key.name() {
        return refuse(
            Check::V9,
            "the attestation is not signed by the attestation key",
        );
    }
    let transcript = renewal_transcript(
        &renewal.attestation_key,
        &renewal.key,
        renewal.kind,
        &renewal.principals,
        audience,
        &renewal.nonce,
    );
    let attestation = Attestation {
        attest: &renewal.attest,
        signature: &renewal.signature,
        nonce: &renewal.nonce,
        transcript: &transcript,
    };
    let time = check_attestation(&attestation, binding)?;
    check_own_signature(&renewal.sshsig, &binding.ssh_key, &transcript)?;
    Ok(time)
}

impl TicketKey {
    /// A nonce for a renewal, made at `now` (seconds since 1970): the time, 8 random bytes, and the first 16 bytes of an HMAC-SHA-256 of
    /// both. The verifier stores nothing until the nonce is used.
    #[must_use]
    pub fn renewal_nonce(
        &self,
        audience: &str,
        now: u64,
        rng: &mut impl CryptoRngCore,
    ) -> [u8; 32] {
        let mut nonce = [0; 32];
        nonce[..8].copy_from_slice(&now.to_be_bytes());
        rng.fill_bytes(&mut nonce[8..16]);
        let tag = self.tag(b"tpmssh-renew-nonce-v1", audience, &nonce[..16]);
        nonce[16..].copy_from_slice(&tag[..16]);
        nonce
    }

    /// Checks that one of `keys` made `nonce` for `audience`, at most [`RENEWAL_LIFETIME`] seconds before `now`; clocks may differ by
    /// 30 seconds. Returns the end of its validity, in seconds since 1970: a verifier has to remember a used nonce until then.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`](crate::Error::Refused) with [`Check::V7`].
    pub fn check_renewal_nonce(
        keys: &[Self],
        nonce: &[u8; 32],
        audience: &str,
        now: u64,
    ) -> Result<u64> {
        let (head, tag) = nonce.split_at(16);
        let is_ours = keys.iter().any(|key| {
            let expected = key.tag(b"tpmssh-renew-nonce-v1", audience, head);
            bool::from(expected[..16].ct_eq(tag))
        });
        if !is_ours {
            return refuse(
                Check::V7,
                "its nonce was not made by this verifier, or too long ago",
            );
        }
        let mut time = [0; 8];
        time.copy_from_slice(&head[..8]);
        let issued = u64::from_be_bytes(time);
        let expires = issued.saturating_add(RENEWAL_LIFETIME + SKEW);
        if now > expires {
            return refuse(Check::V7, "its nonce has expired");
        }
        if issued > now.saturating_add(SKEW) {
            return refuse(Check::V7, "its nonce is from the future: a clock is wrong");
        }
        Ok(expires)
    }
}
