//! Commands and responses: headers, authorization areas.

mod authorization;
pub(crate) mod connection;
pub(crate) mod crypto;
pub(crate) mod exception;
pub(crate) mod policy;
mod response;
pub(crate) mod session;

use std::{borrow::Cow, marker::PhantomData};

use tpm_wire::Put;
use zeroize::Zeroizing;

pub(crate) use self::response::Response;
use self::{
    authorization::Authorization,
    crypto::{DIGEST, command_hash},
    session::{Salted, Unsalted, Use},
};
pub(crate) use crate::structures::command_code::CommandCode;
use crate::{Entity, Error, Name, Result, structures::hierarchy::permanent};

/// `TPM_ST_NO_SESSIONS` and `TPM_ST_SESSIONS`: the tags of commands and responses.
pub(crate) const NO_SESSIONS: u16 = 0x8001;
pub(crate) const SESSIONS: u16 = 0x8002;

/// One authorization of a command.
enum Auth<'a> {
    /// An empty authorization value, which needs no session to hide it.
    Empty,
    /// By a session.
    Session(Authorization<'a>),
}

/// The kind of a [`Command`] whose reply comes in a salted session.
pub(crate) struct Authentic;

/// The kind of a [`Command`] that has no salted session yet.
pub(crate) struct Open;

/// A command. Its parts are added in the order in which the specification lists them.
///
/// It begins [`Open`] and becomes [`Authentic`] with its first salted session.
pub(crate) struct Command<'a, A = Open> {
    code: CommandCode,
    handles: Vec<(u32, Name)>,
    auths: Vec<Auth<'a>>,
    /// Wiped when dropped, because it can contain a new object's secret.
    params: Zeroizing<Vec<u8>>,
    /// The parameters as they will be sent, after [`Command::cp_hash`] fixed them; the first one
    /// may be encrypted.
    fixed: Option<Vec<u8>>,
    entity: Entity,
    patience: u32,
    /// What this program does while the chip runs the command.
    meanwhile: &'a dyn Fn(),
    kind: PhantomData<A>,
}

/// How many times the usual deadline the making of an RSA key may take: 300 s with the default of
/// 30 s. The longest of 80,000 measured ones took 253 s (an ST33, 3072 bits).
const RSA_PATIENCE: u32 = 10;

impl<'a> Command<'a, Open> {
    /// A command without handles or parameters.
    pub(crate) fn new(code: CommandCode) -> Self {
        Self {
            code,
            handles: Vec::new(),
            auths: Vec::new(),
            // A vector that grows leaves a copy of a secret behind. No secret is this long.
            params: Zeroizing::new(Vec::with_capacity(512)),
            fixed: None,
            entity: Entity::Other,
            patience: 1,
            meanwhile: &|| {},
            kind: PhantomData,
        }
    }
}

impl<'a, A> Command<'a, A> {
    /// States that the command makes an RSA key, which takes a chip up to some minutes.
    pub(crate) fn makes_rsa(mut self, does: bool) -> Self {
        self.patience = if does { RSA_PATIENCE } else { 1 };
        self
    }

    /// How many times the usual deadline the command may take.
    pub(crate) fn patience(&self) -> u32 {
        self.patience
    }

    /// Has this program do `work` while the chip runs the command. The command may be sent more
    /// than once, and `work` is done each time.
    pub(crate) fn meanwhile(mut self, work: &'a dyn Fn()) -> Self {
        self.meanwhile = work;
        self
    }

    /// Does the work of the meantime.
    pub(crate) fn work(&self) {
        (self.meanwhile)();
    }

    /// States which entity the command uses or authorizes, for errors.
    pub(crate) fn about(mut self, entity: impl Into<Entity>) -> Self {
        self.entity = entity.into();
        self
    }

    /// Adds a handle of an object or index with a Name.
    pub(crate) fn handle(mut self, handle: u32, name: &Name) -> Self {
        self.handles.push((handle, name.clone()));
        self
    }

    /// Adds a handle whose Name is the handle itself: a hierarchy, a session.
    pub(crate) fn permanent(self, handle: u32) -> Self {
        let name = Name::of_handle(handle);
        self.handle(handle, &name)
    }

