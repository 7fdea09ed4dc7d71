//! A loaded token key with the authorization of one command that uses it.

use super::TokenKey;
use crate::{
    AuthValue, Entity, Error, KeyBlob, OpenSrk, Operation, PinAuth, PinCounter, Result, Wall,
    command::{
        Authentic, Command, CommandCode,
        policy::no_command,
        session::{Session, Unsalted, Use},
    },
    object::{create_load, transient::Transient},
};

impl TokenKey {
    /// Loads the token key; `witness` authenticates the reply.
    pub(super) fn load<'op>(
        &self,
        root: &OpenSrk<'op>,
        witness: Use<'_>,
    ) -> Result<Transient<'op>> {
        let command = root
            .parent_of(CommandCode::Load)
            .about(Entity::TokenKey)
            .session(witness.hide_response());
        create_load::loaded(
            root.op(),
            create_load::with_blob(command, &self.blob),
            &self.blob,
        )
    }

    /// Loads the token key in the session that then proves the PIN.
    ///
    /// So the chip has shown, in this same session, that it holds the pinned storage root key and
    /// that the token key loads below it, before an HMAC with the PIN's value is sent. On another
    /// TPM loading fails and costs no try.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] for a PIN if the token key has none.
    pub(super) fn unlock<'op>(
        &'op self,
        root: &OpenSrk<'op>,
        pin: &'op PinAuth,
    ) -> Result<Unlocked<'op>> {
        self.refuse_idle_pin(pin)?;
        self.unlock_in(root, pin, Sessions::start(root)?)
    }

    /// As [`TokenKey::unlock`], in sessions that were started before. This saves the commands that
    /// start them.
    pub(super) fn unlock_in<'op>(
        &'op self,
        root: &OpenSrk<'op>,
        pin: &'op PinAuth,
        Sessions { witness, policy }: Sessions<'op>,
    ) -> Result<Unlocked<'op>> {
        let proof = match &self.wall {
            // Started before the token key is loaded, because a resource manager saves and loads
            // all loaded objects around each command.
            Wall::Counter(counter) => {
                let policy = match policy {
                    Some(policy) => policy,
                    None => Session::unsalted_policy(root.op())?,
                };
                Proof::Counter(policy, counter)
            }
            Wall::Lockout { .. } => Proof::Auth,
            Wall::None => Proof::Nothing,
        };
        let key = self.load(root, witness.plain())?;
        Ok(Unlocked {
            witness,
            proof,
            key,
            pin: pin.value(),
        })
    }

    /// Refuses a PIN for a token key without one. Without this check, any PIN would seem to be
    /// right.
    pub(super) fn refuse_idle_pin(&self, pin: &PinAuth) -> Result<()> {
        if self.wall == Wall::None && !pin.is_empty() {
            Err(Error::InvalidArgument("this token key has no PIN"))
        } else {
            Ok(())
        }
    }
}

/// The sessions of an operation, for whatever comes next in it.
pub(crate) struct Sessions<'op> {
    /// The salted session in which the chip's replies are authenticated.
    pub(crate) witness: Session<'op>,
    /// The policy session, if one was started. No policy is satisfied in it.
    pub(crate) policy: Option<Session<'op, Unsalted>>,
}

impl<'op> Sessions<'op> {
    /// Starts the witness.
    pub(super) fn start(root: &OpenSrk<'op>) -> Result<Self> {
        Session::hmac(root.op(), root).map(Self::of)
    }

    /// With this witness.
    pub(super) fn of(witness: Session<'op>) -> Self {
        Self {
            witness,
            policy: None,
        }
    }
}

/// How the use of a loaded token key is authorized.
enum Proof<'op> {
    /// By a policy session in which the PIN is proven to the counter, for one command.
    Counter(Session<'op, Unsalted>, &'op PinCounter),
    /// By the witness, which proves the PIN.
    Auth,
    /// Without any authorization.
    Nothing,
}

/// Whether the witness is used again after a command.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// The command ends it.
    Done,
    /// It is used again.
    More,
}

/// A loaded token key, and the authorization of one command that uses it.
///
/// The sessions are declared first, so that their slots are freed before that of the key.
pub(super) struct Unlocked<'op> {
    /// The salted session that proves the PIN and authenticates the replies.
    pub(super) witness: Session<'op>,
    proof: Proof<'op>,
    key: Transient<'op>,
    pin: &'op AuthValue,
}

impl<'op> Unlocked<'op> {
    /// The beginning of a command with this key as its parent.
    pub(super) fn command(&self, code: CommandCode, then: Then) -> Command<'_, Authentic> {
        let command = Command::new(code)
            .about(Entity::TokenKey)
            .handle(self.key.handle(), self.key.name());
        let plain = || end(self.witness.plain(), then).hide_response();
        match &self.proof {
            Proof::Counter(policy, _) => command.unsalted(policy.plain().last()).session(plain()),
            Proof::Auth => {
                command.session(end(self.witness.authorizes(self.pin), then).hide_response())
            }
            Proof::Nothing => command.empty_auth().session(plain()),
        }
    }

    /// Proves the PIN for this one command, if that needs a `TPM2_PolicySecret`.
    pub(super) fn prove<'a>(
        &self,
        mut command: Command<'a, Authentic>,
    ) -> Result<Command<'a, Authentic>> {
        if let Proof::Counter(policy, counter) = &self.proof {
            let cp_hash = command.cp_hash()?;
            counter.prove_in(policy, self.witness.authorizes(self.pin), &cp_hash)?;
        }
        Ok(command)
    }

    /// Loads a key of the token.
    pub(super) fn load_key(self, op: &'op Operation<'op>, key: &KeyBlob) -> Result<Transient<'op>> {
        let command = self.command(CommandCode::Load, Then::Done);
        let command = self.prove(create_load::with_blob(command, key.blob()))?;
        create_load::loaded(op, command, key.blob())
            .map_err(|err| create_load::about_child(err, Entity::Key))
    }

    /// Proves the PIN without authorizing a command; a wrong one costs one try.
    pub(super) fn prove_pin(&self, op: &Operation<'_>) -> Result<()> {
        let pin = self.witness.authorizes(self.pin).last();
        match &self.proof {
            Proof::Counter(policy, counter) => counter.prove_in(policy, pin, &no_command()),
            Proof::Auth => {
                let policy = Session::unsalted_policy(op)?;
                let holder = (self.key.handle(), self.key.name(), Entity::TokenKey);
                policy.prove_secret(holder, pin, &no_command())
            }
            Proof::Nothing => Ok(()),
        }
    }

    /// Frees all slots but that of the witness.
    pub(super) fn into_witness(self) -> Session<'op> {
        self.witness
    }
}

/// `session`, which this command ends if it is not used again.
fn end(session: Use<'_>, then: Then) -> Use<'_> {
    if then == Then::Done {
        session.last()
    } else {
        session
    }
}
