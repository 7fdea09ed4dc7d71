//! Authorization sessions: how a secret is proven to the chip without crossing the bus.

use std::cell::{Cell, RefCell};

use rand_core::{OsRng, RngCore};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::{
    AuthValue, Error, Operation, Result,
    command::{
        Code, Command,
        crypto::{DIGEST, Salt, crypt, hmac, kdfa},
    },
    hierarchy::srk::OpenSrk,
    structures::{algorithm, hierarchy::permanent, marshal::Reader},
};

/// AES, 128 bits, CFB: the `TPMT_SYM_DEF` of our sessions.
const AES_128_CFB: [u16; 3] = [algorithm::AES, 128, algorithm::CFB];

const CONTINUE: u8 = 0x01;
const DECRYPT: u8 = 0x20;
const ENCRYPT: u8 = 0x40;

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Proves an authorization value.
    Hmac = 0x00,
    /// Satisfies a policy.
    Policy = 0x01,
}

/// A session in the chip; dropping it frees its slot, unless its last use ended it.
pub(crate) struct Session<'op> {
    op: &'op Operation<'op>,
    handle: u32,
    kind: Kind,
    key: Zeroizing<Vec<u8>>,
    nonce_tpm: RefCell<Vec<u8>>,
    nonce_caller: RefCell<[u8; DIGEST]>,
    /// Whether `TPM2_PolicyAuthValue` was run in it.
    auth_value: Cell<bool>,
    ended: Cell<bool>,
}

impl<'op> Session<'op> {
    /// An HMAC session salted to the storage root key.
    pub(crate) fn hmac(op: &'op Operation<'op>, srk: &OpenSrk<'_>) -> Result<Self> {
        Self::start(op, Kind::Hmac, Some(srk))
    }

    /// An HMAC session without a salt, for a chip that has no storage root key yet. It proves
    /// an authorization value, but who records the bus can try guesses of it.
    pub(crate) fn unsalted(op: &'op Operation<'op>) -> Result<Self> {
        Self::start(op, Kind::Hmac, None)
    }

    /// A policy session salted to the storage root key.
    pub(crate) fn salted_policy(op: &'op Operation<'op>, srk: &OpenSrk<'_>) -> Result<Self> {
        Self::start(op, Kind::Policy, Some(srk))
    }

    /// A policy session for policies that involve no secret of their own use.
    pub(crate) fn policy(op: &'op Operation<'op>) -> Result<Self> {
        Self::start(op, Kind::Policy, None)
    }

    fn start(op: &'op Operation<'op>, kind: Kind, srk: Option<&OpenSrk<'_>>) -> Result<Self> {
        let nonce_caller = fresh_nonce();
        let salt = srk.map(OpenSrk::salt).transpose()?;
        let nothing = Salt {
            secret: Zeroizing::default(),
            encrypted: Vec::new(),
        };
        let salt = salt.unwrap_or(nothing);
        let command = Command::new(Code::StartAuthSession).about("storage root key");
        let command = match srk {
            Some(srk) => command.handle(srk.handle(), srk.name()),
            None => command.permanent(permanent::NULL),
        };
        let mut command = command
            .permanent(permanent::NULL)
            .param_sized(&nonce_caller)
            .param_sized(&salt.encrypted)
            .param_u8(kind as u8);
        command = if srk.is_some() {
            AES_128_CFB.into_iter().fold(command, Command::param_u16)
        } else {
            command.param_u16(algorithm::NULL)
        };
        let response = op.run(command.param_u16(algorithm::SHA256))?;
        let mut reader = response.reader();
        let nonce_tpm = reader.sized()?.to_vec();
        reader.finish()?;
        let key = if srk.is_some() {
            kdfa(&salt.secret, "ATH", &nonce_tpm, &nonce_caller, DIGEST)
        } else {
            Zeroizing::default()
        };
        Ok(Self {
            op,
            handle: response.handle,
            kind,
            key,
            nonce_tpm: RefCell::new(nonce_tpm),
            nonce_caller: RefCell::new(nonce_caller),
            auth_value: Cell::new(false),
            ended: Cell::new(false),
        })
    }

    /// Its handle.
    pub(crate) fn handle(&self) -> u32 {
        self.handle
    }

    /// Notes that `TPM2_PolicyAuthValue` was run: uses must now prove the entity's value.
    pub(crate) fn requires_auth_value(&self) {
        self.auth_value.set(true);
    }

    /// Uses the session to authorize an entity whose authorization value is `auth`.
    pub(crate) fn authorizes<'a>(&'a self, auth: &'a AuthValue) -> Use<'a>
    where
        'op: 'a,
    {
        Use {
            session: self,
            auth: Some(auth),
            after: None,
            attributes: CONTINUE,
        }
    }

    /// Uses the session where no authorization value is involved: an entity whose value is
    /// empty or whose policy does not ask for it, or nothing but the encryption of a parameter.
    pub(crate) fn plain<'a>(&'a self) -> Use<'a>
    where
        'op: 'a,
    {
        Use {
            session: self,
            auth: None,
            after: None,
            attributes: CONTINUE,
        }
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        if !self.ended.get()
            && let Err(err) = self.op.flush(self.handle)
        {
            log::debug!("a session stays open: {err}");
        }
    }
}

