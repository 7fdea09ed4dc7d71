//! Parsed commands and responses.

mod parse;

use super::{
    field::{Content, Field},
    layout,
    reader::Reader,
};

/// `TPM_ST_NO_SESSIONS` and `TPM_ST_SESSIONS`.
const NO_SESSIONS: u16 = 0x8001;
const SESSIONS: u16 = 0x8002;
/// `TPM_RS_PW`: a password in place of a session.
const PASSWORD: u32 = 0x4000_0009;
/// The attributes of a session that decrypts the first parameter of the command, and that encrypts
/// the first parameter of the response (part 2, section 8.4).
const DECRYPT: u8 = 0x20;
const ENCRYPT: u8 = 0x40;

/// A command, or the response to one, as fields.
///
/// [`Message::bytes`] encodes it again and computes all lengths. A field is addressed by its name
/// in the specification: `parentHandle`, `outPublic`, and with dots inside of structures:
/// `outPublic.unique.x`, `pHashList.2`. The authorizations are `session1` to `session3`, with the
/// fields `handle` (only in commands), `nonce`, `attributes` and `hmac`. A parameter that a session
/// encrypts is one buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    tag: u16,
    code: u32,
    /// The code of the command that this is, or answers.
    command: u32,
    is_reply: bool,
    pub(super) handles: Vec<Field>,
    pub(super) parameters: Vec<Field>,
    pub(super) sessions: Vec<Field>,
    /// The rest that cannot be parsed; `None` if there is none.
    rest: Option<Vec<u8>>,
}

impl Message {
    /// A command without handles and parameters; add them with [`with_handle`](Self::with_handle)
    /// and so on.
    ///
    /// # Panics
    ///
    /// If the code is of no command in [`cc`](super::cc).
    #[must_use]
    pub fn command(code: u32) -> Self {
        assert!(layout::of(code).is_some(), "command {code:#x} is not known");
        Self::empty(NO_SESSIONS, code, code, false)
    }

    /// Adds the next handle.
    ///
    /// # Panics
    ///
    /// If the command has no more handles.
    #[must_use]
    pub fn with_handle(mut self, handle: u32) -> Self {
        let names = layout::of(self.command).map_or(&[][..], |layout| layout.handles);
        let name = names[self.handles.len()];
        let bytes = handle.to_be_bytes().to_vec();
        self.handles.push(Field::new(name, Content::Number(bytes)));
        self
    }

    /// Authorizes with the password `auth`.
    #[must_use]
    pub fn with_password(self, auth: &[u8]) -> Self {
        self.with_session(PASSWORD, &[], 1, auth)
    }

    /// Authorizes with a session; `hmac` is empty in a policy session without a key.
    #[must_use]
    pub fn with_session(mut self, handle: u32, nonce: &[u8], attributes: u8, hmac: &[u8]) -> Self {
        self.tag = SESSIONS;
        let parts = vec![
            Field::new("handle", Content::Number(handle.to_be_bytes().to_vec())),
            Field::new("nonce", Content::Buffer(nonce.to_vec())),
            Field::new("attributes", Content::Flags(vec![attributes])),
            Field::new("hmac", Content::Buffer(hmac.to_vec())),
        ];
        let name = format!("session{}", self.sessions.len() + 1);
        self.sessions
            .push(Field::new(name, Content::Structure(parts)));
        self
    }

    /// Sets the parameters, given in their wire form.
    ///
    /// # Panics
    ///
    /// If they are not those of this command.
    #[must_use]
    pub fn with_parameters(mut self, bytes: &[u8]) -> Self {
        let layout = layout::of(self.command).expect("a command() has a layout");
        let mut reader = Reader(bytes);
        let parameters = reader.parts(layout.parameters);
        assert!(reader.0.is_empty(), "parameters of {}", layout.name);
        self.parameters = parameters.expect("the parameters of this command");
        self
    }

    /// A response without contents, with the response code `code`.
    #[must_use]
    pub fn refusal(command: u32, code: u32) -> Self {
        Self::empty(NO_SESSIONS, code, command, true)
    }

    fn empty(tag: u16, code: u32, command: u32, is_reply: bool) -> Self {
        Self {
            tag,
            code,
            command,
            is_reply,
            handles: Vec::new(),
            parameters: Vec::new(),
            sessions: Vec::new(),
            rest: None,
        }
    }

    /// Parses a command.
    ///
    /// # Panics
    ///
    /// If it is shorter than a header, or its length is not that in the header.
    #[must_use]
    pub fn parse_command(bytes: &[u8]) -> Self {
        let (tag, code, body) = parse::header(bytes);
        let understood = layout::of(code).and_then(|layout| parse::command(tag, layout, body));
        Self::checked(understood, Self::empty(tag, code, code, false), bytes)
    }

