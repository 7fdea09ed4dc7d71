//! What a proof takes that a key was born in this TPM and cannot leave it.
//!
//! The attestation key is kept here, one for all tokens below the same storage root key. Whoever can read the store and reach the
//! TPM can have it say what is true of keys that he can load; a key behind a PIN takes that PIN. It signs nothing else.
//! What the proof looks like, and how it is checked, is not the concern of this crate.

use rusqlite::{OptionalExtension, params};
use tpm_core::{
    AttestationKey, Blob, Certified, Credential, EndorsementAuth, Name, OpenSrk, Tpm, Wall,
    ek::{self, EkType},
};
use zeroize::Zeroizing;

use crate::{
    Error, Key, OpenToken, Result, Store, Token,
    token::{TokenObjects, now},
};

/// What a TPM and one of its tokens show of themselves: public areas, and nothing that is secret.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Evidence {
    /// The endorsement key (`TPMT_PUBLIC`). Nobody has authenticated it.
    pub ek: Vec<u8>,
    /// The maker's certificate of it as the TPM has it (DER), if it has one.
    pub ek_certificate: Option<Vec<u8>>,
    /// The certificates between that one and the maker's root that the TPM has (DER).
    pub chain: Vec<Vec<u8>>,
    /// The attestation key (`TPMT_PUBLIC`).
    pub attestation_key: Vec<u8>,
    /// The storage root key (`TPMT_PUBLIC`).
    pub srk: Vec<u8>,
    /// The token key (`TPMT_PUBLIC`).
    pub token_key: Vec<u8>,
    /// What guards the token key.
    pub wall: Wall,
}

/// Collects what a verifier wants to see of `token`'s TPM; needs no PIN. Makes the attestation key at its first use.
///
/// `ek_type` is the endorsement key to show; `None` takes the first that the maker has certified, those of the high range
/// before those that ask for a password; without a certificate the first that is there, or P-384. `endorsement` is needed to make a key that has no persistent handle.
///
/// # Errors
///
/// [`Error::OtherTpm`], [`Error::ReadOnly`] for a store that the attestation key cannot be kept in, and those of the TPM.
pub fn evidence(
    store: &mut Store,
    tpm: &Tpm,
    token: &Token,
    ek_type: Option<EkType>,
    endorsement: &EndorsementAuth,
) -> Result<Evidence> {
    let objects = TokenObjects::of_this_machine(token)?;
    let op = tpm.begin()?;
    let root = objects.srk.open(&op)?;
    let (ek_type, ek_certificate) = match ek_type {
        Some(ek_type) => (ek_type, ek::certificate(&op, ek_type)?),
        None => certified(&root)?,
    };
    let chain = match ek_certificate {
        Some(_) => ek::certificate_chain(&op)?,
        None => Vec::new(),
    };
    let ek = ek::show(&root, ek_type, endorsement)?;
    let key = store.attestation_key_or_new(&root)?;
    Ok(Evidence {
        ek: ek.public,
        ek_certificate,
        chain,
        attestation_key: key.blob().public.clone(),
        srk: objects.srk.public().to_vec(),
        token_key: objects.key.blob().public.clone(),
        wall: objects.key.wall().clone(),
    })
}

/// The types of endorsement keys, those first that ask for nobody's password, and of these the quicker ones.
const PREFERRED: [EkType; 6] = [
    EkType::EccP384,
    EkType::EccP256High,
    EkType::Rsa3072,
    EkType::Rsa2048High,
    EkType::EccP256,
    EkType::Rsa2048,
];

/// The first type of endorsement key that there is a certificate for, and the certificate.
fn certified(root: &OpenSrk<'_>) -> Result<(EkType, Option<Vec<u8>>)> {
    let with_index = ek::certified(root.op())?;
    for ek_type in PREFERRED.into_iter().filter(|it| with_index.contains(it)) {
        // The index may be there and empty.
        if let Some(der) = ek::certificate(root.op(), ek_type)? {
            return Ok((ek_type, Some(der)));
        }
    }
    // Without one, a key that is there already is quicker than one to be made.
    for ek_type in PREFERRED {
        if let Ok(Some(_)) = ek::find(root.op(), ek_type) {
            return Ok((ek_type, None));
        }
    }
    Ok((EkType::EccP384, None))
}

