//! The attestation key, with which the chip certifies other keys that it holds.
//!
//! It is restricted: it signs only data that the chip itself has made. So what it certifies about another key
//! ([`AttestationKey::certify`]) is true if it is a key of a genuine chip. The chip proves that by recovering a secret
//! that was encrypted for its endorsement key and for this key ([`AttestationKey::activate`]).
//!
//! It is below the storage root key and has no authorization value, so nobody has to give a password. Because it is a key
//! of the owner hierarchy, the chip obfuscates its firmware version and its counters of resets and restarts in what it
//! signs, by an offset that is constant for each key (part 3, section 18.1).

mod activation;

use sha2::{Digest, Sha256};
use tpm_wire::{Reader, algorithm};

pub use self::activation::{ChallengeAnswer, Credential};
use crate::{
    Blob, Entity, Error, Name, OpenSrk, PublicKey, ReadyKey, Result, Scheme, Signature,
    chip::get_capability::storage_kind,
    command::{Command, CommandCode, exception::Exception, session::Session},
    object::{create_load, sealed, transient::Transient},
    structures::{
        kinds::{Curve, Hash},
        template::{self, StorageKind},
    },
};

/// `TPM_GENERATED_VALUE` and `TPM_ST_ATTEST_CERTIFY`, with which the attestation of a key begins.
const HEAD: [u8; 6] = [0xff, 0x54, 0x43, 0x47, 0x80, 0x17];

/// An attestation key outside of the chip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttestationKey {
    blob: Blob,
    public: PublicKey,
    name: Name,
}

/// The certificate of a key by the chip: the attestation and its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Certified {
    /// The `TPMS_ATTEST`, as the chip wrote it.
    pub attest: Vec<u8>,
    /// The `TPMT_SIGNATURE` of the attestation key over it.
    pub signature: Vec<u8>,
}

impl AttestationKey {
    /// Makes an attestation key below the storage root key: ECDSA on P-256, or RSASSA with 2048 bits in chips without
    /// elliptic curves.
    ///
    /// # Errors
    ///
    /// Failures of the chip; nothing stays in it.
    pub fn create(root: &OpenSrk<'_>) -> Result<Self> {
        root.within(|| {
            let op = root.op();
            let kind = storage_kind(op)?;
            // Nothing in the command is secret, so the chip need not have proven itself before.
            let session = Session::hmac(op, root)?;
            let command = root
                .parent_of(CommandCode::Create)
                .session(session.plain().hide_response().last())
                .makes_rsa(kind.is_rsa())
                .param_sized(&sealed::unguarded(&[]))
                .param_sized(&template::attestation_key(kind)?);
            Self::from_blob(create_load::created(op, create_load::finished(command))?)
        })
    }

    /// An attestation key from its stored form; sends no command.
    ///
    /// # Errors
    ///
    /// [`Error::KeyRefused`] or [`Error::Malformed`] for anything but a key as [`AttestationKey::create`] makes it.
    pub fn from_blob(blob: Blob) -> Result<Self> {
        blob.check_private()?;
        let kind = StorageKind::of_public(&blob.public);
        let head = template::attestation_key_head(kind)?;
        let Some(unique) = blob.public.strip_prefix(&head[..]) else {
            return Err(Error::KeyRefused("it is not an attestation key"));
        };
        let mut reader = Reader::new(unique, "attestation key");
        let public = match kind {
            StorageKind::EccP256 => PublicKey::Ecc {
                curve: Curve::P256,
                x: Curve::P256.pad(reader.sized()?)?,
                y: Curve::P256.pad(reader.sized()?)?,
            },
            StorageKind::Rsa2048 => PublicKey::Rsa {
                n: reader.sized()?.to_vec(),
                e: 65537,
            },
        };
        reader.finish()?;
        public.check()?;
        let name = blob.name();
        Ok(Self { blob, public, name })
    }

    /// The bytes to be stored. The public half is the `TPMT_PUBLIC` that a verifier wants to see.
    #[must_use]
    pub fn blob(&self) -> &Blob {
        &self.blob
    }

