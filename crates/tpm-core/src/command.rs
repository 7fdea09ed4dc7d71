//! Commands and responses: headers, authorization areas.

pub(crate) mod connection;
pub(crate) mod crypto;
pub(crate) mod policy;
pub(crate) mod session;

use std::borrow::Cow;

use zeroize::Zeroizing;

use crate::{
    Error, Name, Result,
    command::{
        crypto::{command_hash, response_hash},
        session::Use,
    },
    structures::{
        hierarchy::permanent,
        marshal::{Put, Reader},
    },
};

pub(crate) use crate::structures::command_code::Code;

/// `TPM_ST_NO_SESSIONS` and `TPM_ST_SESSIONS`: the tags of commands and responses.
pub(crate) const NO_SESSIONS: u16 = 0x8001;
pub(crate) const SESSIONS: u16 = 0x8002;

/// One authorization of a command.
enum Auth<'a> {
    /// An empty authorization value, which needs no session to hide it.
    Empty,
    /// By a session.
    Session(Use<'a>),
}

/// A command to be sent, in the order in which the specification lists its parts.
pub(crate) struct Command<'a> {
    code: Code,
    handles: Vec<(u32, Name)>,
    auths: Vec<Auth<'a>>,
    /// Wiped when dropped: a new object's secret is in it.
    params: Zeroizing<Vec<u8>>,
    object: &'static str,
    patience: u32,
}

/// How many times the usual deadline an RSA key may take to be made. With the usual 30 s that
/// is 300: the longest of 80,000 measured ones took 253 s (an ST33, 3072 bits).
const RSA_PATIENCE: u32 = 10;

impl<'a> Command<'a> {
    /// A command without handles or parameters.
    pub(crate) fn new(code: Code) -> Self {
        Self {
            code,
            handles: Vec::new(),
            auths: Vec::new(),
            // Growing leaves a copy behind; no secret is this long.
            params: Zeroizing::new(Vec::with_capacity(512)),
            object: "object",
            patience: 1,
        }
    }

    /// Says that an RSA key is made, for which chips take up to minutes.
    pub(crate) fn makes_rsa(mut self, does: bool) -> Self {
        self.patience = if does { RSA_PATIENCE } else { 1 };
        self
    }

    /// How many times the usual deadline it may take.
    pub(crate) fn patience(&self) -> u32 {
        self.patience
    }

    /// Says in words what is used or authorized, for errors.
    pub(crate) fn about(mut self, object: &'static str) -> Self {
        self.object = object;
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

    /// Authorizes the next handle by a session, or adds one that only encrypts.
    pub(crate) fn session(mut self, session: Use<'a>) -> Self {
        self.auths.push(Auth::Session(session));
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

    pub(crate) fn code(&self) -> Code {
        self.code
    }

    pub(crate) fn object(&self) -> &'static str {
        self.object
    }

    /// The parameters in wire form.
    pub(crate) fn params(&self) -> &[u8] {
        &self.params
    }

    /// The sessions that authorize it or encrypt its parameters.
    pub(crate) fn uses(&self) -> impl Iterator<Item = &Use<'a>> {
        self.auths.iter().filter_map(|auth| match auth {
            Auth::Session(session) => Some(session),
            Auth::Empty => None,
        })
    }

