//! An eavesdropper, who tests guesses of secrets against a recording, without the chip.

use std::collections::HashMap;

use hmac::{Hmac, Mac};
use p256::{
    AffinePoint, EncodedPoint, ProjectivePoint, Scalar,
    elliptic_curve::sec1::{FromEncodedPoint, ToEncodedPoint},
};
use sha2::{Digest, Sha256};

use crate::{
    Exchange,
    interposer::{Field, Message, cc},
};

/// `TPM_RH_NULL`.
const RH_NULL: u32 = 0x4000_0007;
const RS_PW: u32 = 0x4000_0009;
const DECRYPT_OR_ENCRYPT: u8 = 0x60;

/// The eavesdropper's knowledge of a session.
#[derive(Debug)]
struct Session {
    nonce_tpm: Vec<u8>,
    /// Its key, if it can be computed: empty if there is no salt.
    keys: Vec<Vec<u8>>,
}

/// An eavesdropper with a recording, guesses, and private keys.
#[derive(Debug, Default)]
pub struct Eavesdropper<'a> {
    guesses: &'a [(&'a str, &'a [u8])],
    private: Vec<Scalar>,
    sessions: HashMap<u32, Session>,
    /// The Names that the entity at a handle may have.
    names: HashMap<u32, Vec<Vec<u8>>>,
    found: Vec<String>,
    /// The number of HMACs so far.
    hmacs: usize,
}

/// The eavesdropper's findings.
#[derive(Debug)]
pub struct Findings {
    /// The guesses that the recording confirms.
    pub confirmed: Vec<String>,
    /// The number of HMACs in the recording.
    pub hmacs: usize,
}

impl<'a> Eavesdropper<'a> {
    /// Adds guesses, each with its description.
    #[must_use]
    pub fn guessing(guesses: &'a [(&'a str, &'a [u8])]) -> Self {
        Self {
            guesses,
            ..Self::default()
        }
    }

    /// Adds the private half of a key on P-256.
    #[must_use]
    pub fn holding(mut self, private: u64) -> Self {
        self.private.push(Scalar::from(private));
        self
    }

    /// Goes through a recording.
    ///
    /// # Panics
    ///
    /// If a message in it is not understood.
    #[must_use]
    pub fn listen(mut self, recording: &[Exchange]) -> Findings {
        for exchange in recording {
            let command = Message::parse_command(&exchange.command);
            let reply = Message::parse_reply(&command, &exchange.response);
            assert!(command.is_understood() && reply.is_understood());
            self.hear(&command, &reply);
        }
        Findings {
            confirmed: self.found,
            hmacs: self.hmacs,
        }
    }

    fn hear(&mut self, command: &Message, reply: &Message) {
        let names = self.names_of(command);
        let parameters = command.parameter_bytes();
        let others: Vec<u8> =
            command
                .sessions()
                .iter()
                .skip(1)
                .fold(Vec::new(), |mut nonces, session| {
                    let part = |name: &str| part(session, name);
                    let handle = number(&part("handle"));
                    if part("attributes")[0] & DECRYPT_OR_ENCRYPT != 0 {
                        let known = self.sessions.get(&handle);
                        nonces.extend(known.map(|known| &known.nonce_tpm[..]).unwrap_or_default());
                    }
                    nonces
                });
        for (index, session) in command.sessions().iter().enumerate() {
            let part = |name: &str| part(session, name);
            let handle = number(&part("handle"));
            let given = part("hmac");
            if handle == RS_PW {
                self.compare_clear(command, &given);
                continue;
            }
            self.hmacs += usize::from(!given.is_empty());
            let Some(known) = self.sessions.get(&handle) else {
                continue;
            };
            let (caller, attributes) = (part("nonce"), part("attributes"));
            let others = if index == 0 { &others[..] } else { &[] };
            let hashes = names
                .iter()
                .map(|names| digest(&[&command.code().to_be_bytes(), names, &parameters]));
            let texts = hashes
                .map(|hash| [&hash[..], &caller, &known.nonce_tpm, others, &attributes].concat());
            let confirmed = self.confirmed(known, texts, &given);
            self.report(command, "command", confirmed);
            if let Some(answered) = reply.sessions().get(index) {
                let part = |name: &str| self::part(answered, name);
                let (tpm, attributes, given) = (part("nonce"), part("attributes"), part("hmac"));
                self.hmacs += usize::from(!given.is_empty());
                let parameters = reply.parameter_bytes();
                let hash = digest(&[&[0; 4], &command.code().to_be_bytes(), &parameters]);
                let text = [&hash[..], &tpm, &caller, &attributes].concat();
                let known = &self.sessions[&handle];
                let confirmed = self.confirmed(known, std::iter::once(text), &given);
                self.report(command, "reply", confirmed);
                if let Some(session) = self.sessions.get_mut(&handle) {
                    session.nonce_tpm = tpm;
                }
            }
        }
        if reply.succeeded() {
            self.remember(command, reply);
        }
    }

    /// Compares the guesses with a password that was sent in the clear.
    fn compare_clear(&mut self, command: &Message, given: &[u8]) {
        let guesses = self.guesses.iter();
        let confirmed = guesses.filter(|(_, guess)| !given.is_empty() && *guess == given);
        let confirmed = confirmed.map(|(what, _)| (*what).to_owned()).collect();
        self.report(command, "password", confirmed);
    }

