//! The token key: the parent of a token's keys, which opens only for the PIN.

use crate::{
    AuthValue, Blob, Error, KeyBlob, KeyType, Name, Operation, PinCounter, ReadyKey, Result,
    SoObject, Srk, Usage,
    chip::get_capability::storage_kind,
    command::{
        Authentic, Code, Command,
        policy::{self, Branch, no_command},
        session::{SaltKey, Session, Unsalted, Use},
    },
    error::rc,
    hierarchy::srk::OpenSrk,
    object::{create_load, sealed, transient::Transient},
    structures::template::{self, Guard, StorageKind, Tries},
};

/// What errors call it.
const WORDS: &str = "token key";

/// What stands between a token key and whoever has its blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wall {
    /// The PIN is the authorization value of a [`PinCounter`], which the token key's policy
    /// asks for. Wrong PINs lock this token and nothing else.
    Counter(PinCounter),
    /// The PIN is the token key's own authorization value. Wrong PINs count towards the
    /// chip's dictionary-attack lockout, which everything on the machine shares.
    Lockout {
        /// The Name of the SO object, which may reset the PIN.
        so: Name,
    },
    /// Nothing: who has the blob and the machine may use the keys.
    None,
}

impl Wall {
    fn guard(&self) -> Guard {
        match self {
            Self::Counter(_) => Guard::Policy,
            Self::Lockout { .. } => Guard::Auth,
            Self::None => Guard::Nothing,
        }
    }

    fn policy(&self) -> Vec<u8> {
        match self {
            Self::Counter(counter) => Branch::new().secret(counter.name()).digest().to_vec(),
            Self::Lockout { so } => policy::any_of(&branches(so)).to_vec(),
            Self::None => Vec::new(),
        }
    }
}

/// Who may change the authorization value in lockout mode: the SO, and who knows it.
fn branches(so: &Name) -> [Branch; 2] {
    let change = Branch::new().command(Code::ObjectChangeAuth);
    [change.secret(so), change.auth_value()]
}

/// A token key outside of the chip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenKey {
    blob: Blob,
    name: Name,
    wall: Wall,
}

impl TokenKey {
    /// Makes a token key behind `wall`. `auth` counts for [`Wall::Lockout`] alone: a counter
    /// has its own.
    ///
    /// # Errors
    ///
    /// Failures of the chip; nothing stays in it.
    pub fn create(op: &Operation<'_>, srk: &Srk, wall: Wall, auth: &AuthValue) -> Result<Self> {
        let kind = storage_kind(op)?;
        let parent = srk.open(op)?;
        let none = AuthValue::empty();
        let auth = if matches!(wall, Wall::Lockout { .. }) {
            auth
        } else {
            &none
        };
        let session = Session::proven(op, &parent)?;
        let command = parent
            .parent_of(Code::Create)
            .session(session.plain().hide_command().last())
            .makes_rsa(kind.is_rsa())
            .param_sized(&sealed::sensitive(auth, &[]))
            .param_sized(&template::token_key(kind, wall.guard(), &wall.policy())?);
        let blob = create_load::created(op, create_load::finished(command))?;
        Self::from_parts(blob, wall)
    }

    /// A token key from its stored form; sends no command.
    ///
    /// # Errors
    ///
    /// [`Error::KeyRefused`] where the blob is not a token key with exactly this wall.
    pub fn from_parts(blob: Blob, wall: Wall) -> Result<Self> {
        blob.check_private()?;
        let kind = StorageKind::of_public(&blob.public);
        let head = template::token_key_head(kind, wall.guard(), &wall.policy())?;
        if !blob.public.starts_with(&head) {
            return Err(Error::KeyRefused("it is not a token key of this kind"));
        }
        crate::PublicKey::from_public_area(&blob.public)?;
        let name = blob.name();
        Ok(Self { blob, name, wall })
    }

    /// The bytes to be stored.
    #[must_use]
    pub fn blob(&self) -> &Blob {
        &self.blob
    }

    /// What guards it.
    #[must_use]
    pub fn wall(&self) -> &Wall {
        &self.wall
    }

    /// Its Name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Checks that the chip takes it, which needs no PIN and costs no try.
    ///
    /// # Errors
    ///
    /// [`Error::Integrity`] where it was changed; [`Error::OtherTpm`].
    pub fn check(&self, op: &Operation<'_>, srk: &Srk) -> Result<()> {
        let run = || {
            let parent = srk.open(op)?;
            let session = Session::hmac(op, &parent)?;
            self.load(op, &parent, session.plain().last()).map(drop)
        };
        run().map_err(|err| srk.explain(op, err))
    }

