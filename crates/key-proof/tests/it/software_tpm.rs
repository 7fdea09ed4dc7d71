//! A TPM in software that does what its owner wants: the worst prover that there can be, without a chip.
//!
//! It also shows what a proof without a vouched-for endorsement key is worth: this one passes in mode D.

use aes::cipher::{AsyncStreamCipher, KeyIvInit};
use hmac::{Hmac, Mac};
use key_proof::{
    Challenge, Checked, ENROLL_NAMESPACE, Error, Kind, Policy, Proof, PublicArea, Request,
    TicketKey, Verified, WallClaim, activation, check_request, qualifying_data, verify,
};
use p256::{
    SecretKey,
    ecdsa::{SigningKey, signature::hazmat::PrehashSigner},
    elliptic_curve::sec1::ToEncodedPoint,
};
use rand_core::{OsRng, RngCore};
use sha2::{Digest, Sha256};
use ssh_format::{AnyKey, Curve, PublicKey, SigHash, Signature, SshSig};

pub(crate) const NOW: u64 = 1_795_000_000;

/// The verifier's key.
pub(crate) fn ticket_key() -> TicketKey {
    TicketKey::new([7; 32])
}

/// A policy that takes this TPM.
pub(crate) fn any_tpm() -> Policy {
    let mut policy = Policy::new(NOW);
    policy.any_tpm = true;
    policy
}

/// `TPM2_PolicySecret` and so on, written down once more: what these tests compare with is not the crate's own.
pub(crate) mod policy {
    use super::*;

    fn extend(digest: [u8; 32], code: u32, rest: &[u8]) -> [u8; 32] {
        Sha256::new()
            .chain_update(digest)
            .chain_update(code.to_be_bytes())
            .chain_update(rest)
            .finalize()
            .into()
    }
    pub(crate) fn command(digest: [u8; 32], code: u32) -> [u8; 32] {
        extend(digest, 0x16c, &code.to_be_bytes())
    }
    pub(crate) fn secret(digest: [u8; 32], name: &[u8]) -> [u8; 32] {
        Sha256::digest(extend(digest, 0x151, name)).into()
    }
    pub(crate) fn auth_value(digest: [u8; 32]) -> [u8; 32] {
        extend(digest, 0x16b, &[])
    }
    pub(crate) fn or(branches: &[[u8; 32]]) -> [u8; 32] {
        extend([0; 32], 0x171, &branches.concat())
    }
    pub(crate) fn counter(so: &[u8], guard: &[u8]) -> [u8; 32] {
        let change = command([0; 32], 0x13b);
        or(&[
            secret(command([0; 32], 0x137), so),
            secret(change, so),
            auth_value(secret(change, guard)),
            command([0; 32], 0x14e),
        ])
    }
    pub(crate) fn lockout(so: &[u8]) -> [u8; 32] {
        let change = command([0; 32], 0x150);
        or(&[secret(change, so), auth_value(change)])
    }
    /// Of the endorsement keys of the low range.
    pub(crate) fn endorsement() -> [u8; 32] {
        secret([0; 32], &[0x40, 0, 0, 0x0b])
    }
}

pub(crate) fn name(public: &[u8]) -> Vec<u8> {
    [&[0, 0x0b][..], &Sha256::digest(public)].concat()
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    let len = u16::try_from(bytes.len()).unwrap();
    [&len.to_be_bytes()[..], bytes].concat()
}

/// The public area of a key on P-256.
pub(crate) struct Area {
    pub(crate) name_alg: u16,
    pub(crate) attributes: u32,
    pub(crate) policy: Vec<u8>,
    pub(crate) symmetric: Vec<u8>,
    pub(crate) scheme: Vec<u8>,
    pub(crate) key: SecretKey,
}

impl Area {
    fn new(attributes: u32) -> Self {
        Self {
            name_alg: 0x0b,
            attributes,
            policy: Vec::new(),
            symmetric: vec![0, 0x10],
            scheme: vec![0, 0x10],
            key: SecretKey::random(&mut OsRng),
        }
    }

    fn storage(attributes: u32) -> Self {
        Self {
            symmetric: vec![0, 6, 0, 128, 0, 0x43],
            ..Self::new(attributes)
        }
    }

    pub(crate) fn point(&self) -> (Vec<u8>, Vec<u8>) {
        let point = self.key.public_key().to_encoded_point(false);
        (point.x().unwrap().to_vec(), point.y().unwrap().to_vec())
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let (x, y) = self.point();
        [
            &[0, 0x23][..],
            &self.name_alg.to_be_bytes(),
            &self.attributes.to_be_bytes(),
            &sized(&self.policy),
            &self.symmetric,
            &self.scheme,
            // P-256, no key derivation.
            &[0, 3, 0, 0x10],
            &sized(&x),
            &sized(&y),
        ]
        .concat()
    }

    pub(crate) fn name(&self) -> Vec<u8> {
        name(&self.bytes())
    }

    fn sign(&self, message: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let key = SigningKey::from(&self.key);
        let signature: p256::ecdsa::Signature = key.sign_prehash(&Sha256::digest(message)).unwrap();
        let (r, s) = signature.split_bytes();
        (r.to_vec(), s.to_vec())
    }
}

/// What a prover has.
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
    pub(crate) certificate: Option<Vec<u8>>,
    pub(crate) chain: Vec<Vec<u8>>,
}

pub(crate) const SO: [u8; 34] = named(1);
pub(crate) const GUARD: [u8; 34] = named(2);

const fn named(fill: u8) -> [u8; 34] {
    let mut name = [fill; 34];
    name[0] = 0;
    name[1] = 0x0b;
    name
}