    /// Its Name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Has the chip certify that it holds `key`, and the parents of `key` (Qualified Name). `qualifying` (at most 64 bytes)
    /// is signed, too.
    ///
    /// Signature, Name and qualifying data are checked before anything is returned. Takes 3 commands; 2 if a managed connection still holds
    /// the key.
    ///
    /// # Errors
    ///
    /// [`Error::WrongSignature`] if the attestation is not signed by this key, or is about another key or other data;
    /// [`Error::Stale`] as for [`ReadyKey::sign`]; [`Error::OtherTpm`].
    ///
    /// # Source
    ///
    /// Part 3, section 18.2 "TPM2_Certify".
    pub fn certify(
        &self,
        root: &OpenSrk<'_>,
        key: &ReadyKey,
        qualifying: &[u8],
    ) -> Result<Certified> {
        self.certify_loaded(root, key, qualifying, None)
    }

    /// As [`AttestationKey::certify`], with `loaded` if this key is loaded already.
    fn certify_loaded(
        &self,
        root: &OpenSrk<'_>,
        key: &ReadyKey,
        qualifying: &[u8],
        loaded: Option<Transient<'_>>,
    ) -> Result<Certified> {
        let op = root.op();
        let response = root.within(|| {
            key.with_handle(op, |handle| {
                let signer = match loaded {
                    Some(loaded) => loaded,
                    None => self.load_unauthenticated(root)?,
                };
                let command = Command::new(CommandCode::Certify)
                    .about(Entity::Key)
                    .handle(handle, key.name())
                    .handle(signer.handle(), signer.name())
                    .empty_auth()
                    .empty_auth()
                    .param_sized(qualifying)
                    // The key's own scheme.
                    .param_u16(algorithm::NULL);
                op.run_unauthenticated(command, Exception::CheckedSignature)
            })
        })?;
        let mut reader = response.reader();
        let attest = reader.sized()?.to_vec();
        let signature = reader.remainder().to_vec();
        if self.has_said(&attest, &signature, key.name(), qualifying)? {
            Ok(Certified { attest, signature })
        } else {
            Err(Error::WrongSignature)
        }
    }

    /// Loads this key without a session: its signatures are verified.
    fn load_unauthenticated<'op>(&self, root: &OpenSrk<'op>) -> Result<Transient<'op>> {
        let command = root
            .parent_of(CommandCode::Load)
            .about(Entity::AttestationKey);
        let command = create_load::with_blob(command, &self.blob);
        create_load::loaded_unauthenticated(root.op(), command, &self.blob)
    }

    /// Whether this key has signed `attest`, and `attest` is about the key `name` and `qualifying`.
    ///
    /// # Source
    ///
    /// Part 2, sections 10.12.8 "TPMS_ATTEST" and 11.3.4 "TPMT_SIGNATURE".
    fn has_said(
        &self,
        attest: &[u8],
        signature: &[u8],
        name: &Name,
        qualifying: &[u8],
    ) -> Result<bool> {
        let mut reader = Reader::new(attest, "attestation");
        let head = reader.take(HEAD.len())?;
        let _signer = reader.sized()?;
        let extra = reader.sized()?;
        // clock, resetCount, restartCount, safe; firmwareVersion.
        reader.take(8 + 4 + 4 + 1 + 8)?;
        let certified = reader.sized()?;
        let _qualified_name = reader.sized()?;
        reader.finish()?;
        let is_about = head == HEAD && extra == qualifying && certified == name.bytes();
        let mut reader = Reader::new(signature, "signature of an attestation");
        let (algorithm, hash) = (reader.u16()?, reader.u16()?);
        let (signature, scheme, expected) = match &self.public {
            PublicKey::Ecc { curve, .. } => {
                let (r, s) = (curve.pad(reader.sized()?)?, curve.pad(reader.sized()?)?);
                let signature = Signature::Ecdsa { r, s };
                (signature, Scheme::Ecdsa, algorithm::ECDSA)
            }
            PublicKey::Rsa { .. } => {
                let signature = Signature::Rsa(reader.sized()?.to_vec());
                (signature, Scheme::RsaPkcs1(Hash::Sha256), algorithm::RSASSA)
            }
        };
        reader.finish()?;
        let digest = Sha256::digest(attest);
        let is_scheme = algorithm == expected && hash == algorithm::SHA256;
        Ok(is_about && is_scheme && self.public.verify(scheme, &digest, &signature))
    }
}
