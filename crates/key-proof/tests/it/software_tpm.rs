//! A TPM in software that does what its owner wants: the worst prover that there can be, without a chip.
//!
//! It also shows what a proof without a vouched-for endorsement key is worth: this one passes in mode D.

use aes::cipher::{AsyncStreamCipher, KeyIvInit};
use hmac::{Hmac, Mac};
use key_proof::{
    Challenge, Check, Checked, ENROLL_NAMESPACE, Error, Identity, Kind, Policy, Proof, PublicArea,
    Request, TicketKey, Verified, WallClaim, activation, check_request, qualifying_data, verify,
};
use rand_core::{OsRng, RngCore};
use sha2::{Digest, Sha256, Sha384, Sha512};
use ssh_format::{AnyKey, Curve, PublicKey, RsaHash, SigHash, Signature, SshSig};

use crate::pair::{Hash, Pair, sized};

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

/// The public area of a key.
#[derive(Clone)]
pub(crate) struct Area {
    pub(crate) hash: Hash,
    pub(crate) attributes: u32,
    pub(crate) policy: Vec<u8>,
    pub(crate) symmetric: Vec<u8>,
    pub(crate) scheme: Vec<u8>,
    pub(crate) key: Pair,
}

const AES_128: [u8; 6] = [0, 6, 0, 128, 0, 0x43];
const AES_256: [u8; 6] = [0, 6, 1, 0, 0, 0x43];

impl Area {
    fn new(attributes: u32) -> Self {
        Self {
            hash: Hash::Sha256,
            attributes,
            policy: Vec::new(),
            symmetric: vec![0, 0x10],
            scheme: vec![0, 0x10],
            key: Pair::p256(),
        }
    }

    fn storage(attributes: u32) -> Self {
        Self {
            symmetric: AES_128.to_vec(),
            ..Self::new(attributes)
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let kind: [u8; 2] = if self.key.is_rsa() { [0, 1] } else { [0, 0x23] };
        [
            &kind[..],
            &self.hash.id().to_be_bytes(),
            &self.attributes.to_be_bytes(),
            &sized(&self.policy),
            &self.key.parameters(&self.symmetric, &self.scheme),
        ]
        .concat()
    }

    pub(crate) fn name(&self) -> Vec<u8> {
        Hash::name(&self.bytes())
    }

    /// The Qualified Name below a parent with this one.
    fn qualified(&self, parent: &[u8]) -> Vec<u8> {
        self.hash.name_of(&[parent, &self.name()].concat())
    }
}

/// The endorsement keys of the TCG's templates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ek {
    Rsa2048,
    P256,
    Rsa2048High,
    P256High,
    P384,
    Rsa3072,
}

impl Ek {
    pub(crate) const ALL: [Self; 6] = [
        Self::Rsa2048,
        Self::P256,
        Self::Rsa2048High,
        Self::P256High,
        Self::P384,
        Self::Rsa3072,
    ];

    pub(crate) fn area(self) -> Area {
        let key = match self {
            Self::Rsa2048 | Self::Rsa2048High => Pair::rsa2048(0),
            Self::P256 | Self::P256High => Pair::p256(),
            Self::P384 => Pair::p384(),
            Self::Rsa3072 => Pair::rsa3072(0),
        };
        let area = Area {
            key,
            ..Area::storage(0x0003_00f2)
        };
        match self {
            Self::Rsa2048 | Self::P256 => Area {
                attributes: 0x0003_00b2,
                policy: policy::endorsement().to_vec(),
                ..area
            },
            Self::Rsa2048High | Self::P256High => Area {
                policy: POLICY_B_SHA256.to_vec(),
                ..area
            },
            Self::P384 | Self::Rsa3072 => Area {
                hash: Hash::Sha384,
                symmetric: AES_256.to_vec(),
                policy: POLICY_B_SHA384.to_vec(),
                ..area
            },
        }
    }
}

/// `PolicyB`, as the profile prints it.
const POLICY_B_SHA256: [u8; 32] = [
    0xca, 0x3d, 0x0a, 0x99, 0xa2, 0xb9, 0x39, 0x06, 0xf7, 0xa3, 0x34, 0x24, 0x14, 0xef, 0xcf, 0xb3,
    0xa3, 0x85, 0xd4, 0x4c, 0xd1, 0xfd, 0x45, 0x90, 0x89, 0xd1, 0x9b, 0x50, 0x71, 0xc0, 0xb7, 0xa0,
];
const POLICY_B_SHA384: [u8; 48] = [
    0xb2, 0x6e, 0x7d, 0x28, 0xd1, 0x1a, 0x50, 0xbc, 0x53, 0xd8, 0x82, 0xbc, 0xf5, 0xfd, 0x3a, 0x1a,
    0x07, 0x41, 0x48, 0xbb, 0x35, 0xd3, 0xb4, 0xe4, 0xcb, 0x1c, 0x0a, 0xd9, 0xbd, 0xe4, 0x19, 0xca,
    0xcb, 0x47, 0xba, 0x09, 0x69, 0x96, 0x46, 0x15, 0x0f, 0x9f, 0xc0, 0x00, 0xf3, 0xf8, 0x0e, 0x12,
];

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
    pub(crate) identity: Identity,
    /// Clock, resets, restarts.
    pub(crate) time: (u64, u32, u32),
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

    /// With an attestation key of RSA.
    pub(crate) fn with_rsa_attestation_key(mut self) -> Self {
        self.ak.key = Pair::rsa2048(1);
        self.ak.scheme = vec![0, 0x14, 0, 0x0b];
        self
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
            identity: self.identity.clone(),
            client_random: [3; 32],
        }
    }

    pub(crate) fn checked(&self, policy: &Policy) -> Result<Checked, Error> {
        check_request(&self.request(), policy)
    }

    /// `TPM2_ActivateCredential`; `None` where a chip would refuse.
    fn activate(&self, id_object: &[u8], secret: &[u8]) -> Option<Vec<u8>> {
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
            // safe, firmware.
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
    match result {
        Err(Error::Refused { check, why }) => (check, why),
        Err(Error::Expired) => (Check::V1, "a certificate has expired"),
        Err(Error::PrincipalNotAllowed { .. }) => {
            (Check::V6, "it names a principal that is not allowed")
        }
        Err(err) => panic!("refused for another reason: {err}"),
        Ok(_) => panic!("nothing refused it"),
    }
}

/// The Name of an endorsement key.
pub(crate) fn ek_name(tpm: &SoftwareTpm) -> key_proof::Name {
    PublicArea::parse(&tpm.ek.bytes()).unwrap().name()
}