    /// Proves that `auth` is the PIN value, at the price of one try.
    ///
    /// # Errors
    ///
    /// [`Error::AuthRejected`] for a wrong one; [`Error::PinExhausted`] or
    /// [`Error::Lockout`] where it is locked; [`Error::OtherTpm`].
    pub fn verify(&self, op: &Operation<'_>, srk: &Srk, auth: &AuthValue) -> Result<()> {
        let run = || {
            let unlocked = self.unlock(op, srk)?;
            match &unlocked.proof {
                Proof::Counter(policy, counter) => {
                    let pin = unlocked.witness.authorizes(auth).last();
                    counter.prove_in(policy, pin, &no_command())
                }
                Proof::Auth => {
                    let policy = Session::unsalted_policy(op)?;
                    let entity = (unlocked.key.handle(), unlocked.key.name(), WORDS);
                    let pin = unlocked.witness.authorizes(auth).last();
                    policy.prove_secret(entity, pin, &no_command())
                }
                Proof::Nothing => Ok(()),
            }
        };
        run().map_err(|err| srk.explain(op, err))
    }

    /// Proves the PIN value and, in the same breath, loads the key `first`.
    ///
    /// With a counter that is 6 commands, in lockout mode 4: whoever logs in is about to
    /// sign, and this spares proving the PIN a second time.
    ///
    /// # Errors
    ///
    /// As for [`TokenKey::verify`], and [`Error::Integrity`] where `first` is not a key of
    /// this token.
    pub fn open(
        &self,
        op: &Operation<'_>,
        srk: &Srk,
        auth: &AuthValue,
        first: Option<&KeyBlob>,
    ) -> Result<Option<ReadyKey>> {
        match first {
            Some(key) => self.load_key(op, srk, auth, key).map(Some),
            None => self.verify(op, srk, auth).map(|()| None),
        }
    }

    /// Loads a key of this token.
    ///
    /// # Errors
    ///
    /// As for [`TokenKey::open`].
    pub fn load_key(
        &self,
        op: &Operation<'_>,
        srk: &Srk,
        auth: &AuthValue,
        key: &KeyBlob,
    ) -> Result<ReadyKey> {
        let run = || {
            let loaded = if self.wall == Wall::None {
                self.load_unguarded(op, srk, key)?
            } else {
                let unlocked = self.unlock(op, srk)?;
                let command = unlocked.command(Code::Load, auth, Then::Done);
                let command = create_load::with_blob(command, key.blob());
                let command = unlocked.prove(command, auth)?;
                // The token key, which the command names, was loaded: it is the key that is not
                // its child.
                create_load::loaded(op, command, key.blob()).map_err(|err| match err {
                    Error::Integrity(_) => Error::Integrity("key"),
                    err => err,
                })?
            };
            ReadyKey::take(op, loaded, key)
        };
        run().map_err(|err| srk.explain(op, err))
    }