/// Has the TPM bring out the secret of a challenge that was made for it and for the attestation key of this store; needs no PIN.
///
/// # Errors
///
/// [`tpm_core::Error::OtherChallenge`]; [`Error::NoAttestationKey`] where no request was made from this store;
/// otherwise as for [`evidence`].
pub fn activate(
    store: &Store,
    tpm: &Tpm,
    token: &Token,
    ek_type: EkType,
    endorsement: &EndorsementAuth,
    credential: &Credential<'_>,
) -> Result<Zeroizing<Vec<u8>>> {
    let objects = TokenObjects::of_this_machine(token)?;
    let key = store
        .attestation_key(objects.srk.name())?
        .ok_or(Error::NoAttestationKey)?;
    let op = tpm.begin()?;
    let root = objects.srk.open(&op)?;
    Ok(key.activate(&root, ek_type, endorsement, credential)?)
}

impl OpenToken {
    /// Has the TPM say that it holds `key`, and where; `qualifying` is signed along with that.
    ///
    /// # Errors
    ///
    /// [`Error::NoAttestationKey`]; otherwise as for [`OpenToken::sign`].
    pub fn certify(&self, store: &Store, key: &Key, qualifying: &[u8]) -> Result<Certified> {
        let attestation_key = store
            .attestation_key(self.objects().srk.name())?
            .ok_or(Error::NoAttestationKey)?;
        self.with_key(key, |ready, op| {
            let root = self.objects().srk.open(op)?;
            attestation_key.certify(&root, ready, qualifying)
        })
    }
}

impl Store {
    /// The attestation key of the TPM whose storage root key has the Name `srk`, if there is one.
    pub(crate) fn attestation_key(&self, srk: &Name) -> Result<Option<AttestationKey>> {
        let blob = self.read(|tx| {
            let sql = "SELECT public, private FROM attestation_key WHERE srk_name = ?";
            let row = tx.query_row(sql, [srk.bytes()], |row| {
                Ok(Blob {
                    public: row.get(0)?,
                    private: row.get(1)?,
                })
            });
            Ok(row.optional()?)
        })?;
        let key = blob.map(AttestationKey::from_blob).transpose();
        key.map_err(|err| Error::corrupt(format!("the attestation key was changed: {err}")))
    }

    fn attestation_key_or_new(&mut self, root: &OpenSrk<'_>) -> Result<AttestationKey> {
        let srk = root.srk().name();
        if let Some(key) = self.attestation_key(srk)? {
            return Ok(key);
        }
        if self.is_read_only() {
            return Err(Error::ReadOnly);
        }
        let blob = AttestationKey::create(root)?.blob().clone();
        self.write(|tx| {
            let sql = "INSERT INTO attestation_key (srk_name, created, public, private) \
                       VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING";
            tx.execute(sql, params![srk.bytes(), now(), blob.public, blob.private])?;
            Ok(())
        })?;
        // Another program may have been quicker, and then its key counts.
        self.attestation_key(srk)?
            .ok_or_else(|| Error::corrupt("the attestation key is gone"))
    }

    /// Notes that the proof that answers the challenge with this nonce is used, until `expires` (seconds since 1970);
    /// `false` if it was used before. A challenge that has expired at `now` is forgotten.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub fn use_proof(&mut self, nonce: &[u8; 32], expires: u64, now: u64) -> Result<bool> {
        self.write(|tx| {
            // A day more than clocks differ, should this one have been set back.
            let old = now.saturating_sub(24 * 60 * 60);
            tx.execute("DELETE FROM proof_used WHERE expires < ?", [old])?;
            let sql =
                "INSERT INTO proof_used (nonce, expires) VALUES (?, ?) ON CONFLICT DO NOTHING";
            Ok(tx.execute(sql, params![nonce, expires])? == 1)
        })
    }
}