    /// Authorizes the next handle with the empty value.
    pub(crate) fn empty_auth(mut self) -> Self {
        self.auths.push(Auth::Empty);
        self
    }

    /// Authorizes the next handle by a salted session, or adds one that authenticates the
    /// reply and may encrypt.
    pub(crate) fn session(mut self, session: Use<'a, Salted>) -> Command<'a, Authentic> {
        self.auths.push(Auth::Session(session.authorization()));
        Command {
            code: self.code,
            handles: self.handles,
            auths: self.auths,
            params: self.params,
            fixed: self.fixed,
            entity: self.entity,
            patience: self.patience,
            meanwhile: self.meanwhile,
            kind: PhantomData,
        }
    }

    /// Authorizes the next handle by a policy session without a key.
    pub(crate) fn unsalted(mut self, session: Use<'a, Unsalted>) -> Self {
        self.auths.push(Auth::Session(session.authorization()));
        self
    }

    /// Adds an 8-bit parameter.
    pub(crate) fn param_u8(mut self, value: u8) -> Self {
        self.params.push(value);
        self
    }

    /// Adds a 16-bit parameter.
    pub(crate) fn param_u16(mut self, value: u16) -> Self {
        self.params.put_u16(value);
        self
    }

    /// Adds a 32-bit parameter.
    pub(crate) fn param_u32(mut self, value: u32) -> Self {
        self.params.put_u32(value);
        self
    }

    /// Adds a `TPM2B_*` parameter.
    pub(crate) fn param_sized(mut self, bytes: &[u8]) -> Self {
        self.params.put_sized(bytes);
        self
    }

    /// Adds a parameter that is already in wire form.
    pub(crate) fn param_raw(mut self, bytes: &[u8]) -> Self {
        self.params.extend_from_slice(bytes);
        self
    }

    pub(crate) fn code(&self) -> CommandCode {
        self.code
    }

    pub(crate) fn entity(&self) -> Entity {
        self.entity
    }

    /// Whether it uses a loaded object or a session, which belong to one connection.
    pub(crate) fn uses_connection(&self) -> bool {
        let is_loaded = |&(handle, _): &(u32, Name)| matches!(handle >> 24, 0x02 | 0x03 | 0x80);
        self.handles.iter().any(is_loaded) || self.uses().next().is_some()
    }

    /// The parameters in wire form.
    pub(crate) fn params(&self) -> &[u8] {
        &self.params
    }

    /// The sessions that authorize it, encrypt its parameters or authenticate its reply.
    pub(crate) fn uses(&self) -> impl Iterator<Item = &Authorization<'a>> {
        self.auths.iter().filter_map(|auth| match auth {
            Auth::Session(session) => Some(session),
            Auth::Empty => None,
        })
    }

    /// Whether authorization `number`, counted from 1, proves only the session key. If the chip
    /// refuses it, then the chip does not know that key.
    pub(crate) fn is_plain_session(&self, number: usize) -> bool {
        let auth = number
            .checked_sub(1)
            .and_then(|index| self.auths.get(index));
        matches!(auth, Some(Auth::Session(session)) if session.is_plain())
    }

    /// Fixes the parameters as they will be sent, and returns the hash by which `TPM2_PolicySecret`
    /// limits an authorization to this command.
    ///
    /// A session that encrypts the parameters must not be used before the command is sent.
    ///
    /// # Source
    ///
    /// Part 1, section 18.7 "Command Parameter Hash (cpHash)".
    pub(crate) fn cp_hash(&mut self) -> Result<[u8; DIGEST]> {
        let mut params = self.params.to_vec();
        if let Some(session) = self.uses().find(|session| session.decrypts()) {
            session.check_order()?;
            session.renew();
            session.encrypt_first(&mut params)?;
        }
        let hash = self.hash(&params);
        self.fixed = Some(params);
        Ok(hash)
    }

