//! The token key: the parent of a token's keys, which opens only for the PIN.

use crate::{
    AuthValue, Blob, Error, KeyBlob, KeyType, Name, Operation, PinCounter, ReadyKey, Result,
    SoObject, Srk, Usage,
    chip::get_capability::storage_kind,
    command::{
        Code, Command,
        policy::{self, Branch},
        session::Session,
    },
    error::rc,
    hierarchy::srk::OpenSrk,
    object::{create_load, sealed, transient::Transient},
    structures::template::{self, Guard, StorageKind, Tries},
    token::pin_counter,
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
        let session = Session::hmac(op, &parent)?;
        let none = AuthValue::empty();
        let auth = if matches!(wall, Wall::Lockout { .. }) {
            auth
        } else {
            &none
        };
        let command = Command::new(Code::Create)
            .about("storage root key")
            .handle(parent.handle(), parent.name())
            .session(session.plain().hide_command().last())
            .makes_rsa(kind.is_rsa())
            .param_sized(&sealed::sensitive(auth, &[]))
            .param_sized(&template::token_key(kind, wall.guard(), &wall.policy())?);
        Self::from_parts(create_load::created(op, command)?, wall)
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
        let run = || self.load(op, &srk.open(op)?).map(drop);
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
            let unlocked = self.unlock(op, srk, auth)?;
            match &unlocked.proof {
                Proof::Auth(session) => {
                    let policy = Session::policy(op)?;
                    let entity = (unlocked.key.handle(), unlocked.key.name(), WORDS);
                    policy.prove_secret(op, entity, session.authorizes(auth).last())
                }
                Proof::Policy(_) | Proof::Nothing => Ok(()),
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
            let unlocked = self.unlock(op, srk, auth)?;
            let command = unlocked.authorize(Code::Load, auth);
            let loaded = create_load::loaded(op, command, key.blob()).map_err(|err| match err {
                Error::Integrity(_) => Error::Integrity("key"),
                err => err,
            })?;
            drop(unlocked);
            ReadyKey::take(op, loaded, key)
        };
        run().map_err(|err| srk.explain(op, err))
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
            let unlocked = self.unlock(op, srk, auth)?;
            let command = unlocked
                .authorize(Code::Create, auth)
                .makes_rsa(key_type.is_rsa())
                .param_sized(&sealed::sensitive(&AuthValue::empty(), &[]))
                .param_sized(&template::signing_key(key_type, usage)?);
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
            // Opened and closed before the token key is loaded: a chip has few slots.
            let hiding = Session::hmac(op, &srk.open(op)?)?;
            let unlocked = self.unlock(op, srk, auth)?;
            let command = unlocked
                .authorize(Code::Create, auth)
                .session(hiding.plain().hide_command().last())
                .param_sized(&sealed::sensitive(&AuthValue::empty(), secret.bytes()))
                .param_sized(&template::sealed_object(Tries::Uncounted)?);
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
            let hiding = Session::hmac(op, &srk.open(op)?)?;
            let unlocked = self.unlock(op, srk, auth)?;
            let object = create_load::loaded(op, unlocked.authorize(Code::Load, auth), blob)?;
            drop(unlocked);
            sealed::unseal(op, &object, "sealed secret", hiding.plain())
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
            let key = self.load(op, &parent)?;
            let policy = Session::salted_policy(op, &parent)?;
            policy.allow_command(op, Code::ObjectChangeAuth)?;
            policy.prove_auth_value(op)?;
            policy.one_of(op, &branches(so))?;
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
            let policy = Session::policy(op)?;
            policy.allow_command(op, Code::ObjectChangeAuth)?;
            so.prove_in(op, &parent, so_auth, &policy)?;
            policy.one_of(op, &branches(so_name))?;
            let key = self.load(op, &parent)?;
            let hiding = Session::hmac(op, &parent)?;
            let command = Command::new(Code::ObjectChangeAuth)
                .about(WORDS)
                .handle(key.handle(), key.name())
                .handle(parent.handle(), parent.name())
                .session(policy.plain().last())
                .session(hiding.plain().hide_command().last())
                .param_sized(new.bytes());
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
    fn with_private(&self, op: &Operation<'_>, command: Command<'_>) -> Result<Self> {
        let private = op.run(command)?.reader().sized()?.to_vec();
        let blob = Blob {
            public: self.blob.public.clone(),
            private,
        };
        Self::from_parts(blob, self.wall.clone())
    }

    fn load<'op>(&self, op: &'op Operation<'op>, parent: &OpenSrk<'_>) -> Result<Transient<'op>> {
        let command = Command::new(Code::Load)
            .about(WORDS)
            .handle(parent.handle(), parent.name())
            .empty_auth();
        create_load::loaded(op, command, &self.blob)
    }

    /// Loads the token key and prepares the authorization of one command that uses it.
    ///
    /// The key is loaded before the PIN is proven: on another TPM, or below another SRK, that
    /// fails and costs no try.
    fn unlock<'op>(
        &self,
        op: &'op Operation<'op>,
        srk: &'op Srk,
        auth: &AuthValue,
    ) -> Result<Unlocked<'op>> {
        let parent = srk.open(op)?;
        match &self.wall {
            Wall::Counter(counter) => {
                let hmac = Session::hmac(op, &parent)?;
                let policy = Session::policy(op)?;
                let key = self.load(op, &parent)?;
                let entity = (counter.handle(), counter.name(), pin_counter::WORDS);
                policy
                    .prove_secret(op, entity, hmac.authorizes(auth).last())
                    .map_err(|err| counter.missing(err))?;
                Ok(Unlocked {
                    proof: Proof::Policy(policy),
                    key,
                })
            }
            Wall::Lockout { .. } => {
                let key = self.load(op, &parent)?;
                let hmac = Session::hmac(op, &parent)?;
                Ok(Unlocked {
                    proof: Proof::Auth(hmac),
                    key,
                })
            }
            Wall::None => {
                let key = self.load(op, &parent)?;
                Ok(Unlocked {
                    proof: Proof::Nothing,
                    key,
                })
            }
        }
    }
}

/// How the use of a loaded token key is authorized.
enum Proof<'op> {
    /// A policy session in which the PIN has been proven.
    Policy(Session<'op>),
    /// An HMAC session, in which the next command proves the PIN.
    Auth(Session<'op>),
    /// Not at all.
    Nothing,
}

/// A loaded token key that may be used for one command.
///
/// The session stands first, so that it is dropped, and its slot freed, before the key's.
struct Unlocked<'op> {
    proof: Proof<'op>,
    key: Transient<'op>,
}

impl Unlocked<'_> {
    /// The beginning of a command with this key as its parent.
    fn authorize<'a>(&'a self, code: Code, auth: &'a AuthValue) -> Command<'a> {
        let command = Command::new(code)
            .about(WORDS)
            .handle(self.key.handle(), self.key.name());
        match &self.proof {
            Proof::Policy(session) => command.session(session.plain().last()),
            Proof::Auth(session) => command.session(session.authorizes(auth).last()),
            Proof::Nothing => command.empty_auth(),
        }
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
