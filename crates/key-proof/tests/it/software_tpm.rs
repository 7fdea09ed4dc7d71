//! A TPM in software that its owner controls completely: the most powerful attacker among provers.
//!
//! It also shows that a proof without a trusted endorsement key proves nothing: this TPM passes in mode D.

use aes::cipher::{AsyncStreamCipher, KeyIvInit};
use hmac::{Hmac, Mac};
use key_proof::{
    Challenge, Check, Checked, ENROLL_NAMESPACE, Error, Identity, Kind, Policy, Proof, PublicArea,
    Request, TicketKey, Verified, WallClaim, activation, check_request, qualifying_data, verify,
};
use rand_core::{OsRng, RngCore};
use sha2::{Sha256, Sha384, Sha512};
use ssh_format::{AnyKey, Curve, PublicKey, RsaHash, SigHash, Signature, SshSig};

use crate::pair::{Hash, Pair, sized};

// Named by its path, because programs outside of this directory include this file as well.
#[path = "software_tpm/areas.rs"]
mod areas;

use areas::AES_256;
pub(crate) use areas::{Area, COUNTER, Ek, GUARD, SO, name, nv_public, policy};

pub(crate) const NOW: u64 = 1_795_000_000;

/// The verifier's key.
pub(crate) fn ticket_key() -> TicketKey {
    TicketKey::new([7; 32])
}

/// A policy that accepts this TPM.
pub(crate) fn any_tpm() -> Policy {
    let mut policy = Policy::new(NOW);
    policy.any_tpm = true;
    policy
}

/// The keys and certificates of a prover.
pub(crate) struct SoftwareTpm {
    pub(crate) ek: Area,
    pub(crate) ak: Area,
    pub(crate) srk: Area,
    pub(crate) parent: Area,
    pub(crate) key: Area,
    pub(crate) wall: WallClaim,
    pub(crate) kind: Kind,
    pub(crate) principals: Vec<String>,
    pub(crate) audience: String,
    pub(crate) identity: Identity,
    pub(crate) role: Option<String>,
    /// Clock, resets, restarts.
    pub(crate) time: (u64, u32, u32),
    pub(crate) certificate: Option<Vec<u8>>,
    pub(crate) chain: Vec<Vec<u8>>,
}

impl SoftwareTpm {
    /// A TPM with a key behind a PIN counter.
    pub(crate) fn new() -> Self {
        let mut ak = Area::new(0x0005_0472);
        ak.scheme = vec![0, 0x18, 0, 0x0b];
        let mut tpm = Self {
            ek: Ek::P256.area(),
            ak,
            srk: Area::storage(0x0003_0472),
            parent: Area::storage(0x0003_04b2),
            key: Area::new(0x0004_0472),
            wall: WallClaim::None,
            kind: Kind::User,
            principals: vec!["anna".to_owned()],
            audience: String::new(),
            identity: Identity::None,
            role: None,
            time: (0, 0, 0),
            certificate: None,
            chain: Vec::new(),
        };
        tpm.behind_counter(&nv_public(
            0x0180_0001,
            COUNTER,
            &policy::counter(&SO, &GUARD),
            8,
        ));
        tpm
    }

    /// Replaces the attestation key by an RSA key.
    pub(crate) fn with_rsa_attestation_key(mut self) -> Self {
        self.ak.key = Pair::rsa2048(1);
        self.ak.scheme = vec![0, 0x14, 0, 0x0b];
        self
    }

    /// Makes the parent require the PIN counter with this public area.
    pub(crate) fn behind_counter(&mut self, counter: &[u8]) {
        self.parent.attributes = 0x0003_04b2;
        self.parent.policy = policy::secret([0; 32], &name(counter)).to_vec();
        self.wall = WallClaim::Counter {
            counter: counter.to_vec(),
            so_name: SO.to_vec(),
            guard_name: GUARD.to_vec(),
        };
    }