    /// The whole command as it goes over the bus.
    pub(crate) fn encode(&self) -> Result<Vec<u8>> {
        self.uses().for_each(Use::renew);
        let mut params = Cow::Borrowed(&self.params[..]);
        if let Some(session) = self.uses().find(|session| session.decrypts()) {
            session.encrypt_first(params.to_mut())?;
        }
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

    /// The authorizations, one after the other, of the command with these parameters.
    fn auth_area(&self, params: &[u8]) -> Vec<u8> {
        let hash = self.uses().next().map(|_| {
            let names = self.handles.iter().map(|(_, name)| name);
            command_hash(self.code.value(), names, params)
        });
        let mut area = Vec::with_capacity(128);
        for (index, auth) in self.auths.iter().enumerate() {
            match auth {
                Auth::Empty => put_auth(&mut area, permanent::PASSWORD, &[], 1, &[]),
                Auth::Session(session) => {
                    let others = if index == 0 {
                        self.other_nonces()
                    } else {
                        Vec::new()
                    };
                    let hmac = session.command_hmac(&hash.unwrap_or_default(), &others);
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

    /// The TPM's nonces of sessions other than the first that encrypt a parameter: the first
    /// session's HMAC covers them (Part 1, section 19.6.5).
    fn other_nonces(&self) -> Vec<u8> {
        let mut nonces = Vec::new();
        for session in self.uses().skip(1).filter(|s| s.decrypts() || s.encrypts()) {
            nonces.extend_from_slice(&session.nonce_tpm());
        }
        nonces
    }

    /// Checks a successful response and takes it apart.
    pub(crate) fn decode(&self, response: &[u8]) -> Result<Response> {
        let mut reader = Reader::new(response, "response");
        let tag = reader.u16()?;
        reader.take(8)?;
        let handle = if self.code.returns_handle() {
            reader.u32()?
        } else {
            0
        };
        if tag == NO_SESSIONS {
            if self.auths.is_empty() {
                return Ok(Response {
                    handle,
                    params: Zeroizing::new(reader.remainder().to_vec()),
                });
            }
            return Err(Error::ReplyForged {
                command: self.code.name(),
            });
        }
        let size = reader.u32()?;
        let mut params = Zeroizing::new(reader.take(size as usize)?.to_vec());
        let hash = self
            .uses()
            .next()
            .map(|_| response_hash(self.code.value(), &params));
        for auth in &self.auths {
            let nonce = reader.sized()?;
            let attributes = reader.u8()?;
            let hmac = reader.sized()?;
            if let Auth::Session(session) = auth
                && !session.accept(&hash.unwrap_or_default(), nonce, attributes, hmac)
            {
                return Err(Error::ReplyForged {
                    command: self.code.name(),
                });
            }
        }
        reader.finish()?;
        if let Some(session) = self.uses().find(|session| session.encrypts()) {
            session.decrypt_first(&mut params)?;
        }
        Ok(Response { handle, params })
    }
}

/// How many bytes there are, as a command has it.
fn length(bytes: &[u8]) -> Result<u32> {
    u32::try_from(bytes.len()).map_err(|_| Error::Malformed("command"))
}

fn put_auth(area: &mut Vec<u8>, handle: u32, nonce: &[u8], attributes: u8, hmac: &[u8]) {
    area.put_u32(handle);
    area.put_sized(nonce);
    area.push(attributes);
    area.put_sized(hmac);
}

/// What the chip answered to a successful command.
#[derive(Debug)]
pub(crate) struct Response {
    /// The handle, or 0 where the command returns none.
    pub(crate) handle: u32,
    /// Wiped when dropped: it may be an unsealed secret.
    params: Zeroizing<Vec<u8>>,
}

impl Response {
    /// Reads the parameters.
    pub(crate) fn reader(&self) -> Reader<'_> {
        Reader::new(&self.params, "response")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_command_is_laid_out_as_the_specification_shows() {
        let command = Command::new(Code::FlushContext).param_u32(0x8000_0001);
        let bytes = command.encode().unwrap();
        assert_eq!(bytes, [0x80, 1, 0, 0, 0, 14, 0, 0, 1, 0x65, 0x80, 0, 0, 1]);
        let command = Command::new(Code::Sign).permanent(7).empty_auth();
        let bytes = command.encode().unwrap();
        let area = [0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 1, 0, 0];
        assert_eq!(bytes[..2], [0x80, 2]);
        assert_eq!(bytes[14..], area);
    }

    #[test]
    fn a_reply_without_its_authorization_is_refused() {
        let command = Command::new(Code::Sign).permanent(7).empty_auth();
        let reply = [0x80, 1, 0, 0, 0, 10, 0, 0, 0, 0];
        assert!(matches!(
            command.decode(&reply),
            Err(Error::ReplyForged { .. })
        ));
    }

    proptest! {
        /// Whatever a rogue TPM answers is an error or a response, and never a panic.
        #[test]
        fn any_reply_is_decoded_or_refused(
            tag in prop_oneof![Just(NO_SESSIONS), Just(SESSIONS), any::<u16>()],
            rest in proptest::collection::vec(any::<u8>(), 0..80),
        ) {
            let mut reply = tag.to_be_bytes().to_vec();
            reply.extend_from_slice(&rest);
            for code in [Code::Sign, Code::Load, Code::GetRandom] {
                let _ = Command::new(code).decode(&reply);
                let _ = Command::new(code).permanent(7).empty_auth().decode(&reply);
            }
        }
    }
}
