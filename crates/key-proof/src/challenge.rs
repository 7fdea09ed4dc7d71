//! A verifier's challenge: an encrypted secret that only one TPM can decrypt, and only if it holds the attestation key.

use rand_core::CryptoRngCore;
use zeroize::Zeroizing;

use crate::{
    Checked, PublicArea, Result, TicketKey, credential, make_credential, ticket::Ticket,
    transcript::Transcript,
};

/// The default validity of a challenge in a file, in seconds: one day.
pub const DEFAULT_LIFETIME: u64 = 24 * 60 * 60;

/// The longest validity of a challenge, in seconds: 7 days.
pub const MAX_LIFETIME: u64 = 7 * 24 * 60 * 60;

/// A challenge for one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// The contents of the `TPM2B_ID_OBJECT` for `TPM2_ActivateCredential`.
    pub id_object: Vec<u8>,
    /// The contents of the `TPM2B_ENCRYPTED_SECRET` for `TPM2_ActivateCredential`.
    pub secret: Vec<u8>,
    /// The nonce for the attestation: see [`qualifying_data`](crate::qualifying_data).
    pub nonce: [u8; 32],
    /// The verifier's sealed memory of this challenge. The prover sends it back unread.
    pub ticket: Vec<u8>,
    /// The end of the challenge's validity, in seconds since 1970.
    pub expires: u64,
    /// The hash of the request that the challenge is for.
    pub request: Transcript,
}

impl Challenge {
    /// Makes a challenge for a request that was checked. It is valid for `lifetime` seconds from `now` on, but at most for
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

    /// Checks that the encrypted secret has the lengths that fit the endorsement key `ek`.
    ///
    /// That tells a damaged file apart from a secret for another TPM. Only the TPM can find out whether the secret is for it.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`](crate::Error::Malformed).
    pub fn check_form(&self, ek: &PublicArea) -> Result<()> {
        credential::check_form(ek, &self.id_object, &self.secret)
    }
}