fn fresh_nonce() -> [u8; DIGEST] {
    let mut nonce = [0; DIGEST];
    OsRng.fill_bytes(&mut nonce);
    nonce
}

/// One use of a session in one command.
#[derive(Clone, Copy)]
pub(crate) struct Use<'a> {
    session: &'a Session<'a>,
    auth: Option<&'a AuthValue>,
    after: Option<&'a AuthValue>,
    attributes: u8,
}

impl<'a> Use<'a> {
    /// Ends the session with this command, which saves flushing it.
    pub(crate) fn last(mut self) -> Self {
        self.attributes &= !CONTINUE;
        self
    }

    /// Encrypts the first parameter of the command, which must be a `TPM2B_*`.
    pub(crate) fn hide_command(mut self) -> Self {
        self.attributes |= DECRYPT;
        self
    }

    /// Lets the chip encrypt the first parameter of its response.
    pub(crate) fn hide_response(mut self) -> Self {
        self.attributes |= ENCRYPT;
        self
    }

    /// Says that the command gives the entity the value `auth`, under which it then answers.
    pub(crate) fn becomes(mut self, auth: &'a AuthValue) -> Self {
        self.after = Some(auth);
        self
    }

    pub(crate) fn handle(&self) -> u32 {
        self.session.handle
    }

    pub(crate) fn attributes(&self) -> u8 {
        self.attributes
    }

    /// Whether the chip must decrypt the command's first parameter.
    pub(crate) fn decrypts(&self) -> bool {
        self.attributes & DECRYPT != 0
    }

    /// Whether the chip encrypts the response's first parameter.
    pub(crate) fn encrypts(&self) -> bool {
        self.attributes & ENCRYPT != 0
    }

    /// Whether the chip has ended the session.
    pub(crate) fn has_ended(&self) -> bool {
        self.session.ended.get()
    }

    pub(crate) fn nonce_caller(&self) -> [u8; DIGEST] {
        *self.session.nonce_caller.borrow()
    }

    pub(crate) fn nonce_tpm(&self) -> Vec<u8> {
        self.session.nonce_tpm.borrow().clone()
    }

    /// Takes a new nonce for the next command.
    pub(crate) fn renew(&self) {
        self.session.nonce_caller.replace(fresh_nonce());
    }

    /// The session key, followed by `auth`.
    fn key_with(&self, auth: Option<&AuthValue>) -> Zeroizing<Vec<u8>> {
        let auth = auth.map_or(&[][..], AuthValue::bytes);
        Zeroizing::new([&self.session.key[..], auth].concat())
    }

    /// The key of an HMAC: a policy session leaves the authorization value out of it unless
    /// `TPM2_PolicyAuthValue` asks for it (Part 1, section 19.6.5).
    fn hmac_key(&self, auth: Option<&AuthValue>) -> Zeroizing<Vec<u8>> {
        let counts = self.session.kind == Kind::Hmac || self.session.auth_value.get();
        self.key_with(auth.filter(|_| counts))
    }

    /// The HMAC of a command with hash `hash`; empty where there is no secret at all.
    pub(crate) fn command_hmac(&self, hash: &[u8], other_nonces: &[u8]) -> Vec<u8> {
        let key = self.hmac_key(self.auth);
        if self.session.kind == Kind::Policy && key.is_empty() {
            return Vec::new();
        }
        let (caller, tpm) = (self.nonce_caller(), self.nonce_tpm());
        hmac(
            &key,
            &[hash, &caller, &tpm, other_nonces, &[self.attributes]],
        )
        .to_vec()
    }

    /// Checks the HMAC of a response and takes over the chip's new nonce.
    pub(crate) fn accept(&self, hash: &[u8], nonce: &[u8], attributes: u8, given: &[u8]) -> bool {
        let key = self.hmac_key(self.after.or(self.auth));
        let genuine = if self.session.kind == Kind::Policy && key.is_empty() {
            given.is_empty()
        } else {
            let expected = hmac(&key, &[hash, nonce, &self.nonce_caller(), &[attributes]]);
            bool::from(expected[..].ct_eq(given))
        };
        if genuine {
            self.session.nonce_tpm.replace(nonce.to_vec());
            self.session.ended.set(attributes & CONTINUE == 0);
        }
        genuine
    }

    /// Encrypts the first parameter of a command in place.
    pub(crate) fn encrypt_first(&self, params: &mut [u8]) -> Result<()> {
        let (newer, older) = (self.nonce_caller(), self.nonce_tpm());
        self.crypt_first(true, params, &newer, &older, self.auth)
    }

    /// Decrypts the first parameter of a response in place.
    pub(crate) fn decrypt_first(&self, params: &mut [u8]) -> Result<()> {
        let (newer, older) = (self.nonce_tpm(), self.nonce_caller());
        self.crypt_first(false, params, &newer, &older, self.after.or(self.auth))
    }

    fn crypt_first(
        &self,
        encrypt: bool,
        params: &mut [u8],
        newer: &[u8],
        older: &[u8],
        auth: Option<&AuthValue>,
    ) -> Result<()> {
        let len = usize::from(Reader::new(params, "parameter").u16()?);
        let data = params
            .get_mut(2..2 + len)
            .ok_or(Error::Malformed("parameter"))?;
        crypt(encrypt, &self.key_with(auth), newer, older, data);
        Ok(())
    }
}
