//! A machine of the fleet. Its TPM is a fast one in software.

use anyhow::{Context, Result};
use key_proof::{
    Challenge, ENROLL_NAMESPACE, Kind, Name, Proof, PublicArea, Renewal, renewal_transcript,
};
use ssh_format::SigHash;

use crate::software_tpm::{SoftwareTpm, name};

/// The authority's name.
pub(super) const AUDIENCE: &str = "https://ca.example/";

/// A host with a key of its own.
pub(super) struct Machine {
    tpm: SoftwareTpm,
    attestation_key: Name,
    key: Name,
}

impl Machine {
    pub(super) fn new(host: &str) -> Result<Self> {
        let mut tpm = SoftwareTpm::new();
        tpm.behind_nothing();
        tpm.kind = Kind::Host;
        tpm.principals = vec![host.to_owned()];
        tpm.audience = AUDIENCE.to_owned();
        Ok(Self {
            attestation_key: PublicArea::parse(&tpm.ak.bytes())?.name(),
            key: Name::from_bytes(&name(&tpm.key.bytes()))?,
            tpm,
        })
    }

    /// The line with which an administrator announces it to the authority.
    pub(super) fn line(&self) -> Result<String> {
        let ek = PublicArea::parse(&self.tpm.ek.bytes())?.name();
        let host = self.tpm.principals.first().context("it has a name")?;
        Ok(format!(
            "{{\"ek_name\": \"{ek}\", \"role\": \"host\", \"name\": \"{host}\"}}\n"
        ))
    }

    pub(super) fn request(&self) -> String {
        self.tpm.request().to_json()
    }

    pub(super) fn proof(&self, challenge: &[u8]) -> Result<String> {
        let proof: Proof = self.tpm.answer(&Challenge::from_json(challenge)?);
        Ok(proof.to_json())
    }

    /// A renewal for a fresh nonce.
    pub(super) fn renewal(&self, nonce: [u8; 32]) -> String {
        let tpm = &self.tpm;
        let transcript = renewal_transcript(
            &self.attestation_key,
            &self.key,
            tpm.kind,
            &tpm.principals,
            AUDIENCE,
            &nonce,
        );
        let attest = tpm.attest(&nonce, &transcript);
        let renewal = Renewal {
            attestation_key: self.attestation_key.clone(),
            key: self.key.clone(),
            kind: tpm.kind,
            principals: tpm.principals.clone(),
            nonce,
            signature: tpm.signature(&attest),
            attest,
            sshsig: tpm.own_signature(ENROLL_NAMESPACE, SigHash::Sha512, &transcript),
        };
        renewal.to_json()
    }
}