    pub(crate) fn behind_lockout(&mut self) {
        self.parent.attributes = 0x0003_00f2;
        self.parent.policy = policy::lockout(&SO).to_vec();
        self.wall = WallClaim::Lockout {
            so_name: SO.to_vec(),
        };
    }

    pub(crate) fn behind_nothing(&mut self) {
        self.parent.attributes = 0x0003_0472;
        self.parent.policy = Vec::new();
        self.wall = WallClaim::None;
    }

    pub(crate) fn request(&self) -> Request {
        Request {
            ek: self.ek.bytes(),
            ek_certificate: self.certificate.clone(),
            chain: self.chain.clone(),
            attestation_key: self.ak.bytes(),
            srk: self.srk.bytes(),
            parent: self.parent.bytes(),
            wall: self.wall.clone(),
            key: self.key.bytes(),
            kind: self.kind,
            principals: self.principals.clone(),
            audience: self.audience.clone(),
            identity: self.identity.clone(),
            role: self.role.clone(),
            client_random: [3; 32],
        }
    }

    pub(crate) fn checked(&self, policy: &Policy) -> Result<Checked, Error> {
        check_request(&self.request(), policy)
    }

    /// `TPM2_ActivateCredential`; `None` if a chip would refuse.
    pub(crate) fn activate(&self, id_object: &[u8], secret: &[u8]) -> Option<Vec<u8>> {
        let hash = self.ek.hash;
        let seed = self.ek.key.seed(hash, secret)?;
        let kdfa = |label: &[u8], context: &[u8], bits: u32| {
            let parts = [&[0, 0, 0, 1][..], label, &[0], context, &bits.to_be_bytes()];
            mac(hash, &seed, &parts.concat())
        };
        let size = seed.len();
        let key_len = if self.ek.symmetric == AES_256 { 32 } else { 16 };
        let own_name = self.ak.name();
        let key = kdfa(b"STORAGE", &own_name, u32::try_from(key_len * 8).ok()?);
        let (tag, encrypted) = id_object[2..].split_at(size);
        let mac_key = kdfa(b"INTEGRITY", &[], u32::try_from(size * 8).ok()?);
        if mac(hash, &mac_key, &[encrypted, &own_name].concat()) != tag {
            return None;
        }
        let mut plain = encrypted.to_vec();
        let (key, iv) = (&key[..key_len], [0; 16]);
        if key_len == 32 {
            let cipher = cfb_mode::Decryptor::<aes::Aes256>::new_from_slices(key, &iv);
            cipher.ok()?.decrypt(&mut plain);
        } else {
            let cipher = cfb_mode::Decryptor::<aes::Aes128>::new_from_slices(key, &iv);
            cipher.ok()?.decrypt(&mut plain);
        }
        Some(plain[2..].to_vec())
    }

    /// A `TPMS_ATTEST` as a chip would write it.
    pub(crate) fn attest(&self, nonce: &[u8; 32], transcript: &[u8; 32]) -> Vec<u8> {
        let root = self.srk.qualified(&[0x40, 0, 0, 1]);
        let signer = self.ak.qualified(&root);
        let key = self.key.qualified(&self.parent.qualified(&root));
        [
            &[0xff, 0x54, 0x43, 0x47, 0x80, 0x17][..],
            &sized(&signer),
            &sized(&qualifying_data(nonce, transcript)),
            &self.time.0.to_be_bytes(),
            &self.time.1.to_be_bytes(),
            &self.time.2.to_be_bytes(),
            // `safe` of the clock, and the version of the firmware.
            &[0; 1 + 8],
            &sized(&self.key.name()),
            &sized(&key),
        ]
        .concat()
    }

    pub(crate) fn signature(&self, message: &[u8]) -> Vec<u8> {
        self.ak.key.tpm_signature(Hash::Sha256, message)
    }

