//! The TPM's part of a proof that a key was born in this TPM and cannot leave it.
//!
//! The store keeps the attestation key, one for all tokens below the same storage root key. A person who can read the store and
//! reach the TPM can have the attestation key state true facts about keys that this person can load. To load a key behind a PIN
//! takes that PIN. The attestation key signs nothing else. The crate `key-proof` has the format of the proof and its checks.

use rusqlite::{OptionalExtension, params};
use tpm_core::{
    AttestationKey, Blob, Certified, Credential, EndorsementAuth, Name, OpenSrk, Operation,
    PinAuth, Scheme, Signature, Tpm, Wall,
    ek::{self, EkType},
};
use zeroize::Zeroizing;

use crate::{
    Error, Key, OpenToken, Pin, Result, Store, Token,
    token::{
        TokenObjects, now,
        open_token::{Signing, derived, report},
    },
};

/// The public areas and certificates of a TPM and one of its tokens. Nothing in it is secret.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Evidence {
    /// The endorsement key (`TPMT_PUBLIC`), not yet authenticated.
    pub ek: Vec<u8>,
    /// The maker's certificate of the endorsement key from the TPM (DER), if the TPM has one.
    pub ek_certificate: Option<Vec<u8>>,
    /// The certificates in the TPM between `ek_certificate` and the maker's root (DER).
    pub chain: Vec<Vec<u8>>,
    /// The attestation key (`TPMT_PUBLIC`).
    pub attestation_key: Vec<u8>,
    /// The storage root key (`TPMT_PUBLIC`).
    pub srk: Vec<u8>,
    /// The token key (`TPMT_PUBLIC`).
    pub token_key: Vec<u8>,
    /// The guard of the token key.
    pub wall: Wall,
}

/// Collects the evidence that a verifier needs about `token`'s TPM; needs no PIN. The first call makes the attestation key.
///
/// `ek_type` is the endorsement key to show. `None` takes the first with a certificate of the maker; keys of the high range
/// come before keys that need a password. Without any certificate it takes the first existing key, otherwise P-384.
/// `endorsement` is needed to make a key that has no persistent handle.
///
/// # Errors
///
/// [`Error::OtherTpm`], [`Error::ReadOnly`] if the store cannot keep the attestation key, and those of the TPM.
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
        Some(ek_type) => (ek_type, certificate(&op, ek_type)?),
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

/// The types of endorsement keys: first those without a password, and among these the faster ones first.
const PREFERRED: [EkType; 6] = [
    EkType::EccP384,
    EkType::EccP256High,
    EkType::Rsa3072,
    EkType::Rsa2048High,
    EkType::EccP256,
    EkType::Rsa2048,
];

/// The certificate of an endorsement key, if there is one. Without it the TPM is still known by the key's Name, so neither
/// an index with something else in it nor one that asks for a password ends the proof.
fn certificate(op: &Operation<'_>, ek_type: EkType) -> Result<Option<Vec<u8>>> {
    match ek::certificate(op, ek_type) {
        // A SEQUENCE, or an OCTET STRING around one, of 256 bytes or more.
        Ok(found) => Ok(found.filter(|der| matches!(der[..], [0x30 | 0x04, 0x82, ..]))),
        Err(tpm_core::Error::NvUnreadable(_)) => Ok(None),
        Err(err) => Err(err.into()),
    }
}

/// The first type of endorsement key with a certificate, and the certificate.
fn certified(root: &OpenSrk<'_>) -> Result<(EkType, Option<Vec<u8>>)> {
    let with_index = ek::certified(root.op())?;
    for ek_type in PREFERRED.into_iter().filter(|it| with_index.contains(it)) {
        if let Some(der) = certificate(root.op(), ek_type)? {
            return Ok((ek_type, Some(der)));
        }
    }
    // Without a certificate, an existing key is faster than a new one.
    for ek_type in PREFERRED {
        if let Ok(Some(_)) = ek::find(root.op(), ek_type) {
            return Ok((ek_type, None));
        }
    }
    Ok((EkType::EccP384, None))
}

