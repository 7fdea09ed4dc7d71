//! Authorization sessions: how a secret is proven to the chip without crossing the bus, and how
//! its replies are known to be its own.

use std::marker::PhantomData;

use zeroize::Zeroizing;

use crate::{
    AuthValue, Entity, Operation, Result,
    command::{
        Command, CommandCode,
        authorization::{Authorization, Kind, SessionState, fresh_nonce},
        crypto::{DIGEST, Salt, kdfa},
        exception::Exception,
    },
    structures::{algorithm, hierarchy::permanent},
};

/// AES, 128 bits, CFB: the `TPMT_SYM_DEF` of our sessions.
const AES_128_CFB: [u16; 3] = [algorithm::AES, 128, algorithm::CFB];

/// The kind of a [`Session`] whose key comes from a salt that only a certain storage key reads:
/// what comes back in it is from the chip that holds this key.
pub(crate) struct Salted;

/// The kind of a [`Session`] without a key: it satisfies a policy and authenticates nothing.
pub(crate) struct Unsalted;

/// The key that a session is salted to.
pub(crate) trait SaltKey {
    /// The handle of the loaded key.
    fn handle(&self) -> u32;
    /// A new salt that only this key reads.
    fn salt(&self) -> Result<Salt>;
}

/// A session in the chip; dropping it frees its slot, unless its last use ended it.
pub(crate) struct Session<'op, S = Salted> {
    op: &'op Operation<'op>,
    state: SessionState,
    kind: PhantomData<S>,
}

impl<'op> Session<'op, Salted> {
    /// An HMAC session salted to `key`.
    pub(crate) fn hmac(op: &'op Operation<'op>, key: &impl SaltKey) -> Result<Self> {
        Self::salted(op, Kind::Hmac, key)
    }

    /// An HMAC session in which the chip has shown that it holds `key`: it may carry secrets.
    pub(crate) fn proven(op: &'op Operation<'op>, key: &impl SaltKey) -> Result<Self> {
        let session = Self::hmac(op, key)?;
        session.prove()?;
        Ok(session)
    }

    /// A policy session salted to `key`: no other than us can use it.
    pub(crate) fn policy(op: &'op Operation<'op>, key: &impl SaltKey) -> Result<Self> {
        Self::salted(op, Kind::Policy, key)
    }

    /// A policy session in which the chip has shown that it holds `key`.
    pub(crate) fn proven_policy(op: &'op Operation<'op>, key: &impl SaltKey) -> Result<Self> {
        let session = Self::policy(op, key)?;
        session.prove()?;
        Ok(session)
    }

    /// Has the chip answer in this session, with a reply that nobody else can make.
    fn prove(&self) -> Result<()> {
        let command = Command::new(CommandCode::GetRandom)
            .about(Entity::Srk)
            .session(self.plain().hide_response())
            .param_u16(8);
        self.op.run(command).map(drop)
    }

    fn salted(op: &'op Operation<'op>, kind: Kind, key: &impl SaltKey) -> Result<Self> {
        let salt = key.salt()?;
        let nonce_caller = fresh_nonce();
        let command = Command::new(CommandCode::StartAuthSession)
            .about(Entity::Srk)
            .permanent(key.handle())
            .permanent(permanent::NULL)
            .param_sized(&nonce_caller)
            .param_sized(&salt.encrypted)
            .param_u8(kind as u8);
        let command = AES_128_CFB.into_iter().fold(command, Command::param_u16);
        let derive = |nonce_tpm: &[u8]| kdfa(&salt.secret, "ATH", nonce_tpm, &nonce_caller, DIGEST);
        Self::start(op, kind, command, nonce_caller, derive)
    }
}

