//! Proves that a key was born in a TPM and cannot leave it, to a verifier who needs no TPM:
//! `cargo run -p tpm-core --example prove -- swtpm:host=127.0.0.1,port=2321`
//! (any TPM will do; without an argument, the kernel's).
//!
//! Owner and verifier are functions of one program here. What goes between them are the three files of the crate
//! `key-proof`: request, challenge and proof, each as JSON. Nothing but the storage root key stays in the TPM.

use std::{
    env,
    error::Error,
    io::{self, Write},
    time::{SystemTime, UNIX_EPOCH},
};

use key_proof::{
    Challenge, ENROLL_NAMESPACE, Identity, Kind, Name, Policy, Proof, Request, TicketKey,
    WallClaim, activation, check_request, qualifying_data, verify,
};
use rand_core::{OsRng, RngCore};
use sha2::{Digest, Sha256};
use ssh_format::{AnyKey, Curve, PublicKey as SshKey, SigHash, Signature as SshSignature, SshSig};
use tpm_core::{
    AttestationKey, AuthValue, Credential, KeyBlob, KeyType, OpenSrk, OwnerAuth, PinAuth,
    PublicKey, Scheme, Signature, Srk, TokenKey, Tpm, Usage,
    ek::{self, EkType},
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let tcti = env::args().nth(1);
    let tcti = tcti.as_deref().unwrap_or("device");
    run(&Tpm::new(tcti.parse()?), &mut io::stdout())
}

pub(crate) fn run(tpm: &Tpm, out: &mut dyn Write) -> Result<()> {
    let op = tpm.begin()?;
    let srk = Srk::find_or_create(&op, &OwnerAuth::empty())?;
    let root = srk.open(&op)?;
    let owner = Owner::new(&root)?;

    // What the verifier has: a secret, the Names of the TPMs that it accepts (tpmssh ek show), and the time.
    let mut secret = [0; 32];
    OsRng.fill_bytes(&mut secret);
    let verifier = Verifier {
        tickets: TicketKey::new(secret),
        tpms: vec![Name::from_bytes(owner.ek.name.bytes())?],
        now: SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
    };

    let request = owner.request(&srk).to_json();
    let challenge = verifier.challenge(&request)?;
    let proof = owner.answer(&root, &request, &challenge)?;
    writeln!(out, "{}", verifier.check(&proof)?)?;
    Ok(())
}

/// The owner of the key, who has the TPM.
struct Owner {
    ek: ek::Ek,
    attestation_key: AttestationKey,
    token_key: TokenKey,
    key: KeyBlob,
}

impl Owner {
    fn new(root: &OpenSrk<'_>) -> Result<Self> {
        let token_key = TokenKey::without_pin(root)?;
        let none = PinAuth::empty();
        let blob = token_key.create_key(root, &none, KeyType::EccP256, Usage::SIGN)?;
        Ok(Self {
            ek: ek::show(root, EkType::EccP384, &AuthValue::empty().into())?,
            attestation_key: AttestationKey::create(root)?,
            token_key,
            key: KeyBlob::parse(blob)?,
        })
    }

    /// Public areas, as the TPM has them. Anybody can write such a file.
    fn request(&self, srk: &Srk) -> Request {
        let mut client_random = [0; 32];
        OsRng.fill_bytes(&mut client_random);
        Request {
            ek: self.ek.public.clone(),
            // The maker's, from the TPM: ek::certificate and ek::certificate_chain.
            ek_certificate: None,
            chain: Vec::new(),
            attestation_key: self.attestation_key.blob().public.clone(),
            srk: srk.public().to_vec(),
            parent: self.token_key.blob().public.clone(),
            wall: WallClaim::None,
            key: self.key.blob().public.clone(),
            kind: Kind::None,
            principals: Vec::new(),
            audience: String::new(),
            identity: Identity::None,
            role: None,
            client_random,
        }
    }

    /// Has the TPM recover the challenge's secret and certify the key, and signs the request with the key.
    fn answer(&self, root: &OpenSrk<'_>, request: &str, challenge: &str) -> Result<String> {
        let request = Request::from_json(request.as_bytes())?;
        let challenge = Challenge::from_json(challenge.as_bytes())?;
        let transcript = request.transcript();
        let credential = Credential {
            id_object: &challenge.id_object,
            secret: &challenge.secret,
        };
        let no_password = AuthValue::empty().into();
        let secret =
            self.attestation_key
                .activate(root, self.ek.ek_type, &no_password, &credential)?;
        let key = self
            .token_key
            .load_key(root, &PinAuth::empty(), &self.key)?;
        let qualifying = qualifying_data(&challenge.nonce, &transcript);
        let certified = self.attestation_key.certify(root, &key, &qualifying)?;

        // SSH's form of the key, and its signature over the request (SSHSIG).
        let PublicKey::Ecc { x, y, .. } = self.key.public() else {
            return Err("the key is on P-256".into());
        };
        let ssh_key = SshKey::ecdsa(Curve::NistP256, x, y)?;
        let digest = SigHash::Sha512.of(&transcript[..])?;
        let data = SshSig::to_sign(ENROLL_NAMESPACE, SigHash::Sha512, &digest)?;
        let digest = Sha256::digest(&data);
        let Signature::Ecdsa { r, s } = key.sign(root.op(), Scheme::Ecdsa, &digest)? else {
            return Err("the key signs with ECDSA".into());
        };
        let sshsig = SshSig::new(
            AnyKey::from_blob(ssh_key.blob())?,
            ENROLL_NAMESPACE,
            SigHash::Sha512,
            &SshSignature::ecdsa(Curve::NistP256, &r, &s)?,
        )?;
        let proof = Proof {
            request,
            ticket: challenge.ticket,
            activation: activation(&secret, &transcript).to_vec(),
            attest: certified.attest,
            signature: certified.signature,
            sshsig: sshsig.armored(),
        };
        Ok(proof.to_json())
    }
}

/// The verifier, who has no TPM.
struct Verifier {
    tickets: TicketKey,
    tpms: Vec<Name>,
    /// Seconds since 1970.
    now: u64,
}

impl Verifier {
    fn policy(&self) -> Policy {
        let mut policy = Policy::new(self.now);
        policy.inventory = Some(self.tpms.clone());
        policy
    }

    /// A challenge that is valid for two minutes. The verifier stores nothing: its state is sealed in the challenge.
    fn challenge(&self, request: &str) -> Result<String> {
        let request = Request::from_json(request.as_bytes())?;
        let checked = check_request(&request, &self.policy())?;
        let challenge = Challenge::new(&checked, &self.tickets, self.now, 120, &mut OsRng)?;
        Ok(challenge.to_json())
    }

    fn check(&self, proof: &str) -> Result<String> {
        let proof = Proof::from_json(proof.as_bytes())?;
        let tickets = std::slice::from_ref(&self.tickets);
        let verified = verify(&proof, &self.policy(), tickets)?;
        Ok(format!(
            "{}\n{}, PIN wall: {}, TPM known by mode {}",
            verified.key.line("proven"),
            verified.origin.name(),
            verified.wall,
            verified.mode.name(),
        ))
    }
}