    /// Loads a key behind no wall, without a session: it spares a host key one command, and what
    /// the key signs is checked.
    fn load_unguarded<'op>(
        &self,
        op: &'op Operation<'op>,
        srk: &Srk,
        key: &KeyBlob,
    ) -> Result<Transient<'op>> {
        let parent = srk.open(op)?;
        let command = create_load::with_blob(parent.parent_of(Code::Load).about(WORDS), &self.blob);
        let token_key = create_load::loaded_unauthenticated(op, command, &self.blob)?;
        let command = Command::new(Code::Load)
            .about(WORDS)
            .handle(token_key.handle(), token_key.name())
            .empty_auth();
        create_load::loaded_unauthenticated(
            op,
            create_load::with_blob(command, key.blob()),
            key.blob(),
        )
    }

    /// Makes a key below this one. RSA keys can take minutes.
    ///
    /// # Errors
    ///
    /// [`Error::NotSupported`] where the chip lacks this kind of key; otherwise as for
    /// [`TokenKey::verify`].
    pub fn create_key(
        &self,
        op: &Operation<'_>,
        srk: &Srk,
        auth: &AuthValue,
        key_type: KeyType,
        usage: Usage,
    ) -> Result<Blob> {
        let run = || {
            let unlocked = self.unlock(op, srk)?;
            let command = unlocked
                .command(Code::Create, auth, Then::Done)
                .makes_rsa(key_type.is_rsa())
                .param_sized(&sealed::sensitive(&AuthValue::empty(), &[]))
                .param_sized(&template::signing_key(key_type, usage)?);
            let command = unlocked.prove(create_load::finished(command), auth)?;
            let blob =
                create_load::created(op, command).map_err(|err| not_supported(err, key_type))?;
            KeyBlob::parse(blob.clone())?;
            Ok(blob)
        };
        run().map_err(|err| srk.explain(op, err))
    }

    /// Seals `secret` below this key: only who opens the token gets it back.
    ///
    /// # Errors
    ///
    /// As for [`TokenKey::verify`].
    pub fn seal(
        &self,
        op: &Operation<'_>,
        srk: &Srk,
        auth: &AuthValue,
        secret: &AuthValue,
    ) -> Result<Blob> {
        let run = || {
            // Proven before the token key is loaded: a chip has few slots.
            let hiding = Session::proven(op, &srk.open(op)?)?;
            let unlocked = self.unlock(op, srk)?;
            let command = unlocked
                .command(Code::Create, auth, Then::Done)
                .session(hiding.plain().hide_command().last())
                .param_sized(&sealed::sensitive(&AuthValue::empty(), secret.bytes()))
                .param_sized(&template::sealed_object(Tries::Uncounted)?);
            let command = unlocked.prove(create_load::finished(command), auth)?;
            create_load::created(op, command)
        };
        run().map_err(|err| srk.explain(op, err))
    }

    /// Takes out what [`TokenKey::seal`] has sealed.
    ///
    /// # Errors
    ///
    /// As for [`TokenKey::verify`]; [`Error::Integrity`] where `blob` is not of this token.
    pub fn unseal(
        &self,
        op: &Operation<'_>,
        srk: &Srk,
        auth: &AuthValue,
        blob: &Blob,
    ) -> Result<AuthValue> {
        let run = || {
            let unlocked = self.unlock(op, srk)?;
            let command = unlocked.command(Code::Load, auth, Then::More);
            let command = create_load::with_blob(command, blob);
            let command = unlocked.prove(command, auth)?;
            let object = create_load::loaded(op, command, blob)?;
            let witness = unlocked.into_witness();
            sealed::unseal(op, &object, "sealed secret", witness.plain())
        };
        run().map_err(|err| srk.explain(op, err))
    }

    /// Changes the PIN value in lockout mode: the same key with a new private part. An old
    /// copy of the private part keeps answering to the old value.
    ///
    /// # Errors
    ///
    /// As for [`TokenKey::verify`]; [`Error::NotSupported`] with another wall.
    pub fn change_auth(
        &self,
        op: &Operation<'_>,
        srk: &Srk,
        old: &AuthValue,
        new: &AuthValue,
    ) -> Result<Self> {
        let run = || {
            let so = self.lockout_so()?;
            let parent = srk.open(op)?;
            let policy = Session::policy(op, &parent)?;
            // Shows, in the session that then proves the old PIN, that this is the right chip.
            let key = self.load(op, &parent, policy.plain())?;
            policy.allow_command(Code::ObjectChangeAuth)?;
            policy.prove_auth_value()?;
            policy.one_of(&branches(so))?;
            let command = Command::new(Code::ObjectChangeAuth)
                .about(WORDS)
                .handle(key.handle(), key.name())
                .handle(parent.handle(), parent.name())
                .session(policy.authorizes(old).hide_command().last())
                .param_sized(new.bytes());
            self.with_private(op, command)
        };
        run().map_err(|err| srk.explain(op, err))
    }

    /// Sets a new PIN value in lockout mode with the SO's; the old one is not needed.
    ///
    /// # Errors
    ///
    /// [`Error::AuthRejected`] for a wrong SO value; [`Error::NotSupported`] with another
    /// wall.
    pub fn reset_auth(
        &self,
        op: &Operation<'_>,
        srk: &Srk,
        so: &SoObject,
        so_auth: &AuthValue,
        new: &AuthValue,
    ) -> Result<Self> {
        let run = || {
            let so_name = self.lockout_so()?;
            let parent = srk.open(op)?;
            // Both sessions before anything is loaded: a chip has few slots.
            let policy = Session::policy(op, &parent)?;
            policy.allow_command(Code::ObjectChangeAuth)?;
            let hiding = Session::proven(op, &parent)?;
            let key = self.load(op, &parent, hiding.plain())?;
            let mut command = Command::new(Code::ObjectChangeAuth)
                .about(WORDS)
                .handle(key.handle(), key.name())
                .handle(parent.handle(), parent.name())
                .session(policy.plain().last())
                .session(hiding.plain().hide_command().last())
                .param_sized(new.bytes());
            let cp_hash = command.cp_hash()?;
            so.prove_in(op, &parent, so_auth, &policy, &cp_hash)?;
            policy.one_of(&branches(so_name))?;
            self.with_private(op, command)
        };
        run().map_err(|err| srk.explain(op, err))
    }

    fn lockout_so(&self) -> Result<&Name> {
        match &self.wall {
            Wall::Lockout { so } => Ok(so),
            _ => Err(Error::NotSupported("changing the PIN of this token key")),
        }
    }

    /// Runs a `TPM2_ObjectChangeAuth` and returns this key with the private part it gives.
    fn with_private(&self, op: &Operation<'_>, command: Command<'_, Authentic>) -> Result<Self> {
        let private = op.run(command)?.reader().sized()?.to_vec();
        let blob = Blob {
            public: self.blob.public.clone(),
            private,
        };
        Self::from_parts(blob, self.wall.clone())
    }

    /// Loads the token key; `witness` authenticates the reply.
    fn load<'op>(
        &self,
        op: &'op Operation<'op>,
        parent: &OpenSrk<'_>,
        witness: Use<'_>,
    ) -> Result<Transient<'op>> {
        let command = parent
            .parent_of(Code::Load)
            .about(WORDS)
            .session(witness.hide_response());
        create_load::loaded(op, create_load::with_blob(command, &self.blob), &self.blob)
    }

    /// Loads the token key in the session that then proves the PIN.
    ///
    /// So no HMAC with the PIN's value is sent before the chip has shown, in this very session,
    /// that it holds the pinned storage root key and that the token key loads below it. On
    /// another TPM that fails, and costs no try.
    fn unlock<'op>(&'op self, op: &'op Operation<'op>, srk: &Srk) -> Result<Unlocked<'op>> {
        let parent = srk.open(op)?;
        let witness = Session::hmac(op, &parent)?;
        let proof = match &self.wall {
            // Started before the token key is loaded: a resource manager saves and loads
            // everything that is loaded around every command.
            Wall::Counter(counter) => Proof::Counter(Session::unsalted_policy(op)?, counter),
            Wall::Lockout { .. } => Proof::Auth,
            Wall::None => Proof::Nothing,
        };
        let key = self.load(op, &parent, witness.plain())?;
        Ok(Unlocked {
            witness,
            proof,
            key,
        })
    }
}

