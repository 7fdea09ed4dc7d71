//! Authorization sessions. They prove a secret to the chip without sending it, and they
//! authenticate the chip's replies.

use std::marker::PhantomData;

use tpm_wire::algorithm;
use zeroize::Zeroizing;

use crate::{
    AuthValue, Entity, Operation, Result,
    command::{
        Command, CommandCode,
        authorization::{Authorization, Kind, SessionState, fresh_nonce},
        crypto::{DIGEST, Salt, kdfa},
        exception::Exception,
    },
    structures::hierarchy::permanent,
};

/// AES, 128 bits, CFB: the `TPMT_SYM_DEF` of our sessions.
const AES_128_CFB: [u16; 3] = [algorithm::AES, 128, algorithm::CFB];

/// The kind of a [`Session`] whose key comes from a salt that only one storage key can read. Its
/// replies come from the chip that holds this key.
pub(crate) struct Salted;

/// The kind of a [`Session`] without a key. It satisfies a policy and authenticates nothing.
pub(crate) struct Unsalted;

/// The key that a session is salted to.
pub(crate) trait SaltKey {
    /// The handle of the loaded key.
    fn handle(&self) -> u32;
    /// A new salt that only this key can read.
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
        Self::salted(op, Kind::Hmac, key, &|| {})
    }

    /// As [`Session::hmac`]. This program does `work` while the chip starts the session.
    pub(crate) fn hmac_meanwhile(
        op: &'op Operation<'op>,
        key: &impl SaltKey,
        work: &dyn Fn(),
    ) -> Result<Self> {
        Self::salted(op, Kind::Hmac, key, work)
    }

    /// An HMAC session in which the chip has shown that it holds `key`, so it may carry secrets.
    pub(crate) fn proven(op: &'op Operation<'op>, key: &impl SaltKey) -> Result<Self> {
        let session = Self::hmac(op, key)?;
        session.prove()?;
        Ok(session)
    }

    /// A policy session salted to `key`, which no other program can use.
    pub(crate) fn policy(op: &'op Operation<'op>, key: &impl SaltKey) -> Result<Self> {
        Self::salted(op, Kind::Policy, key, &|| {})
    }

    /// A policy session in which the chip has shown that it holds `key`.
    pub(crate) fn proven_policy(op: &'op Operation<'op>, key: &impl SaltKey) -> Result<Self> {
        let session = Self::policy(op, key)?;
        session.prove()?;
        Ok(session)
    }

    /// Sends a command whose reply only the chip that knows the session key can authenticate.
    fn prove(&self) -> Result<()> {
        let command = Command::new(CommandCode::GetRandom)
            .about(Entity::Srk)
            .session(self.plain().hide_response())
            .param_u16(8);
        self.op.run(command).map(drop)
    }

    fn salted(
        op: &'op Operation<'op>,
        kind: Kind,
        key: &impl SaltKey,
        work: &dyn Fn(),
    ) -> Result<Self> {
        let salt = key.salt()?;
        let nonce_caller = fresh_nonce();
        let command = Command::new(CommandCode::StartAuthSession)
            .about(Entity::Srk)
            .meanwhile(work)
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
    /// An unsalted policy session. It authenticates nothing, so each `PolicySecret` in it is
    /// limited to one command ([`prove_secret`](Session::prove_secret)).
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

    /// Notes that `TPM2_PolicyAuthValue` was run: from now on each use must prove the entity's
    /// value.
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

    /// Uses the session without an authorization value. This is right if the entity's value is
    /// empty, if its policy does not ask for it, or if the session only encrypts and authenticates.
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
    /// Ends the session with this command, which saves the command to flush it.
    pub(crate) fn last(mut self) -> Self {
        self.0.end();
        self
    }

    /// The authorization that goes into the command.
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

    /// Makes this an audit session: needed for a command and a response without a `TPM2B_*` to
    /// encrypt.
    pub(crate) fn audit(mut self) -> Self {
        self.0.audit();
        self
    }

    /// States that the command sets the entity's value to `auth`: the chip authenticates the
    /// response with the new value.
    pub(crate) fn becomes(mut self, auth: &'a AuthValue) -> Self {
        self.0.becomes(auth);
        self
    }
}