/// A `TPMS_NV_PUBLIC`.
pub(crate) fn nv_public(index: u32, attributes: u32, policy: &[u8], size: u16) -> Vec<u8> {
    [
        &index.to_be_bytes()[..],
        &[0, 0x0b],
        &attributes.to_be_bytes(),
        &sized(policy),
        &size.to_be_bytes(),
    ]
    .concat()
}

pub(crate) const COUNTER: u32 = 0x220c_0088;

impl SoftwareTpm {
    /// With a key behind a PIN counter.
    pub(crate) fn new() -> Self {
        let mut ek = Area::storage(0x0003_00b2);
        ek.policy = policy::endorsement().to_vec();
        let mut ak = Area::new(0x0005_0472);
        ak.scheme = vec![0, 0x18, 0, 0x0b];
        let mut tpm = Self {
            ek,
            ak,
            srk: Area::storage(0x0003_0472),
            parent: Area::storage(0x0003_04b2),
            key: Area::new(0x0004_0472),
            wall: WallClaim::None,
            kind: Kind::User,
            principals: vec!["anna".to_owned()],
            audience: String::new(),
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

    /// Has the parent ask for the PIN counter with this public area.
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
            client_random: [3; 32],
        }
    }

    pub(crate) fn checked(&self, policy: &Policy) -> Result<Checked, Error> {
        check_request(&self.request(), policy)
    }

    /// `TPM2_ActivateCredential`; `None` where a chip would refuse.
    fn activate(&self, id_object: &[u8], secret: &[u8]) -> Option<Vec<u8>> {
        let (x, _) = self.ek.point();
        let theirs = [&[4][..], &secret[2..34], &secret[36..68]].concat();
        let theirs = p256::PublicKey::from_sec1_bytes(&theirs).ok()?;
        let z = p256::ecdh::diffie_hellman(self.ek.key.to_nonzero_scalar(), theirs.as_affine());
        let seed = Sha256::new()
            .chain_update([0, 0, 0, 1])
            .chain_update(z.raw_secret_bytes())
            .chain_update(b"IDENTITY\0")
            .chain_update(&secret[2..34])
            .chain_update(&x)
            .finalize();
        let kdfa = |label: &[u8], context: &[u8], bits: u32| {
            let parts = [&[0, 0, 0, 1][..], label, &[0], context, &bits.to_be_bytes()];
            mac(&seed, &parts.concat())
        };
        let own_name = self.ak.name();
        let key = kdfa(b"STORAGE", &own_name, 128);
        let (tag, encrypted) = (&id_object[2..34], &id_object[34..]);
        let expected = mac(
            &kdfa(b"INTEGRITY", &[], 256),
            &[encrypted, &own_name].concat(),
        );
        if expected != tag {
            return None;
        }
        let mut plain = encrypted.to_vec();
        cfb_mode::Decryptor::<aes::Aes128>::new_from_slices(&key[..16], &[0; 16])
            .ok()?
            .decrypt(&mut plain);
        Some(plain[2..].to_vec())
    }

    /// A `TPMS_ATTEST` as a chip would write it.
    pub(crate) fn attest(&self, nonce: &[u8; 32], transcript: &[u8; 32]) -> Vec<u8> {
        let qualified = |parent: &[u8], name: &[u8]| name_of_parts(&[parent, name]);
        let root = qualified(&[0x40, 0, 0, 1], &self.srk.name());
        let signer = qualified(&root, &self.ak.name());
        let key = qualified(&qualified(&root, &self.parent.name()), &self.key.name());
        [
            &[0xff, 0x54, 0x43, 0x47, 0x80, 0x17][..],
            &sized(&signer),
            &sized(&qualifying_data(nonce, transcript)),
            // clock, resets, restarts, safe, firmware.
            &[0; 8 + 4 + 4 + 1 + 8],
            &sized(&self.key.name()),
            &sized(&key),
        ]
        .concat()
    }

    pub(crate) fn signature(&self, message: &[u8]) -> Vec<u8> {
        let (r, s) = self.ak.sign(message);
        [&[0, 0x18, 0, 0x0b][..], &sized(&r), &sized(&s)].concat()
    }

    pub(crate) fn own_signature(&self, namespace: &str, hash: SigHash, message: &[u8]) -> String {
        let (x, y) = self.key.point();
        let public = PublicKey::ecdsa(Curve::NistP256, &x, &y).unwrap();
        let public = AnyKey::from_blob(public.blob()).unwrap();
        let digest = hash.of(message).unwrap();
        let data = SshSig::to_sign(namespace, hash, &digest).unwrap();
        let (r, s) = self.key.sign(&data);
        let signature = Signature::ecdsa(Curve::NistP256, &r, &s).unwrap();
        SshSig::new(public, namespace, hash, &signature)
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
        // A TPM that cannot bring the secret out has to guess it.
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

fn mac(key: &[u8], data: &[u8]) -> Vec<u8> {
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(key).unwrap();
    mac.update(data);
    mac.finalize().into_bytes().to_vec()
}

fn name_of_parts(parts: &[&[u8]]) -> Vec<u8> {
    name(&parts.concat())
}

/// The check that refused, and why.
#[track_caller]
pub(crate) fn refused<T>(result: Result<T, Error>) -> (key_proof::Check, &'static str) {
    match result {
        Err(Error::Refused { check, why }) => (check, why),
        Err(err) => panic!("refused for another reason: {err}"),
        Ok(_) => panic!("nothing refused it"),
    }
}

/// The Name of an endorsement key.
pub(crate) fn ek_name(tpm: &SoftwareTpm) -> key_proof::Name {
    PublicArea::parse(&tpm.ek.bytes()).unwrap().name()
}