impl<'op> Session<'op, Unsalted> {
    /// An unsalted policy session: it authenticates nothing, so each `PolicySecret` in it is for one
    /// command ([`prove_secret`](Session::prove_secret)).
    pub(crate) fn unsalted_policy(op: &'op Operation<'op>) -> Result<Self> {
        let nonce_caller = fresh_nonce();
        let command = Command::new(CommandCode::StartAuthSession)
            .permanent(permanent::NULL)
            .permanent(permanent::NULL)
            .param_sized(&nonce_caller)
            .param_sized(&[])
            .param_u8(Kind::Policy as u8)
            .param_u16(algorithm::NULL);
        let none = |_: &[u8]| Zeroizing::default();
        Self::start(op, Kind::Policy, command, nonce_caller, none)
    }
}

impl<'op, S> Session<'op, S> {
    /// Runs a `TPM2_StartAuthSession` up to its hash.
    fn start(
        op: &'op Operation<'op>,
        kind: Kind,
        command: Command<'_>,
        nonce_caller: [u8; DIGEST],
        derive: impl FnOnce(&[u8]) -> Zeroizing<Vec<u8>>,
    ) -> Result<Self> {
        let command = command.param_u16(algorithm::SHA256);
        let response = op.run_unauthenticated(command, Exception::SessionStart)?;
        let mut reader = response.reader();
        let nonce_tpm = reader.sized()?.to_vec();
        reader.finish()?;
        let key = derive(&nonce_tpm);
        Ok(Self {
            op,
            state: SessionState::new(response.handle, kind, key, nonce_tpm, nonce_caller),
            kind: PhantomData,
        })
    }

    /// The operation that it belongs to.
    pub(crate) fn op(&self) -> &'op Operation<'op> {
        self.op
    }

    /// Its handle.
    pub(crate) fn handle(&self) -> u32 {
        self.state.handle()
    }

    /// Notes that `TPM2_PolicyAuthValue` was run: uses must now prove the entity's value.
    pub(crate) fn requires_auth_value(&self) {
        self.state.requires_auth_value();
    }

    /// Uses the session to authorize an entity whose authorization value is `auth`.
    pub(crate) fn authorizes<'a>(&'a self, auth: &'a AuthValue) -> Use<'a, S>
    where
        'op: 'a,
    {
        Use(Authorization::new(&self.state, Some(auth)), PhantomData)
    }

    /// Uses the session without an authorization value: the entity's value is empty, its policy
    /// does not ask for it, or the session only encrypts and authenticates.
    pub(crate) fn plain<'a>(&'a self) -> Use<'a, S>
    where
        'op: 'a,
    {
        Use(Authorization::new(&self.state, None), PhantomData)
    }
}

impl<S> Drop for Session<'_, S> {
    fn drop(&mut self) {
        if !self.state.has_ended()
            && let Err(err) = self.op.flush(self.handle())
        {
            log::debug!("a session stays open: {err}");
        }
    }
}

/// One use of a session in one command.
pub(crate) struct Use<'a, S = Salted>(Authorization<'a>, PhantomData<S>);

impl<'a, S> Use<'a, S> {
    /// Ends the session with this command, which saves flushing it.
    pub(crate) fn last(mut self) -> Self {
        self.0.end();
        self
    }

    /// What the command needs to know of it.
    pub(crate) fn authorization(self) -> Authorization<'a> {
        self.0
    }
}

impl<'a> Use<'a, Salted> {
    /// Encrypts the first parameter of the command, which must be a `TPM2B_*`.
    pub(crate) fn hide_command(mut self) -> Self {
        self.0.encrypt_command();
        self
    }

    /// Lets the chip encrypt the first parameter of its response, a `TPM2B_*`.
    pub(crate) fn hide_response(mut self) -> Self {
        self.0.encrypt_response();
        self
    }

    /// Authenticates a command and a response that have no such parameter.
    pub(crate) fn audit(mut self) -> Self {
        self.0.audit();
        self
    }

    /// Says that the command gives the entity the value `auth`, under which it then answers.
    pub(crate) fn becomes(mut self, auth: &'a AuthValue) -> Self {
        self.0.becomes(auth);
        self
    }
}