    pub(crate) fn own_signature(&self, namespace: &str, hash: SigHash, message: &[u8]) -> String {
        let (curve, own) = match &self.key.key {
            Pair::Rsa(_) => (None, Hash::Sha512),
            Pair::P256(_) => (Some(Curve::NistP256), Hash::Sha256),
            Pair::P384(_) => (Some(Curve::NistP384), Hash::Sha384),
            Pair::P521(_) => (Some(Curve::NistP521), Hash::Sha512),
        };
        let public = match curve {
            None => PublicKey::rsa(&self.key.key.modulus(), 65537),
            Some(curve) => {
                let (x, y) = self.key.key.point();
                PublicKey::ecdsa(curve, &x, &y)
            }
        };
        let public = AnyKey::from_blob(public.unwrap().blob()).unwrap();
        let digest = hash.of(message).unwrap();
        let data = SshSig::to_sign(namespace, hash, &digest).unwrap();
        let numbers = self.key.key.sign(own, &data);
        let signature = match (curve, &numbers[..]) {
            (Some(curve), [r, s]) => Signature::ecdsa(curve, r, s),
            _ => Signature::rsa(RsaHash::Sha512, &numbers[0]),
        };
        SshSig::new(public, namespace, hash, &signature.unwrap())
            .unwrap()
            .armored()
    }

    /// A challenge for this TPM's request.
    pub(crate) fn challenge(&self) -> Challenge {
        let mut policy = any_tpm();
        policy.audience.clone_from(&self.audience);
        let checked = self.checked(&policy).unwrap();
        Challenge::new(&checked, &ticket_key(), NOW, 120, &mut OsRng).unwrap()
    }

    /// The answer to `challenge`.
    pub(crate) fn answer(&self, challenge: &Challenge) -> Proof {
        let request = self.request();
        let transcript = request.transcript();
        let secret = self.activate(&challenge.id_object, &challenge.secret);
        // A TPM that cannot decrypt the secret has to guess it.
        let secret = secret.unwrap_or_else(|| {
            let mut guess = [0; 32];
            OsRng.fill_bytes(&mut guess);
            guess.to_vec()
        });
        let attest = self.attest(&challenge.nonce, &transcript);
        Proof {
            ticket: challenge.ticket.clone(),
            activation: activation(&secret, &transcript).to_vec(),
            signature: self.signature(&attest),
            attest,
            sshsig: self.own_signature(ENROLL_NAMESPACE, SigHash::Sha512, &transcript),
            request,
        }
    }

    pub(crate) fn proof(&self) -> Proof {
        self.answer(&self.challenge())
    }
}

pub(crate) fn check(proof: &Proof, policy: &Policy) -> Result<Verified, Error> {
    verify(proof, policy, &[ticket_key()])
}

fn mac(hash: Hash, key: &[u8], data: &[u8]) -> Vec<u8> {
    macro_rules! with {
        ($hash:ty) => {{
            let mut mac = <Hmac<$hash> as Mac>::new_from_slice(key).unwrap();
            mac.update(data);
            mac.finalize().into_bytes().to_vec()
        }};
    }
    match hash {
        Hash::Sha256 => with!(Sha256),
        Hash::Sha384 => with!(Sha384),
        Hash::Sha512 => with!(Sha512),
    }
}

/// The check that refused, and why.
#[track_caller]
pub(crate) fn refused<T>(result: Result<T, Error>) -> (key_proof::Check, &'static str) {
    let Err(err) = result else {
        panic!("nothing refused it");
    };
    let found = match &err {
        Error::Refused { check, why } => (*check, *why),
        Error::Expired => (Check::V1, "a certificate has expired"),
        Error::PrincipalNotAllowed { .. } => {
            (Check::V6, "it names a principal that is not allowed")
        }
        err => panic!("refused for another reason: {err}"),
    };
    assert_eq!(err.check(), Some(found.0));
    found
}

/// The Name of an endorsement key.
pub(crate) fn ek_name(tpm: &SoftwareTpm) -> key_proof::Name {
    PublicArea::parse(&tpm.ek.bytes()).unwrap().name()
}
