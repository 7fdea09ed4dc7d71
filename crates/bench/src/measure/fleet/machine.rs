//! A machine of the fleet. Its TPM is a fast one in software.

use anyhow::{Context, Result};
use key_proof::{Challenge, Kind, Name, Proof, PublicArea};

use super::renewer::Renewer;
use crate::software_tpm::SoftwareTpm;

/// The authority's name.
pub(super) const AUDIENCE: &str = "https://ca.example/";

/// A host with keys of its own.
pub(super) struct Machine {
    tpm: SoftwareTpm,
    renewer: Renewer,
}

impl Machine {
    pub(super) fn new(host: &str) -> Result<Self> {
        let mut tpm = SoftwareTpm::new();
        tpm.behind_nothing();
        tpm.kind = Kind::Host;
        tpm.principals = vec![host.to_owned()];
        tpm.audience = AUDIENCE.to_owned();
        let name = |area: &[u8]| PublicArea::parse(area).map(|it| it.name());
        let (attestation_key, key) = (name(&tpm.ak.bytes())?, name(&tpm.key.bytes())?);
        Ok(Self {
            renewer: Renewer::new(&tpm, &attestation_key, &key)?,
            tpm,
        })
    }

    /// Sets the clock of its TPM, in milliseconds.
    pub(super) fn set_clock(&mut self, millis: u64) {
        self.tpm.time.0 = millis;
    }

    pub(super) fn name(&self) -> Result<&str> {
        let first = self.tpm.principals.first();
        Ok(first.context("it has a name")?)
    }

    pub(super) fn ek_name(&self) -> Result<Name> {
        Ok(PublicArea::parse(&self.tpm.ek.bytes())?.name())
    }

    /// The line with which an administrator announces it to the authority.
    pub(super) fn line(&self) -> Result<String> {
        let (ek, host) = (self.ek_name()?, self.name()?);
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
    pub(super) fn renewal(&self, nonce: [u8; 32]) -> Result<String> {
        self.renewer.renewal(self.name()?, nonce, self.tpm.time.0)
    }

    /// What is needed of it once it has enrolled.
    pub(super) fn into_renewer(self) -> Renewer {
        self.renewer
    }
}