    /// Parses the response to `command`.
    ///
    /// # Panics
    ///
    /// As for [`Message::parse_command`].
    #[must_use]
    pub fn parse_reply(command: &Self, bytes: &[u8]) -> Self {
        let (tag, code, body) = parse::header(bytes);
        let empty = Self::empty(tag, code, command.code, true);
        let understood = match layout::of(command.code) {
            _ if code != 0 => body.is_empty().then(|| empty.clone()),
            Some(layout) => parse::reply(tag, layout, body, command.uses(ENCRYPT)),
            None => None,
        };
        Self::checked(understood, empty, bytes)
    }

    /// `understood`, if it is the whole of `bytes`; else `empty` with all of it as the rest.
    fn checked(understood: Option<Self>, empty: Self, bytes: &[u8]) -> Self {
        let whole = understood.filter(|message| message.bytes() == bytes);
        whole.unwrap_or(Self {
            rest: Some(bytes[10..].to_vec()),
            ..empty
        })
    }

    /// The wire form.
    ///
    /// # Panics
    ///
    /// If it is too long for a length field.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let all = |fields: &[Field]| {
            let mut bytes = Vec::new();
            fields.iter().for_each(|field| field.write(&mut bytes));
            bytes
        };
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("a short message");
        let mut body = all(&self.handles);
        let (parameters, sessions) = (all(&self.parameters), all(&self.sessions));
        match (self.tag == SESSIONS && self.rest.is_none(), self.is_reply) {
            (true, false) => {
                body.extend(length(&sessions).to_be_bytes());
                body.extend(sessions);
                body.extend(parameters);
            }
            (true, true) => {
                body.extend(length(&parameters).to_be_bytes());
                body.extend(parameters);
                body.extend(sessions);
            }
            (false, _) => body.extend(parameters),
        }
        body.extend(self.rest.iter().flatten());
        let mut bytes = self.tag.to_be_bytes().to_vec();
        bytes.extend((length(&body) + 10).to_be_bytes());
        bytes.extend(self.code.to_be_bytes());
        bytes.extend(body);
        bytes
    }

    /// The code: `TPM_CC_…` of a command, `TPM_RC_…` of a response.
    #[must_use]
    pub fn code(&self) -> u32 {
        self.code
    }

    /// Whether this is a response that reports success.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.is_reply && self.code == 0
    }

    /// The specification's name of the command that this is or answers.
    #[must_use]
    pub fn name(&self) -> &'static str {
        layout::of(self.command).map_or("an unknown command", |layout| layout.name)
    }

    /// Whether all its bytes could be parsed.
    #[must_use]
    pub fn is_understood(&self) -> bool {
        self.rest.is_none()
    }

    /// The authorizations.
    #[must_use]
    pub fn sessions(&self) -> &[Field] {
        &self.sessions
    }

    /// The handles.
    #[must_use]
    pub fn handles(&self) -> &[Field] {
        &self.handles
    }

    /// The parameters in their wire form, which HMACs cover.
    #[must_use]
    pub fn parameter_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.parameters
            .iter()
            .for_each(|field| field.write(&mut bytes));
        bytes
    }

    /// Removes the last authorization, if there is one.
    pub fn drop_session(&mut self) {
        self.sessions.pop();
        if self.sessions.is_empty() {
            self.tag = NO_SESSIONS;
        }
    }

    /// The paths of all fields, in the order of the bytes; a structure goes before its parts.
    #[must_use]
    pub fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        for area in self.areas() {
            Field::paths(area, "", &mut paths);
        }
        paths
    }

    /// The field at `path`.
    #[must_use]
    pub fn field(&self, path: &str) -> Option<&Field> {
        let areas = self.areas();
        areas.into_iter().find_map(|area| Field::find(area, path))
    }

    /// The same, to be changed.
    pub fn field_mut(&mut self, path: &str) -> Option<&mut Field> {
        let areas = [&mut self.handles, &mut self.sessions, &mut self.parameters];
        areas
            .into_iter()
            .find_map(|area| Field::find_mut(area, path))
    }

    /// The value of the field at `path`.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[must_use]
    pub fn get(&self, path: &str) -> Vec<u8> {
        self.expect(path).value()
    }

    /// The number in the field at `path`, of at most 32 bits.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[must_use]
    pub fn number(&self, path: &str) -> u32 {
        u32::try_from(self.expect(path).number()).expect("a number of 32 bits")
    }

    fn expect(&self, path: &str) -> &Field {
        let field = self.field(path);
        field.unwrap_or_else(|| panic!("no field {path} in {}", self.name()))
    }

    /// Sets the value of the field at `path`; see [`Field::set`].
    ///
    /// # Panics
    ///
    /// If there is no such field.
    pub fn set(&mut self, path: &str, value: &[u8]) {
        let name = self.name();
        let field = self.field_mut(path);
        field
            .unwrap_or_else(|| panic!("no field {path} in {name}"))
            .set(value);
    }

    fn areas(&self) -> [&[Field]; 3] {
        [&self.handles, &self.sessions, &self.parameters]
    }

    /// Whether a session of this command has one of these attributes.
    fn uses(&self, attributes: u8) -> bool {
        self.sessions.iter().any(|session| {
            let flags = Field::find(session.parts(), "attributes").map(Field::value);
            flags.is_some_and(|flags| flags[0] & attributes != 0)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::interposer::{Change, cc};

    /// Sign with a password; ECDSA over 4 bytes.
    const SIGN: &[u8] = b"\x80\x02\0\0\0\x2f\0\0\x01\x5d\x80\xff\xff\xff\
        \0\0\0\x09\x40\0\0\x09\0\0\x01\0\0\
        \0\x04abcd\0\x18\0\x0b\x80\x24\x40\0\0\x07\0\0";

    fn with_length(mut bytes: Vec<u8>) -> Vec<u8> {
        let length = u32::try_from(bytes.len()).expect("short");
        bytes[2..6].copy_from_slice(&length.to_be_bytes());
        bytes
    }

    #[test]
    fn a_command_has_the_fields_that_the_specification_names() {
        let command = Message::parse_command(&with_length(SIGN.to_vec()));
        assert!(command.is_understood());
        assert_eq!((command.code(), command.name()), (cc::SIGN, "TPM2_Sign"));
        let leaves = command.paths();
        assert_eq!(
            leaves,
            [
                "keyHandle",
                "session1",
                "session1.handle",
                "session1.nonce",
                "session1.attributes",
                "session1.hmac",
                "digest",
                "inScheme",
                "inScheme.scheme",
                "inScheme.hashAlg",
                "validation",
                "validation.tag",
                "validation.hierarchy",
                "validation.digest",
            ]
        );
        assert_eq!(command.number("keyHandle"), 0x80ff_ffff);
        assert_eq!(command.get("digest"), b"abcd");
    }

    #[test]
    fn a_longer_value_makes_the_lengths_around_it_longer() {
        let mut command = Message::parse_command(&with_length(SIGN.to_vec()));
        command.set("session1.hmac", &[7; 32]);
        let bytes = command.bytes();
        assert_eq!(bytes.len(), SIGN.len() + 32);
        assert_eq!(
            bytes[2..6],
            u32::try_from(bytes.len()).expect("short").to_be_bytes()
        );
        assert_eq!(bytes[14..18], [0, 0, 0, 9 + 32]);
        assert_eq!(Message::parse_command(&bytes), command);
        command.drop_session();
        assert_eq!(command.bytes()[..2], [0x80, 1]);
        assert_eq!(command.bytes().len(), SIGN.len() - 13);
    }

    #[test]
    fn a_command_can_be_made_from_its_parts() {
        let made = Message::command(cc::SIGN)
            .with_handle(0x80ff_ffff)
            .with_password(&[])
            .with_parameters(&SIGN[27..]);
        assert_eq!(made.bytes(), with_length(SIGN.to_vec()));
    }

    #[test]
    fn every_change_makes_another_message_of_the_same_fields_or_fewer() {
        let command = Message::parse_command(&with_length(SIGN.to_vec()));
        let changes = Change::all(&command);
        for path in command.paths() {
            let is_leaf = command.field(&path).expect("listed").parts().is_empty();
            let changed = changes.iter().any(|change| change.path() == path);
            assert_eq!(is_leaf, changed, "{path}");
        }
        for change in changes {
            let mut changed = command.clone();
            assert!(change.apply(&mut changed), "{change}");
            assert_ne!(changed.bytes(), command.bytes(), "{change}");
        }
    }

    proptest! {
        /// Bytes that cannot be parsed are kept unchanged.
        #[test]
        fn any_bytes_come_back_as_they_were(
            code in prop_oneof![0x11f_u32..0x192, any::<u32>()],
            sessions: bool,
            body in proptest::collection::vec(prop_oneof![Just(0_u8), 0..4_u8, any::<u8>()], 0..80),
        ) {
            let mut bytes = vec![0x80, if sessions { 2 } else { 1 }, 0, 0, 0, 0];
            bytes.extend(code.to_be_bytes());
            bytes.extend(body);
            let bytes = with_length(bytes);
            let command = Message::parse_command(&bytes);
            prop_assert_eq!(command.bytes(), &bytes[..]);
            let mut reply = bytes.clone();
            reply[6..10].fill(0);
            let parsed = Message::parse_reply(&command, &reply);
            prop_assert_eq!(parsed.bytes(), reply);
        }
    }
}
