//! A machine of the fleet. Its TPM is a fast one in software.

use anyhow::{Context, Result};
use key_proof::{Challenge, Kind, Name, Proof, PublicArea, Request, activation};

use super::renewer::{AUDIENCE, Renewer};
use crate::software_tpm::SoftwareTpm;

/// A host with keys of its own.
pub(super) struct Machine {
    tpm: SoftwareTpm,
    /// Made once: the software TPM computes its public keys for each request.
    request: Request,
    renewer: Renewer,
}

impl Machine {
    pub(super) fn new(host: &str) -> Result<Self> {
        let mut tpm = SoftwareTpm::new();
        tpm.behind_nothing();
        tpm.kind = Kind::Host;
        tpm.principals = vec![host.to_owned()];
        tpm.audience = AUDIENCE.to_owned();
        let request = tpm.request();
        Ok(Self {
            renewer: Renewer::new(&tpm, &request)?,
            request,
            tpm,
        })
    }

    /// Sets the clock of its TPM, in milliseconds.
    pub(super) fn set_clock(&mut self, millis: u64) {
        self.tpm.time.0 = millis;
    }

    pub(super) fn name(&self) -> Result<&str> {
        let first = self.request.principals.first();
        Ok(first.context("it has a name")?)
    }

    pub(super) fn ek_name(&self) -> Result<Name> {
        Ok(PublicArea::parse(&self.request.ek)?.name())
    }

    /// The line with which an administrator announces it to the authority.
    pub(super) fn line(&self) -> Result<String> {
        let (ek, host) = (self.ek_name()?, self.name()?);
        Ok(format!(
            "{{\"ek_name\": \"{ek}\", \"role\": \"host\", \"name\": \"{host}\"}}\n"
        ))
    }

    pub(super) fn request(&self) -> String {
        self.request.to_json()
    }

    pub(super) fn proof(&self, challenge: &[u8]) -> Result<String> {
        let challenge = Challenge::from_json(challenge)?;
        let transcript = self.request.transcript();
        let secret = self.tpm.activate(&challenge.id_object, &challenge.secret);
        let secret = secret.context("the challenge is for another TPM")?;
        let (nonce, clock) = (&challenge.nonce, self.tpm.time.0);
        let signed = self.renewer.sign(nonce, &transcript, clock)?;
        let proof = Proof {
            request: self.request.clone(),
            ticket: challenge.ticket,
            activation: activation(&secret, &transcript).to_vec(),
            attest: signed.attest,
            signature: signed.signature,
            sshsig: signed.sshsig,
        };
        Ok(proof.to_json())
    }

    /// A renewal for a new nonce.
    pub(super) fn renewal(&self, nonce: [u8; 32]) -> Result<String> {
        self.renewer.renewal(self.name()?, nonce, self.tpm.time.0)
    }

    /// What is needed of it once it has enrolled.
    pub(super) fn into_renewer(self) -> Renewer {
        self.renewer
    }
}
