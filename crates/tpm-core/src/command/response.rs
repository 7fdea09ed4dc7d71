//! Responses: checked, and taken apart.

use tpm_wire::Reader;
use zeroize::Zeroizing;

use super::{Auth, Command, NO_SESSIONS, crypto::response_hash};
use crate::{Error, Result};

impl<A> Command<'_, A> {
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
            return Err(Error::ReplyForged { command: self.code });
        }
        let size = reader.u32()?;
        let mut params = Zeroizing::new(reader.take(size as usize)?.to_vec());
        let hash = response_hash(self.code.value(), &params);
        for auth in &self.auths {
            let nonce = reader.sized()?;
            let attributes = reader.u8()?;
            let hmac = reader.sized()?;
            if let Auth::Session(session) = auth
                && !session.accept(&hash, nonce, attributes, hmac)
            {
                return Err(Error::ReplyForged { command: self.code });
            }
        }
        reader.finish()?;
        if let Some(session) = self.uses().find(|session| session.encrypts()) {
            session.decrypt_first(&mut params)?;
        }
        Ok(Response { handle, params })
    }
}

/// The chip's answer to a successful command.
#[derive(Debug)]
pub(crate) struct Response {
    /// The handle, or 0 if the command returns none. No HMAC covers it. A later command's HMAC
    /// covers the Name of the object at the handle, so a wrong handle makes that command fail.
    pub(crate) handle: u32,
    /// Wiped when dropped, because it can be an unsealed secret.
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

    use testing::assert_matches;

    use super::{
        super::{CommandCode, SESSIONS},
        *,
    };

    #[test]
    fn a_reply_without_its_authorization_is_refused() {
        let command = Command::new(CommandCode::Sign).permanent(7).empty_auth();
        let reply = [0x80, 1, 0, 0, 0, 10, 0, 0, 0, 0];
        assert_matches!(command.decode(&reply), Err(Error::ReplyForged { .. }));
    }

    proptest! {
        /// Any bytes that a rogue TPM sends give an error or a response, and no panic.
        #[test]
        fn any_reply_is_decoded_or_refused(
            tag in prop_oneof![Just(NO_SESSIONS), Just(SESSIONS), any::<u16>()],
            rest in proptest::collection::vec(any::<u8>(), 0..80),
        ) {
            let mut reply = tag.to_be_bytes().to_vec();
            reply.extend_from_slice(&rest);
            for code in [CommandCode::Sign, CommandCode::Load, CommandCode::GetRandom] {
                let _ = Command::new(code).decode(&reply);
                let _ = Command::new(code).permanent(7).empty_auth().decode(&reply);
            }
        }
    }
}
