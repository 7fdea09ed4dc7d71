//! The token key: the parent of a token's signing keys. Using it needs the PIN.

mod arrival;
mod login;
mod pin;
mod seal;
mod unlocked;

pub use self::login::Login;
pub(crate) use self::unlocked::Sessions;
use self::unlocked::Then;
use crate::{
    Blob, Entity, Error, KeyBlob, KeyType, Name, OpenSrk, PinAuth, PinCounter, ReadyKey, Result,
    SoObject, Usage, Wall,
    chip::get_capability::storage_kind,
    command::{Command, CommandCode, session::Session},
    error::rc,
    object::{create_load, sealed, transient::Transient},
    structures::template::{self, StorageKind},
};

/// A token key in its stored form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenKey {
    blob: Blob,
    name: Name,
    wall: Wall,
}

impl TokenKey {
    /// Makes a token key whose policy needs the PIN of `counter`.
    ///
    /// # Errors
    ///
    /// Failures of the chip; nothing stays in it.
    pub fn behind_counter(root: &OpenSrk<'_>, counter: PinCounter) -> Result<Self> {
        Self::create(root, Wall::Counter(counter), &PinAuth::empty())
    }

    /// Makes a token key with the authorization value `pin`. The chip's lockout counts wrong
    /// values. The SO may set another value.
    ///
    /// # Errors
    ///
    /// Failures of the chip; nothing stays in it.
    pub fn behind_lockout(root: &OpenSrk<'_>, so: &SoObject, pin: &PinAuth) -> Result<Self> {
        let so = so.name().clone();
        Self::create(root, Wall::Lockout { so }, pin)
    }

    /// Makes a token key without a PIN: anybody with its blob and access to the TPM can use the
    /// keys.
    ///
    /// # Errors
    ///
    /// Failures of the chip; nothing stays in it.
    pub fn without_pin(root: &OpenSrk<'_>) -> Result<Self> {
        Self::create(root, Wall::None, &PinAuth::empty())
    }

    fn create(root: &OpenSrk<'_>, wall: Wall, pin: &PinAuth) -> Result<Self> {
        let kind = storage_kind(root.op())?;
        let session = Session::proven(root.op(), root)?;
        let command = root
            .parent_of(CommandCode::Create)
            .session(session.plain().hide_command().last())
            .makes_rsa(kind.is_rsa())
            .param_sized(&sealed::sensitive(pin.value(), &[]))
            .param_sized(&template::token_key(kind, wall.guard(), &wall.policy())?);
        let blob = create_load::created(root.op(), create_load::finished(command))?;
        Self::from_parts(blob, wall)
    }

    /// A token key from its stored form; sends no command.
    ///
    /// # Errors
    ///
    /// [`Error::KeyRefused`] if the blob is not a token key with exactly this wall.
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

    /// The bytes to store.
    #[must_use]
    pub fn blob(&self) -> &Blob {
        &self.blob
    }

    /// Its PIN wall.
    #[must_use]
    pub fn wall(&self) -> &Wall {
        &self.wall
    }

    /// Its Name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Checks that the chip loads it, which needs no PIN and costs no try.
    ///
    /// # Errors
    ///
    /// [`Error::Integrity`] if it was changed; [`Error::OtherTpm`].
    pub fn check(&self, root: &OpenSrk<'_>) -> Result<()> {
        root.within(|| {
            let session = Session::hmac(root.op(), root)?;
            self.load(root, session.plain().last()).map(drop)
        })
    }

    /// Proves the PIN; a wrong one costs one try. For a token key without a PIN, give
    /// [`PinAuth::empty`].
    ///
    /// # Errors
    ///
    /// [`Error::AuthRejected`] for a wrong PIN; [`Error::PinExhausted`] or [`Error::Lockout`] if it
    /// is locked; [`Error::OtherTpm`]; [`Error::InvalidArgument`] for a PIN if the token key has
    /// none.
    pub fn verify(&self, root: &OpenSrk<'_>, pin: &PinAuth) -> Result<()> {
        root.within(|| self.unlock(root, pin)?.prove_pin(root.op()))
    }

