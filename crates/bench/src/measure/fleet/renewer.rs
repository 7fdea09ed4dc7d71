//! What a machine needs for renewals: a few hundred bytes, so that a hundred thousand machines fit into memory.

use std::ops::Range;

use anyhow::Result;
use key_proof::{
    ENROLL_NAMESPACE, Kind, Name, PublicArea, Renewal, Request, qualifying_data, renewal_transcript,
};
use ssh_format::{AnyKey, SigHash, SshSig};

use super::software_key::SoftwareKey;
use crate::{
    pair::sized,
    software_tpm::{self, SoftwareTpm},
};

/// The handle of the owner hierarchy, which is its Name.
const OWNER: [u8; 4] = [0x40, 0, 0, 1];
/// The begin of a `TPMS_ATTEST` of `TPM2_Certify`.
const ATTEST_CERTIFY: [u8; 6] = [0xff, 0x54, 0x43, 0x47, 0x80, 0x17];
/// Clock, resets, restarts, whether it is safe, and the version of the firmware.
const CLOCK_INFO_AND_FIRMWARE: usize = 8 + 4 + 4 + 1 + 8;
/// The authority's name.
pub(super) const AUDIENCE: &str = "https://ca.example/";

/// Where the qualifying data and the clock are in a `TPMS_ATTEST` of keys whose Names are SHA-256.
const QUALIFYING: Range<usize> = 44..76;
const CLOCK: Range<usize> = 76..84;

/// A proven key, and the attestation key beside it.
pub(super) struct Renewer {
    attestation_key: Name,
    key: Name,
    attesting: SoftwareKey,
    own: SoftwareKey,
    /// The SSH key's blob.
    public: Box<[u8]>,
    /// A `TPMS_ATTEST` of the key, without qualifying data and clock.
    attest: Box<[u8]>,
}

/// What shows that a TPM holds the keys.
pub(super) struct Signed {
    /// A `TPMS_ATTEST`, and its `TPMT_SIGNATURE`.
    pub(super) attest: Vec<u8>,
    pub(super) signature: Vec<u8>,
    /// The signature by the SSH key.
    pub(super) sshsig: String,
}

impl Renewer {
    /// That of `tpm`, which makes `request`.
    pub(super) fn new(tpm: &SoftwareTpm, request: &Request) -> Result<Self> {
        let name = |area: &[u8]| PublicArea::parse(area).map(|it| it.name());
        let (attestation_key, key) = (name(&request.attestation_key)?, name(&request.key)?);
        // TPM 2.0 Part 1, "Qualified Name".
        let below = |parent: &[u8], it: &Name| software_tpm::name(&[parent, it.bytes()].concat());
        let root = below(&OWNER, &name(&request.srk)?);
        let parent = below(&root, &name(&request.parent)?);
        let attest = [
            &ATTEST_CERTIFY[..],
            &sized(&below(&root, &attestation_key)),
            &sized(&[0; 32]),
            &[0; CLOCK_INFO_AND_FIRMWARE],
            &sized(key.bytes()),
            &sized(&below(&parent, &key)),
        ];
        let own = SoftwareKey::of(&tpm.key.key)?;
        Ok(Self {
            attest: attest.concat().into(),
            attestation_key,
            key,
            attesting: SoftwareKey::of(&tpm.ak.key)?,
            public: own.public()?.blob().into(),
            own,
        })
    }

    /// The SSH key.
    pub(super) fn public(&self) -> Result<AnyKey> {
        Ok(AnyKey::from_blob(&self.public)?)
    }

    /// A renewal of the host certificate for `host` in answer to `nonce`, when the TPM's clock is at `clock` milliseconds.
    pub(super) fn renewal(&self, host: &str, nonce: [u8; 32], clock: u64) -> Result<String> {
        let (kind, principals) = (Kind::Host, vec![host.to_owned()]);
        let transcript = renewal_transcript(
            &self.attestation_key,
            &self.key,
            kind,
            &principals,
            AUDIENCE,
            &nonce,
        );
        let signed = self.sign(&nonce, &transcript, clock)?;
        let renewal = Renewal {
            attestation_key: self.attestation_key.clone(),
            key: self.key.clone(),
            kind,
            principals,
            nonce,
            attest: signed.attest,
            signature: signed.signature,
            sshsig: signed.sshsig,
        };
        Ok(renewal.to_json())
    }

    /// The signatures under an answer to `nonce` with this transcript.
    pub(super) fn sign(
        &self,
        nonce: &[u8; 32],
        transcript: &[u8; 32],
        clock: u64,
    ) -> Result<Signed> {
        let attest = self.attest(nonce, transcript, clock);
        let hash = SigHash::Sha512;
        let data = SshSig::to_sign(ENROLL_NAMESPACE, hash, &hash.of(&transcript[..])?)?;
        let signature = self.own.signature(&data)?;
        let sshsig = SshSig::new(self.public()?, ENROLL_NAMESPACE, hash, &signature)?;
        Ok(Signed {
            signature: self.attesting.tpm_signature(&attest),
            attest,
            sshsig: sshsig.armored(),
        })
    }

    fn attest(&self, nonce: &[u8; 32], transcript: &[u8; 32], clock: u64) -> Vec<u8> {
        let mut attest = self.attest.to_vec();
        attest[QUALIFYING].copy_from_slice(&qualifying_data(nonce, transcript));
        attest[CLOCK].copy_from_slice(&clock.to_be_bytes());
        attest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::fleet::machine::Machine;

    #[test]
    fn it_attests_what_the_tpm_attests() {
        let mut tpm = SoftwareTpm::new();
        let renewer = Renewer::new(&tpm, &tpm.request()).unwrap();
        tpm.time.0 = 5_000;
        let (nonce, transcript) = ([1; 32], [2; 32]);
        let attest = renewer.attest(&nonce, &transcript, 5_000);
        assert_eq!(attest, tpm.attest(&nonce, &transcript));
    }

    #[test]
    fn a_machine_is_small() {
        let renewer = Machine::new("web1").unwrap().into_renewer();
        let heap = [
            renewer.attestation_key.bytes().len(),
            renewer.key.bytes().len(),
            renewer.public.len(),
            renewer.attest.len(),
        ];
        let all = size_of::<Renewer>() + heap.iter().sum::<usize>();
        assert!(all < 700, "{all}");
    }
}