    /// The whole command as it goes over the bus.
    ///
    /// # Errors
    ///
    /// [`Error::Unproven`] if a secret would go out too early.
    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        let is_fixed = self.fixed.is_some();
        for session in self.uses() {
            session.check_order()?;
            if !(is_fixed && session.decrypts()) {
                session.renew();
            }
        }
        let params = match &self.fixed {
            Some(fixed) => Cow::Borrowed(&fixed[..]),
            None => {
                let mut params = Cow::Borrowed(&self.params[..]);
                if let Some(session) = self.uses().find(|session| session.decrypts()) {
                    session.encrypt_first(params.to_mut())?;
                }
                params
            }
        };
        let mut command = Vec::with_capacity(params.len() + 256);
        command.put_u16(if self.auths.is_empty() {
            NO_SESSIONS
        } else {
            SESSIONS
        });
        command.put_u32(0);
        command.put_u32(self.code.value());
        for (handle, _) in &self.handles {
            command.put_u32(*handle);
        }
        if !self.auths.is_empty() {
            let area = self.auth_area(&params);
            command.put_u32(length(&area)?);
            command.extend_from_slice(&area);
        }
        command.extend_from_slice(&params);
        let len = length(&command)?;
        command[2..6].copy_from_slice(&len.to_be_bytes());
        Ok(command)
    }

    /// The hash of the command with these parameters.
    fn hash(&self, params: &[u8]) -> [u8; DIGEST] {
        let names = self.handles.iter().map(|(_, name)| name);
        command_hash(self.code.value(), names, params)
    }

    /// The authorizations, one after the other, of the command with these parameters.
    fn auth_area(&self, params: &[u8]) -> Vec<u8> {
        let hash = self.hash(params);
        let mut area = Vec::with_capacity(256);
        for (index, auth) in self.auths.iter().enumerate() {
            match auth {
                Auth::Empty => put_auth(&mut area, permanent::PASSWORD, &[], 1, &[]),
                Auth::Session(session) => {
                    let others = if index == 0 {
                        self.other_nonces()
                    } else {
                        Vec::new()
                    };
                    let hmac = session.command_hmac(&hash, &others);
                    let nonce = session.nonce_caller();
                    put_auth(
                        &mut area,
                        session.handle(),
                        &nonce,
                        session.attributes(),
                        &hmac,
                    );
                }
            }
        }
        area
    }

    /// The chip's nonces of the sessions that encrypt a parameter, except of the first session,
    /// whose HMAC covers them. The nonce of the decrypt session comes before that of the encrypt
    /// session (Part 1, section 19.6.5).
    fn other_nonces(&self) -> Vec<u8> {
        let others = || self.uses().skip(1);
        let decrypting = others().find(|session| session.decrypts());
        let encrypting = others().find(|session| session.encrypts());
        let mut nonces = Vec::new();
        if let Some(session) = decrypting {
            nonces.extend_from_slice(&session.nonce_tpm());
        }
        if let Some(session) = encrypting
            && decrypting.is_none_or(|other| other.handle() != session.handle())
        {
            nonces.extend_from_slice(&session.nonce_tpm());
        }
        nonces
    }
}

/// The number of bytes, as a 32-bit length field.
fn length(bytes: &[u8]) -> Result<u32> {
    u32::try_from(bytes.len()).map_err(|_| Error::Malformed("command"))
}

fn put_auth(area: &mut Vec<u8>, handle: u32, nonce: &[u8], attributes: u8, hmac: &[u8]) {
    area.put_u32(handle);
    area.put_sized(nonce);
    area.push(attributes);
    area.put_sized(hmac);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_laid_out_as_the_specification_shows() {
        let command = Command::new(CommandCode::FlushContext).param_u32(0x8000_0001);
        let bytes = command.encode().unwrap();
        assert_eq!(bytes, [0x80, 1, 0, 0, 0, 14, 0, 0, 1, 0x65, 0x80, 0, 0, 1]);
        let command = Command::new(CommandCode::Sign).permanent(7).empty_auth();
        let bytes = command.encode().unwrap();
        let area = [0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 1, 0, 0];
        assert_eq!(bytes[..2], [0x80, 2]);
        assert_eq!(bytes[14..], area);
    }
}