/// The encrypted secret of a challenge, and what is needed to decrypt it.
#[derive(Debug, Clone, Copy)]
pub struct Activation<'a> {
    /// The endorsement key that the challenge was made for.
    pub ek_type: EkType,
    /// The endorsement hierarchy's password: asked for by keys of the low range, and to make a key that has no persistent handle.
    pub endorsement: &'a EndorsementAuth,
    /// The encrypted secret that the verifier made.
    pub credential: Credential<'a>,
}

/// What the TPM is to say of a key, and what the key is to sign.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The key.
    pub key: &'a Key,
    /// Signed along with what the TPM says of the key; at most 64 bytes.
    pub qualifying: &'a [u8],
    /// The scheme of the key's own signature.
    pub scheme: Scheme,
    /// What the key signs, as long as the scheme's hash.
    pub digest: &'a [u8],
}

/// The part of an answer that needs a login.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Attested {
    /// What the TPM says of the key.
    pub certified: Certified,
    /// The key's own signature.
    pub signature: Signature,
}

/// Has the TPM decrypt the secret of a challenge for this TPM and the attestation key of this store; needs no PIN.
///
/// # Errors
///
/// [`tpm_core::Error::OtherChallenge`]; [`Error::NoAttestationKey`] if this store never made a request;
/// otherwise as for [`evidence`].
pub fn activate(
    store: &Store,
    tpm: &Tpm,
    token: &Token,
    activation: &Activation<'_>,
) -> Result<Zeroizing<Vec<u8>>> {
    let objects = TokenObjects::of_this_machine(token)?;
    let key = store.required_attestation_key(&objects)?;
    let op = tpm.begin()?;
    let root = objects.srk.open(&op)?;
    let Activation {
        ek_type,
        endorsement,
        credential,
    } = activation;
    Ok(key.activate(&root, *ek_type, endorsement, credential)?)
}

/// Answers a challenge: [`activate`] and [`log_in_and_attest`] in one operation of the TPM. A challenge for another TPM spends no try.
///
/// # Errors
///
/// As for [`activate`] and [`log_in_and_attest`].
pub fn answer(
    store: &Store,
    tpm: &Tpm,
    token: &Token,
    pin: Option<&Pin>,
    activation: &Activation<'_>,
    asked: &Asked<'_>,
) -> Result<(Zeroizing<Vec<u8>>, Attested)> {
    let login = Login::of(store, token, pin, asked)?;
    login.run(tpm, |root| {
        let Activation {
            ek_type,
            endorsement,
            credential,
        } = activation;
        let key = &login.attestation_key;
        let mut answer = key.begin_answer(root, *ek_type, endorsement, credential)?;
        let ready = answer.load_key(root, &login.objects.key, &login.auth, login.key.blob());
        let ready = login.report(root, ready)?;
        let (secret, certified) = answer.certify(root, &ready, asked.qualifying)?;
        let signature = login.signing.run(&ready, root.op())?;
        Ok((
            secret,
            Attested {
                certified,
                signature,
            },
        ))
    })
}

/// Logs in and has the TPM say that it holds a key, and where; in one operation of the TPM, after which no login is left. A wrong PIN
/// costs a try.
///
/// # Errors
///
/// [`Error::NoAttestationKey`]; otherwise as for [`OpenToken::open`] and [`OpenToken::sign`].
pub fn log_in_and_attest(
    store: &Store,
    tpm: &Tpm,
    token: &Token,
    pin: Option<&Pin>,
    asked: &Asked<'_>,
) -> Result<Attested> {
    let login = Login::of(store, token, pin, asked)?;
    login.run(tpm, |root| {
        let objects = &login.objects;
        let ready = objects.key.load_key(root, &login.auth, login.key.blob());
        let ready = login.report(root, ready)?;
        let certified = login
            .attestation_key
            .certify(root, &ready, asked.qualifying)?;
        let signature = login.signing.run(&ready, root.op())?;
        Ok(Attested {
            certified,
            signature,
        })
    })
}

