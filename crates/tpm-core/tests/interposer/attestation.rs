//! An attestation key of a world, and credentials for it.

use key_proof::{Credential, Name, PublicArea, make_credential};
use rand_core::OsRng;
use sha2::{Digest, Sha256};
use tpm_core::{
    AttestationKey, Certified, Curve, Operation, OwnerAuth, PublicKey, Result, Scheme, Signature,
    ek::{self, EkType},
};
use tpm_wire::Reader;

use crate::world::World;

/// The secret in the credentials.
pub(crate) const SECRET: [u8; 32] = *b"what only this chip brings out..";

pub(crate) struct Attestation {
    pub(crate) key: AttestationKey,
    /// For the endorsement key on P-384, which is at its persistent handle, and for that on P-256, which is not.
    pub(crate) credentials: [Credential; 2],
    /// For the one on P-384 and another attestation key.
    pub(crate) for_another_key: Credential,
}

impl Attestation {
    pub(crate) fn new(world: &World, op: &Operation<'_>) -> Result<Self> {
        let root = world.srk.open(op)?;
        let endorsement = world.endorsement();
        let (persistent, owner) = (EkType::EccP384, OwnerAuth::empty());
        ek::create(op, Some(&world.srk), persistent, &endorsement, &owner)?;
        let (key, other) = (
            AttestationKey::create(&root)?,
            AttestationKey::create(&root)?,
        );
        let make = |ek_type, key: &AttestationKey| -> Result<Credential> {
            let ek = ek::show(&root, ek_type, &endorsement)?;
            let area = PublicArea::parse(&ek.public).expect("a chip's endorsement key");
            let name = Name::from_bytes(key.name().bytes()).expect("a Name");
            Ok(make_credential(&area, &name, &SECRET, &mut OsRng).expect("a key of a template"))
        };
        Ok(Self {
            credentials: [make(persistent, &key)?, make(EkType::EccP256, &key)?],
            for_another_key: make(persistent, &other)?,
            key,
        })
    }

    /// What an attestation of the world's key says, checked once more from its bytes: whether the attestation key has signed it,
    /// and the Qualified Names of both keys, with the parts that differ from run to run left out.
    pub(crate) fn look(&self, world: &World, certified: &Certified) -> String {
        let below = |parent: &[u8], name: &[u8]| -> Vec<u8> {
            let digest = Sha256::digest([parent, name].concat());
            [&[0, 0x0b][..], &digest].concat()
        };
        let root = below(&[0x40, 0, 0, 1], world.srk.name().bytes());
        let (token_key, key) = (world.token_key.blob().name(), world.key.blob().name());
        let mut reader = Reader::new(&certified.attest[6..], "attestation");
        let signer = reader.sized() == Ok(&below(&root, self.key.name().bytes()));
        let extra = reader.sized() == Ok(&[0x5a; 32]);
        let rest = reader.take(25).is_ok();
        let about = reader.sized() == Ok(key.bytes());
        let path = below(&below(&root, token_key.bytes()), key.bytes());
        let place = reader.sized() == Ok(&path);
        let whole = rest && reader.finish().is_ok();
        let mut reader = Reader::new(&certified.signature[4..], "signature");
        let mut number = || reader.sized().expect("it is whole").to_vec();
        let signature = Signature::Ecdsa {
            r: number(),
            s: number(),
        };
        let public = &self.key.blob().public;
        let mut reader = Reader::new(&public[public.len() - 2 * (2 + 32)..], "point");
        let mut number = || reader.sized().expect("it is whole").to_vec();
        let key = PublicKey::Ecc {
            curve: Curve::P256,
            x: number(),
            y: number(),
        };
        let digest = Sha256::digest(&certified.attest);
        let signed = key.verify(Scheme::Ecdsa, &digest, &signature);
        format!("{signer} {extra} {about} {place} {whole} {signed}")
    }
}