/// How the use of a loaded token key is authorized.
enum Proof<'op> {
    /// By a policy session in which the PIN is proven to the counter, for one command.
    Counter(Session<'op, Unsalted>, &'op PinCounter),
    /// By the witness, which proves the PIN.
    Auth,
    /// Not at all.
    Nothing,
}

/// What becomes of the witness after a command.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    /// The command ends it.
    Done,
    /// It is used again.
    More,
}

/// A loaded token key, and what authorizes one command that uses it.
///
/// The sessions stand first, so that they are dropped, and their slots freed, before the key's.
struct Unlocked<'op> {
    /// The salted session that proves the PIN and authenticates the replies.
    witness: Session<'op>,
    proof: Proof<'op>,
    key: Transient<'op>,
}

impl<'op> Unlocked<'op> {
    /// The beginning of a command with this key as its parent.
    fn command<'a>(
        &'a self,
        code: Code,
        auth: &'a AuthValue,
        then: Then,
    ) -> Command<'a, Authentic> {
        let command = Command::new(code)
            .about(WORDS)
            .handle(self.key.handle(), self.key.name());
        let plain = || end(self.witness.plain(), then).hide_response();
        match &self.proof {
            Proof::Counter(policy, _) => command.unsalted(policy.plain().last()).session(plain()),
            Proof::Auth => {
                command.session(end(self.witness.authorizes(auth), then).hide_response())
            }
            Proof::Nothing => command.empty_auth().session(plain()),
        }
    }

    /// Proves the PIN value `auth` for this one command, if that takes a step of its own.
    fn prove<'a>(
        &self,
        mut command: Command<'a, Authentic>,
        auth: &AuthValue,
    ) -> Result<Command<'a, Authentic>> {
        if let Proof::Counter(policy, counter) = &self.proof {
            let cp_hash = command.cp_hash()?;
            counter.prove_in(policy, self.witness.authorizes(auth), &cp_hash)?;
        }
        Ok(command)
    }

    /// Frees all slots but that of the witness.
    fn into_witness(self) -> Session<'op> {
        self.witness
    }
}

/// `session`, which the command ends if nothing comes after it.
fn end(session: Use<'_>, then: Then) -> Use<'_> {
    if then == Then::Done {
        session.last()
    } else {
        session
    }
}

fn not_supported(err: Error, key_type: KeyType) -> Error {
    if [rc::VALUE, rc::KEY_SIZE, rc::CURVE, rc::TYPE]
        .iter()
        .any(|&code| err.is_rc(code))
    {
        Error::NotSupported(key_type.name())
    } else {
        err
    }
}