    /// The guesses under which `given` is the HMAC of one of `texts`.
    fn confirmed(
        &self,
        session: &Session,
        texts: impl Iterator<Item = Vec<u8>>,
        given: &[u8],
    ) -> Vec<String> {
        let texts: Vec<_> = texts.collect();
        let mut confirmed = Vec::new();
        for (key, (what, guess)) in session
            .keys
            .iter()
            .flat_map(|key| self.guesses.iter().map(move |guess| (key, guess)))
        {
            let key = [key, *guess].concat();
            if texts.iter().any(|text| hmac(&key, text) == given) {
                confirmed.push((*what).to_owned());
            }
        }
        confirmed
    }

    fn report(&mut self, command: &Message, place: &str, confirmed: Vec<String>) {
        let name = command.name();
        let found = confirmed.into_iter();
        self.found
            .extend(found.map(|what| format!("{what}, by the {place} {name}")));
    }

    /// The concatenated Names of a command's handles, in each combination.
    fn names_of(&self, command: &Message) -> Vec<Vec<u8>> {
        let mut all = vec![Vec::new()];
        for handle in command.handles() {
            let handle = u32::try_from(handle.number()).expect("4 bytes");
            let unknown = vec![handle.to_be_bytes().to_vec()];
            let names = self.names.get(&handle).unwrap_or(&unknown);
            all = all
                .iter()
                .flat_map(|before| names.iter().map(|name| [&before[..], name].concat()))
                .collect();
        }
        all
    }

    fn remember(&mut self, command: &Message, reply: &Message) {
        let name = |path| vec![reply.get(path)];
        match command.code() {
            cc::START_AUTH_SESSION => {
                let handle = reply.number("sessionHandle");
                let session = self.start(command, reply);
                self.sessions.insert(handle, session);
            }
            cc::LOAD | cc::CREATE_PRIMARY => {
                let handle = reply.number("objectHandle");
                self.names.insert(handle, name("name"));
            }
            cc::READ_PUBLIC => {
                let handle = command.number("objectHandle");
                self.names.insert(handle, name("name"));
            }
            cc::EVICT_CONTROL => {
                if let Some(names) = self.names.get(&command.number("objectHandle")) {
                    let names = names.clone();
                    self.names.insert(command.number("persistentHandle"), names);
                }
            }
            cc::NV_READ_PUBLIC => {
                let handle = command.number("nvIndex");
                self.names.insert(handle, name("nvName"));
            }
            cc::NV_DEFINE_SPACE => {
                // The Names of the index before it is first written, and after.
                let mut public = command.get("publicInfo");
                let handle = command.number("publicInfo.nvIndex");
                let unwritten = name_of(&public);
                public[6] |= 0x20;
                self.names.insert(handle, vec![unwritten, name_of(&public)]);
            }
            _ => {}
        }
    }

    fn start(&self, command: &Message, reply: &Message) -> Session {
        assert_eq!(command.number("bind"), RH_NULL, "no session here is bound");
        let nonce_tpm = reply.get("nonceTPM");
        let nonce_caller = command.get("nonceCaller");
        let keys = if command.number("tpmKey") == RH_NULL {
            vec![Vec::new()]
        } else {
            let salts = self.private.iter();
            let salts = salts.map(|key| salt(key, &command.get("encryptedSalt")));
            salts
                .map(|salt| session_key(&salt, &nonce_tpm, &nonce_caller))
                .collect()
        };
        Session { nonce_tpm, keys }
    }
}

fn part(session: &Field, name: &str) -> Vec<u8> {
    let found = session.parts().iter().find(|part| part.name() == name);
    found.expect("every session has it").value()
}

fn number(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes.try_into().expect("4 bytes"))
}

/// SHA-256 of the parts, one after the other.
#[must_use]
pub fn digest(parts: &[&[u8]]) -> Vec<u8> {
    Sha256::digest(parts.concat()).to_vec()
}

/// The Name of a public area, with SHA-256.
#[must_use]
pub fn name_of(public: &[u8]) -> Vec<u8> {
    [&[0x00, 0x0b], &digest(&[public])[..]].concat()
}

/// HMAC with SHA-256.
///
/// # Panics
///
/// Never: a key may have any length.
#[must_use]
pub fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("any length");
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

/// The salt that was encrypted to the key `private` (part 1, annex C.6.1): KDFe over the shared
/// point. The contents of the `TPM2B_ENCRYPTED_SECRET` are two coordinates with their lengths.
fn salt(private: &Scalar, encrypted: &[u8]) -> Vec<u8> {
    let (x, y) = (&encrypted[2..34], &encrypted[36..68]);
    let point = EncodedPoint::from_affine_coordinates(x.into(), y.into(), false);
    let point = AffinePoint::from_encoded_point(&point).expect("a point of the curve");
    let shared = (ProjectivePoint::from(point) * private).to_affine();
    let own = (ProjectivePoint::GENERATOR * private).to_affine();
    let coordinate = |point: AffinePoint| {
        let point = point.to_encoded_point(false);
        point.x().expect("not the point at infinity").to_vec()
    };
    let one = 1_u32.to_be_bytes();
    digest(&[&one, &coordinate(shared), b"SECRET\0", x, &coordinate(own)])
}

/// KDFa with the label ATH (part 1, section 19.6.8).
#[must_use]
pub fn session_key(salt: &[u8], nonce_tpm: &[u8], nonce_caller: &[u8]) -> Vec<u8> {
    let (one, bits) = (1_u32.to_be_bytes(), 256_u32.to_be_bytes());
    let text = [&one, &b"ATH\0"[..], nonce_tpm, nonce_caller, &bits].concat();
    hmac(salt, &text)
}