/// A login for one key and one operation.
struct Login<'a> {
    store: &'a Store,
    token: &'a Token,
    objects: TokenObjects,
    attestation_key: AttestationKey,
    auth: PinAuth,
    key: &'a Key,
    signing: Signing<'a>,
}

impl<'a> Login<'a> {
    fn of(
        store: &'a Store,
        token: &'a Token,
        pin: Option<&Pin>,
        asked: &Asked<'a>,
    ) -> Result<Self> {
        let objects = TokenObjects::of_this_machine(token)?;
        Ok(Self {
            store,
            token,
            attestation_key: store.required_attestation_key(&objects)?,
            objects,
            auth: derived(token, pin)?,
            key: asked.key,
            signing: Signing::new(token.chip.as_ref(), asked.key, asked.scheme, asked.digest)?,
        })
    }

    fn run<T>(&'a self, tpm: &Tpm, body: impl FnOnce(&OpenSrk<'_>) -> Result<T>) -> Result<T> {
        let op = tpm.begin()?;
        let root = self.objects.srk.open(&op)?;
        body(&root).map_err(|err| err.of_token(&self.token.label))
    }

    /// The outcome of the try.
    fn report<T>(&self, root: &OpenSrk<'_>, outcome: tpm_core::Result<T>) -> Result<T> {
        report(self.store, root, self.token, &self.objects, outcome)
    }
}

impl OpenToken {
    /// Has the TPM say that it holds a key, and where. Takes 3 commands if a managed connection still holds the key, and 4 on a bare
    /// one.
    ///
    /// # Errors
    ///
    /// [`Error::NoAttestationKey`]; otherwise as for [`OpenToken::sign`].
    pub fn attest(&self, store: &Store, asked: &Asked<'_>) -> Result<Attested> {
        let attestation_key = store.required_attestation_key(self.objects())?;
        let signing = self.signing(asked.key, asked.scheme, asked.digest)?;
        self.with_key(asked.key, |ready, op| {
            let root = self.objects().srk.open(op)?;
            let certified = attestation_key.certify(&root, ready, asked.qualifying)?;
            let signature = signing.run(ready, op)?;
            Ok(Attested {
                certified,
                signature,
            })
        })
    }
}

/// The Name of the attestation key that certifies `token`'s keys.
///
/// # Errors
///
/// [`Error::NoAttestationKey`] if this store never made a request; [`Error::OtherTpm`].
pub fn attestation_key_name(store: &Store, token: &Token) -> Result<Name> {
    let objects = TokenObjects::of_this_machine(token)?;
    let key = store.required_attestation_key(&objects)?;
    Ok(key.name().clone())
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

    fn required_attestation_key(&self, objects: &TokenObjects) -> Result<AttestationKey> {
        self.attestation_key(objects.srk.name())?
            .ok_or(Error::NoAttestationKey)
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
        // If another program was faster, its key counts.
        self.attestation_key(srk)?
            .ok_or_else(|| Error::corrupt("the attestation key is gone"))
    }

    /// Records until `expires` (seconds since 1970) that the proof for the challenge with this nonce was used. Returns
    /// `false` if it was used before. Forgets the challenges that have expired at `now`.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub fn use_proof(&mut self, nonce: &[u8; 32], expires: u64, now: u64) -> Result<bool> {
        self.write(|tx| {
            // One day longer, in case this clock was set back.
            let old = now.saturating_sub(24 * 60 * 60);
            tx.execute("DELETE FROM proof_used WHERE expires < ?", [old])?;
            let sql =
                "INSERT INTO proof_used (nonce, expires) VALUES (?, ?) ON CONFLICT DO NOTHING";
            Ok(tx.execute(sql, params![nonce, expires])? == 1)
        })
    }
}