    /// Proves the PIN and loads the key `first` with the same proof.
    ///
    /// This takes 6 commands with a counter and 4 with the chip's lockout. A program that logs in
    /// usually signs next, so this saves a second proof of the PIN.
    ///
    /// # Errors
    ///
    /// As for [`TokenKey::verify`], and [`Error::Integrity`] if `first` is not a key of
    /// this token.
    pub fn open(
        &self,
        root: &OpenSrk<'_>,
        pin: &PinAuth,
        first: Option<&KeyBlob>,
    ) -> Result<Option<ReadyKey>> {
        match first {
            Some(key) => self.load_key(root, pin, key).map(Some),
            None => self.verify(root, pin).map(|()| None),
        }
    }

    /// Loads a key of this token. An imported key takes four commands more: its arrival key is
    /// loaded, and the policy of that key is satisfied.
    ///
    /// # Errors
    ///
    /// As for [`TokenKey::open`].
    pub fn load_key(&self, root: &OpenSrk<'_>, pin: &PinAuth, key: &KeyBlob) -> Result<ReadyKey> {
        self.load_key_in(root, pin, key, None)
    }

    /// As [`TokenKey::load_key`], in `sessions` if there are any. Keys of a token without a PIN do
    /// not use them.
    pub(crate) fn load_key_in<'op>(
        &'op self,
        root: &OpenSrk<'op>,
        pin: &'op PinAuth,
        key: &KeyBlob,
        sessions: Option<Sessions<'op>>,
    ) -> Result<ReadyKey> {
        let op = root.op();
        root.within(|| {
            self.refuse_idle_pin(pin)?;
            let loaded = if self.wall == Wall::None {
                drop(sessions);
                self.load_unguarded(root, key)?
            } else {
                let sessions = sessions.map_or_else(|| Sessions::start(root), Ok)?;
                let unlocked = self.unlock_in(root, pin, sessions)?;
                match key.arrival() {
                    Some(arrival) => unlocked.load_imported(op, arrival, key)?,
                    None => unlocked.load_key(op, key)?,
                }
            };
            ReadyKey::take(op, loaded, key)
        })
    }

    /// Loads a key of a token without a PIN, without a session. This saves one command for a host
    /// key. The reply is not authenticated, and signatures of the key are verified.
    fn load_unguarded<'op>(&self, root: &OpenSrk<'op>, key: &KeyBlob) -> Result<Transient<'op>> {
        let command = root.parent_of(CommandCode::Load).about(Entity::TokenKey);
        let command = create_load::with_blob(command, &self.blob);
        let token_key = create_load::loaded_unauthenticated(root.op(), command, &self.blob)?;
        if let Some(arrival) = key.arrival() {
            return Self::load_imported_unguarded(root.op(), token_key, arrival, key);
        }
        let command = Command::new(CommandCode::Load)
            .about(Entity::TokenKey)
            .handle(token_key.handle(), token_key.name())
            .empty_auth();
        let command = create_load::with_blob(command, key.blob());
        create_load::loaded_unauthenticated(root.op(), command, key.blob())
            .map_err(|err| create_load::about_child(err, Entity::Key))
    }

    /// Makes a signing key below this one. An RSA key can take minutes.
    ///
    /// # Errors
    ///
    /// [`Error::NotSupported`] if the chip lacks this type of key; otherwise as for
    /// [`TokenKey::verify`].
    pub fn create_key(
        &self,
        root: &OpenSrk<'_>,
        pin: &PinAuth,
        key_type: KeyType,
        usage: Usage,
    ) -> Result<Blob> {
        root.within(|| {
            let unlocked = self.unlock(root, pin)?;
            let command = unlocked
                .command(CommandCode::Create, Then::Done)
                .makes_rsa(key_type.is_rsa())
                .param_sized(&sealed::unguarded(&[]))
                .param_sized(&template::signing_key(key_type, usage)?);
            let command = unlocked.prove(create_load::finished(command))?;
            let blob = create_load::created(root.op(), command)
                .map_err(|err| not_supported(err, key_type))?;
            KeyBlob::parse(blob.clone())?;
            Ok(blob)
        })
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
