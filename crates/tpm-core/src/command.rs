//! Commands and responses: headers, authorization areas, retries.

use std::{thread, time::Duration};

use tss_esapi::constants::tss as cc;

use crate::{
    Error, Name, Result,
    error::{ResponseCode, rc},
    session::Use,
    session_crypto::{command_hash, response_hash},
    transport::{Deadline, Transport},
    wire::{Put, Reader},
};

const NO_SESSIONS: u16 = 0x8001;
const SESSIONS: u16 = 0x8002;
/// `TPM_RS_PW`: an authorization value in the clear; used here only for empty ones.
const PASSWORD: u32 = 0x4000_0009;

macro_rules! codes {
    ($($variant:ident = $value:ident, $name:literal;)+) => {
        /// The commands that this crate sends.
        ///
        /// # Source
        ///
        /// Part 2, section 6.5.2 "TPM_CC Listing".
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Code {
            $($variant,)+
        }

        impl Code {
            /// The command code.
            pub(crate) const fn value(self) -> u32 {
                match self {
                    $(Self::$variant => cc::$value,)+
                }
            }

            /// The name that the specification gives it.
            pub(crate) const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

codes! {
    Clear = TPM2_CC_Clear, "TPM2_Clear";
    ContextLoad = TPM2_CC_ContextLoad, "TPM2_ContextLoad";
    ContextSave = TPM2_CC_ContextSave, "TPM2_ContextSave";
    Create = TPM2_CC_Create, "TPM2_Create";
    CreatePrimary = TPM2_CC_CreatePrimary, "TPM2_CreatePrimary";
    DictionaryAttackLockReset = TPM2_CC_DictionaryAttackLockReset, "TPM2_DictionaryAttackLockReset";
    DictionaryAttackParameters = TPM2_CC_DictionaryAttackParameters, "TPM2_DictionaryAttackParameters";
    EcdhZGen = TPM2_CC_ECDH_ZGen, "TPM2_ECDH_ZGen";
    EvictControl = TPM2_CC_EvictControl, "TPM2_EvictControl";
    FlushContext = TPM2_CC_FlushContext, "TPM2_FlushContext";
    GetCapability = TPM2_CC_GetCapability, "TPM2_GetCapability";
    GetRandom = TPM2_CC_GetRandom, "TPM2_GetRandom";
    GetTestResult = TPM2_CC_GetTestResult, "TPM2_GetTestResult";
    HierarchyChangeAuth = TPM2_CC_HierarchyChangeAuth, "TPM2_HierarchyChangeAuth";
    IncrementalSelfTest = TPM2_CC_IncrementalSelfTest, "TPM2_IncrementalSelfTest";
    Load = TPM2_CC_Load, "TPM2_Load";
    NvChangeAuth = TPM2_CC_NV_ChangeAuth, "TPM2_NV_ChangeAuth";
    NvDefineSpace = TPM2_CC_NV_DefineSpace, "TPM2_NV_DefineSpace";
    NvRead = TPM2_CC_NV_Read, "TPM2_NV_Read";
    NvReadPublic = TPM2_CC_NV_ReadPublic, "TPM2_NV_ReadPublic";
    NvUndefineSpace = TPM2_CC_NV_UndefineSpace, "TPM2_NV_UndefineSpace";
    NvWrite = TPM2_CC_NV_Write, "TPM2_NV_Write";
    ObjectChangeAuth = TPM2_CC_ObjectChangeAuth, "TPM2_ObjectChangeAuth";
    PolicyAuthValue = TPM2_CC_PolicyAuthValue, "TPM2_PolicyAuthValue";
    PolicyCommandCode = TPM2_CC_PolicyCommandCode, "TPM2_PolicyCommandCode";
    PolicyOr = TPM2_CC_PolicyOR, "TPM2_PolicyOR";
    PolicySecret = TPM2_CC_PolicySecret, "TPM2_PolicySecret";
    ReadPublic = TPM2_CC_ReadPublic, "TPM2_ReadPublic";
    RsaDecrypt = TPM2_CC_RSA_Decrypt, "TPM2_RSA_Decrypt";
    SelfTest = TPM2_CC_SelfTest, "TPM2_SelfTest";
    Sign = TPM2_CC_Sign, "TPM2_Sign";
    TestParms = TPM2_CC_TestParms, "TPM2_TestParms";
    StartAuthSession = TPM2_CC_StartAuthSession, "TPM2_StartAuthSession";
}

impl Code {
    /// Whether a handle stands before the parameters of the response.
    const fn returns_handle(self) -> bool {
        matches!(
            self,
            Self::ContextLoad | Self::CreatePrimary | Self::Load | Self::StartAuthSession
        )
    }
}

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
    params: Vec<u8>,
    object: &'static str,
}

impl<'a> Command<'a> {
    /// A command without handles or parameters.
    pub(crate) fn new(code: Code) -> Self {
        Self {
            code,
            handles: Vec::new(),
            auths: Vec::new(),
            params: Vec::new(),
            object: "object",
        }
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

    fn uses(&self) -> impl Iterator<Item = &Use<'a>> {
        self.auths.iter().filter_map(|auth| match auth {
            Auth::Session(session) => Some(session),
            Auth::Empty => None,
        })
    }

    /// The whole command as it goes over the bus.
    fn encode(&mut self) -> Result<Vec<u8>> {
        self.uses().for_each(Use::renew);
        let mut params = std::mem::take(&mut self.params);
        if let Some(session) = self.uses().find(|session| session.decrypts()) {
            session.encrypt_first(&mut params)?;
        }
        let names = self.handles.iter().map(|(_, name)| name);
        let hash = command_hash(self.code.value(), names, &params);
        let mut body = Vec::new();
        for (handle, _) in &self.handles {
            body.put_u32(*handle);
        }
        if !self.auths.is_empty() {
            let mut area = Vec::new();
            for (index, auth) in self.auths.iter().enumerate() {
                match auth {
                    Auth::Empty => put_auth(&mut area, PASSWORD, &[], 1, &[]),
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
            body.put_u32(
                area.len()
                    .try_into()
                    .map_err(|_| Error::Malformed("command"))?,
            );
            body.extend_from_slice(&area);
        }
        body.extend_from_slice(&params);
        self.params = params;
        let mut command = Vec::with_capacity(body.len() + 10);
        command.put_u16(if self.auths.is_empty() {
            NO_SESSIONS
        } else {
            SESSIONS
        });
        command.put_u32(
            (body.len() + 10)
                .try_into()
                .map_err(|_| Error::Malformed("command"))?,
        );
        command.put_u32(self.code.value());
        command.extend_from_slice(&body);
        Ok(command)
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
    fn decode(&self, response: &[u8]) -> Result<Response> {
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
                    params: reader.remainder().to_vec(),
                });
            }
            return Err(Error::ReplyForged {
                command: self.code.name(),
            });
        }
        let size = reader.u32()?;
        let mut params = reader.take(size as usize)?.to_vec();
        let hash = response_hash(self.code.value(), &params);
        for auth in &self.auths {
            let nonce = reader.sized()?;
            let attributes = reader.u8()?;
            let hmac = reader.sized()?;
            if let Auth::Session(session) = auth
                && !session.accept(&hash, nonce, attributes, hmac)
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
    params: Vec<u8>,
}

impl Response {
    /// Reads the parameters.
    pub(crate) fn reader(&self) -> Reader<'_> {
        Reader::new(&self.params, "response")
    }
}

/// A connection, and the slots that it occupies in a bare chip.
pub(crate) struct Wire {
    transport: Box<dyn Transport>,
    wait: Duration,
    owned: Vec<u32>,
}

impl Wire {
    /// Wraps a new connection; each command on it may take `wait`.
    pub(crate) fn new(transport: Box<dyn Transport>, wait: Duration) -> Self {
        Self {
            transport,
            wait,
            owned: Vec::new(),
        }
    }

    /// Runs `command`.
    ///
    /// Where the chip is full and `bare` says that nobody else uses it, what a crashed
    /// predecessor left in it is flushed first.
    pub(crate) fn run(&mut self, mut command: Command<'_>, bare: bool) -> Result<Response> {
        match self.run_once(&mut command) {
            Err(Error::Full) if bare && self.flush_strays()? > 0 => self.run_once(&mut command),
            result => result,
        }
    }

    fn run_once(&mut self, command: &mut Command<'_>) -> Result<Response> {
        let plain = command.params.clone();
        let bytes = command.encode()?;
        let result = self.exchange(command, &bytes);
        // A parameter may have been encrypted in place: a second try starts from the original.
        command.params = plain;
        result
    }

    fn exchange(&mut self, command: &Command<'_>, bytes: &[u8]) -> Result<Response> {
        let deadline = Deadline::after(self.wait);
        let mut pause = Duration::from_millis(1);
        loop {
            let response = self.transport.transact(bytes, deadline)?;
            let code = response_code(&response)?;
            match code {
                0 => {
                    let response = command.decode(&response)?;
                    self.track(command, &response);
                    return Ok(response);
                }
                // The chip did not look at the command yet; nonces are unchanged.
                rc::RETRY | rc::YIELDED | rc::TESTING | rc::NV_RATE => {
                    let left = deadline.left().map_err(|_| Error::Command {
                        command: command.code.name(),
                        rc: ResponseCode(code),
                    })?;
                    thread::sleep(pause.min(left));
                    pause = (pause * 2).min(Duration::from_millis(250));
                }
                code => return Err(Error::from_rc(command.code.name(), command.object, code)),
            }
        }
    }

    /// Remembers which slots are this connection's own.
    fn track(&mut self, command: &Command<'_>, response: &Response) {
        if command.code.returns_handle() {
            self.owned.push(response.handle);
        } else if command.code == Code::FlushContext {
            let gone = Reader::new(&command.params, "handle")
                .u32()
                .unwrap_or_default();
            self.owned.retain(|&handle| handle != gone);
        }
        for session in command.uses().filter(|session| session.has_ended()) {
            self.owned.retain(|&handle| handle != session.handle());
        }
    }

    /// Frees the slots that nobody on this connection occupies, and says how many.
    fn flush_strays(&mut self) -> Result<usize> {
        let mut flushed = 0;
        // TPM_CAP_HANDLES: loaded sessions, transient objects.
        for first in [0x0200_0000, 0x8000_0000] {
            let mut ask = Command::new(Code::GetCapability)
                .param_u32(1)
                .param_u32(first)
                .param_u32(64);
            let response = self.run_once(&mut ask)?;
            let mut reader = response.reader();
            reader.take(5)?;
            for _ in 0..reader.u32()? {
                let handle = reader.u32()?;
                if !self.owned.contains(&handle) {
                    let mut flush = Command::new(Code::FlushContext).param_u32(handle);
                    self.run_once(&mut flush)?;
                    flushed += 1;
                }
            }
        }
        log::info!("flushed {flushed} objects that a crashed program left in the TPM");
        Ok(flushed)
    }
}

fn response_code(response: &[u8]) -> Result<u32> {
    let mut reader = Reader::new(response, "response header");
    let tag = reader.u16()?;
    reader.u32()?;
    // 0x00c4 is the tag of an error from a TPM 1.2 (`TPM_TAG_RSP_COMMAND`).
    match tag {
        NO_SESSIONS | SESSIONS => reader.u32(),
        0x00c4 => Err(Error::NotSupported("TPM 2.0 commands (it is a TPM 1.2)")),
        _ => Err(Error::Malformed("response tag")),
    }
}
