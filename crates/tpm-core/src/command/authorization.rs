//! The state that a session shares with the chip, and what one use of it adds to a command.

use std::cell::{Cell, RefCell};

use rand_core::{OsRng, RngCore};
use subtle::ConstantTimeEq;
use tpm_wire::Reader;
use zeroize::Zeroizing;

use crate::{
    AuthValue, Error, Result,
    command::crypto::{DIGEST, crypt, hmac},
};

/// `TPMA_SESSION` (part 2, section 8.4).
const CONTINUE: u8 = 0x01;
const DECRYPT: u8 = 0x20;
const ENCRYPT: u8 = 0x40;
const AUDIT: u8 = 0x80;

/// The use of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Proves an authorization value.
    Hmac = 0x00,
    /// Satisfies a policy.
    Policy = 0x01,
}

/// The state that a session shares with the chip.
pub(crate) struct SessionState {
    handle: u32,
    kind: Kind,
    /// The session key; empty for a session without a salt.
    key: Zeroizing<Vec<u8>>,
    nonce_tpm: RefCell<Vec<u8>>,
    nonce_caller: RefCell<[u8; DIGEST]>,
    /// Whether `TPM2_PolicyAuthValue` was run in it.
    auth_value: Cell<bool>,
    /// Whether a reply has shown that the chip knows the session key.
    proven: Cell<bool>,
    ended: Cell<bool>,
}

impl SessionState {
    /// A session that has just been started, with the nonces of its start.
    pub(crate) fn new(
        handle: u32,
        kind: Kind,
        key: Zeroizing<Vec<u8>>,
        nonce_tpm: Vec<u8>,
        nonce_caller: [u8; DIGEST],
    ) -> Self {
        Self {
            handle,
            kind,
            key,
            nonce_tpm: RefCell::new(nonce_tpm),
            nonce_caller: RefCell::new(nonce_caller),
            auth_value: Cell::new(false),
            proven: Cell::new(false),
            ended: Cell::new(false),
        }
    }

    /// Its handle.
    pub(crate) fn handle(&self) -> u32 {
        self.handle
    }

    /// Whether the chip has ended it.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.get()
    }

    /// Notes that `TPM2_PolicyAuthValue` was run: from now on each use must prove the entity's
    /// value.
    pub(crate) fn requires_auth_value(&self) {
        self.auth_value.set(true);
    }
}

/// A new nonce of the caller's side.
pub(crate) fn fresh_nonce() -> [u8; DIGEST] {
    let mut nonce = [0; DIGEST];
    OsRng.fill_bytes(&mut nonce);
    nonce
}

/// One use of a session in one command.
#[derive(Clone, Copy)]
pub(crate) struct Authorization<'a> {
    session: &'a SessionState,
    auth: Option<&'a AuthValue>,
    after: Option<&'a AuthValue>,
    attributes: u8,
}

impl<'a> Authorization<'a> {
    /// A use that authorizes an entity with the value `auth`; `None` if no value is involved.
    pub(crate) fn new(session: &'a SessionState, auth: Option<&'a AuthValue>) -> Self {
        Self {
            session,
            auth,
            after: None,
            attributes: CONTINUE,
        }
    }

    /// Ends the session with this command.
    pub(crate) fn end(&mut self) {
        self.attributes &= !CONTINUE;
    }

    /// Encrypts the first parameter of the command.
    pub(crate) fn encrypt_command(&mut self) {
        self.attributes |= DECRYPT;
    }

    /// Has the chip encrypt the first parameter of its response.
    pub(crate) fn encrypt_response(&mut self) {
        self.attributes |= ENCRYPT;
    }

    /// Makes this an audit session. A session that neither authorizes nor encrypts must be one.
    pub(crate) fn audit(&mut self) {
        self.attributes |= AUDIT;
    }

    /// States that the command sets the entity's value to `auth`: the chip authenticates the
    /// response with the new value.
    pub(crate) fn becomes(&mut self, auth: &'a AuthValue) {
        self.after = Some(auth);
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
        self.session.has_ended()
    }

    /// Whether no authorization value is involved. Then the chip refuses this use only if it does
    /// not know the session key.
    pub(crate) fn is_plain(&self) -> bool {
        self.auth.is_none()
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

    /// Refuses a use that needs a secret before the chip has shown, in this same session, that it
    /// holds the key to which the session is salted.
    ///
    /// An attacker who has replaced the pinned key by his own can read the salt. He can then test
    /// guesses of a PIN against any HMAC whose key contains the PIN.
    ///
    /// # Errors
    ///
    /// [`Error::Unproven`].
    pub(crate) fn check_order(&self) -> Result<()> {
        let secret = self.decrypts() || self.auth.is_some_and(|auth| !auth.is_empty());
        if secret && !self.session.proven.get() {
            Err(Error::Unproven)
        } else {
            Ok(())
        }
    }

    /// The session key, followed by `auth`.
    fn key_with(&self, auth: Option<&AuthValue>) -> Zeroizing<Vec<u8>> {
        let auth = auth.map_or(&[][..], AuthValue::bytes);
        Zeroizing::new([&self.session.key[..], auth].concat())
    }

    /// The key of an HMAC. In a policy session it contains the authorization value only after
    /// `TPM2_PolicyAuthValue` (Part 1, section 19.6.5).
    fn hmac_key(&self, auth: Option<&AuthValue>) -> Zeroizing<Vec<u8>> {
        let counts = self.session.kind == Kind::Hmac || self.session.auth_value.get();
        self.key_with(auth.filter(|_| counts))
    }

    /// The HMAC of a command with hash `hash`; empty if there is no secret at all.
    pub(crate) fn command_hmac(&self, hash: &[u8; DIGEST], other_nonces: &[u8]) -> Vec<u8> {
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
    pub(crate) fn accept(
        &self,
        hash: &[u8; DIGEST],
        nonce: &[u8],
        attributes: u8,
        given: &[u8],
    ) -> bool {
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
            self.session.proven.set(!self.session.key.is_empty());
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
