//! What a verifier asks of a prover: to bring out a secret that only one TPM with one attestation key can.

use rand_core::CryptoRngCore;
use zeroize::Zeroizing;

use crate::{
    Checked, PublicArea, Result, TicketKey, credential, make_credential, ticket::Ticket,
    transcript::Transcript,
};

/// The seconds for which a challenge that travels in a file is good, unless told otherwise.
pub const DEFAULT_LIFETIME: u64 = 24 * 60 * 60;

/// The most seconds for which a challenge may be good: 7 days.
pub const MAX_LIFETIME: u64 = 7 * 24 * 60 * 60;

/// A challenge for one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// The contents of the `TPM2B_ID_OBJECT` for `TPM2_ActivateCredential`.
    pub id_object: Vec<u8>,
    /// The contents of its `TPM2B_ENCRYPTED_SECRET`.
    pub secret: Vec<u8>,
    /// Goes into the attestation.
    pub nonce: [u8; 32],
    /// For the verifier, who alone can read it.
    pub ticket: Vec<u8>,
    /// When it ends to be good, in seconds since 1970.
    pub expires: u64,
    /// The request that it is for.
    pub request: Transcript,
}

impl Challenge {
    /// Makes a challenge for a request that was checked, good for `lifetime` seconds from `now` on and at most for
    /// [`MAX_LIFETIME`].
    ///
    /// # Errors
    ///
    /// Those of [`make_credential`].
    pub fn new(
        checked: &Checked,
        key: &TicketKey,
        now: u64,
        lifetime: u64,
        rng: &mut impl CryptoRngCore,
    ) -> Result<Self> {
        let mut secret = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *secret);
        let mut nonce = [0; 32];
        rng.fill_bytes(&mut nonce);
        let name = checked.attestation_key().name();
        let credential = make_credential(checked.ek(), &name, &*secret, rng)?;
        let expires = now.saturating_add(lifetime.min(MAX_LIFETIME));
        let ticket = Ticket {
            transcript: checked.transcript(),
            nonce,
            secret,
            issued: now,
            expires,
        };
        Ok(Self {
            id_object: credential.id_object,
            secret: credential.secret,
            nonce,
            ticket: ticket.seal(key, checked.audience(), rng),
            expires,
            request: checked.transcript(),
        })
    }

    /// Checks that the secret has the form that the TPM with the endorsement key `ek` takes, so that a file that was cut or
    /// mixed up is told apart from a secret for another TPM. Only the TPM can tell whether the secret is for it.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`](crate::Error::Malformed).
    pub fn check_form(&self, ek: &PublicArea) -> Result<()> {
        credential::check_form(ek, &self.id_object, &self.secret)
    }
}
