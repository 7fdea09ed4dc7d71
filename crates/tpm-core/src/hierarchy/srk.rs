//! The storage root key (SRK): the root of everything that is kept outside of the chip.

use crate::{
    AuthValue, Error, Name, Operation, Result,
    chip::get_capability::storage_kind,
    command::{
        Code, Command,
        crypto::{self, Salt},
        exception::Exception,
        policy::no_command,
        session::{SaltKey, Session},
    },
    error::rc,
    hierarchy::primary::{self, Primary},
    structures::{
        algorithm, attributes,
        hierarchy::Hierarchy,
        marshal::{Put, Reader},
        storage_key,
        template::{self, StorageKind},
    },
};

/// The handle where the TCG wants the SRK.
///
/// # Source
///
/// TCG TPM v2.0 Provisioning Guidance, section 7.8.
pub const HANDLE: u32 = 0x8100_0001;

/// The handle of an SRK of our own, beside one that cannot serve: an owner's handle that no
/// registry gives to anybody.
///
/// # Source
///
/// TCG Registry of Reserved TPM 2.0 Handles, section 2.3.1.
pub const OWN_HANDLE: u32 = 0x8100_7373;

/// Why the key at [`HANDLE`] cannot serve. It stays as it is: others may use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unfit {
    /// It is no storage key.
    #[error("another key is in its place")]
    Foreign,
    /// A token key below it would have to have these algorithms, too.
    #[error("it has other algorithms than SHA-256 and AES-128")]
    Algorithms,
    /// It has an authorization value.
    #[error("it has a password")]
    Password,
    /// The chip refuses to read a salt with it.
    #[error("the TPM opens no session with it")]
    Unsaltable,
}

/// What is at [`HANDLE`].
enum Found {
    Nothing,
    Fit(Srk),
    Unfit(Unfit),
}

/// A storage root key, as it is pinned: its handle and whole public area.
///
/// Everything below an SRK loads only below this very one, so its Name stands for "this TPM,
/// not cleared since".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Srk {
    /// The persistent handle, or 0 where the key is made anew for each operation.
    handle: u32,
    public: Vec<u8>,
    name: Name,
}

impl Srk {
    /// The SRK at its persistent handle, whoever made it.
    ///
    /// That it is there is what the chip says, or who sits before it. Compare it with a pinned
    /// one, or show its [`name`](Self::name) to a person and [`prove`](Self::prove) it.
    ///
    /// # Errors
    ///
    /// [`Error::HandleOccupied`] if something else is there; [`Error::ReplyForged`] if the Name
    /// is not that of the public area.
    pub fn find(op: &Operation<'_>) -> Result<Option<Self>> {
        Self::find_at(op, HANDLE)
    }

    /// The SRK that serves: the one at its handle, or else one of our own beside it.
    ///
    /// # Errors
    ///
    /// Failures of the chip.
    pub fn find_serving(op: &Operation<'_>) -> Result<Option<Self>> {
        match Self::look(op)? {
            Found::Fit(srk) => Ok(Some(srk)),
            Found::Nothing => Ok(None),
            Found::Unfit(_) => Self::find_own(op),
        }
    }

    /// Why the key at the SRK's handle cannot serve, if there is one and it cannot.
    ///
    /// # Errors
    ///
    /// Failures of the chip.
    pub fn unfit(op: &Operation<'_>) -> Result<Option<Unfit>> {
        Ok(match Self::look(op)? {
            Found::Unfit(why) => Some(why),
            Found::Nothing | Found::Fit(_) => None,
        })
    }

    fn look(op: &Operation<'_>) -> Result<Found> {
        let srk = match Self::find(op) {
            Ok(Some(srk)) => srk,
            Ok(None) => return Ok(Found::Nothing),
            Err(Error::HandleOccupied(_)) => return Ok(Found::Unfit(Unfit::Foreign)),
            Err(err) => return Err(err),
        };
        Ok(match srk.fitness(op)? {
            None => Found::Fit(srk),
            Some(why) => Found::Unfit(why),
        })
    }

    fn fitness(&self, op: &Operation<'_>) -> Result<Option<Unfit>> {
        if !self.has_our_algorithms() {
            return Ok(Some(Unfit::Algorithms));
        }
        if !self.takes_salts(op)? {
            return Ok(Some(Unfit::Unsaltable));
        }
        let password = self.has_password(op)? == Some(true);
        Ok(password.then_some(Unfit::Password))
    }

    /// The key of our own, if it is there and serves.
    pub(crate) fn find_own(op: &Operation<'_>) -> Result<Option<Self>> {
        match Self::find_at(op, OWN_HANDLE) {
            Ok(Some(srk)) if srk.fitness(op)?.is_none() => Ok(Some(srk)),
            Ok(_) | Err(Error::HandleOccupied(_)) => Ok(None),
            Err(err) => Err(err),
        }
    }

    /// A fixed-parent storage key below another has to have its parent's name algorithm and
    /// symmetric algorithm (part 3, section 12.1, on the checks of `TPM2_Create`).
    fn has_our_algorithms(&self) -> bool {
        // Type, name algorithm, attributes; policy with its length; AES, 128 bits, CFB.
        let sha_256 = self.public.get(2..4) == Some(&algorithm::SHA256.to_be_bytes()[..]);
        let mut reader = Reader::new(&self.public, "storage root key");
        let symmetric = reader
            .take(8)
            .and_then(|_| reader.sized())
            .and_then(|_| Ok([reader.u16()?, reader.u16()?, reader.u16()?]));
        sha_256 && symmetric.is_ok_and(|found| found == [algorithm::AES, 128, algorithm::CFB])
    }

    /// Whether the chip reads a salt with it.
    fn takes_salts(&self, op: &Operation<'_>) -> Result<bool> {
        let open = self.open(op)?;
        match Session::hmac(op, &open) {
            Ok(_) => Ok(true),
            Err(Error::Command { .. }) => Ok(false),
            Err(err) => Err(err),
        }
    }

    fn find_at(op: &Operation<'_>, handle: u32) -> Result<Option<Self>> {
        let found = primary::read_public(op, handle, Exception::FirstUse)?;
        let Some((public, name)) = found else {
            return Ok(None);
        };
        let srk = Self {
            handle,
            public,
            name,
        };
        srk.check_attributes()
            .map_err(|_| Error::HandleOccupied(handle))?;
        Ok(Some(srk))
    }

    /// The SRK at its persistent handle; where there is none, it is made from the TCG's
    /// template and, where the chip has room, made persistent.
    ///
    /// What is there and cannot serve ([`Srk::unfit`]) stays, as others may use it: one of our
    /// own is then made at [`OWN_HANDLE`].
    ///
    /// `owner` is the owner hierarchy's authorization value. This is the first use, which trusts
    /// the key that it finds: the chip shows that it holds the private half, but nothing here
    /// says that it is a genuine chip. Keep the key, and show its [`name`](Self::name).
    ///
    /// # Errors
    ///
    /// [`Error::AuthRejected`] if `owner` is wrong: only the owner can make an SRK.
    /// [`Error::OtherTpm`] if the chip does not hold the key that it shows.
    pub fn find_or_create(op: &Operation<'_>, owner: &AuthValue) -> Result<Self> {
        let handle = match Self::look(op)? {
            Found::Fit(srk) => return srk.proven(op),
            Found::Nothing => HANDLE,
            Found::Unfit(_) => match Self::find_own(op)? {
                Some(srk) => return srk.proven(op),
                None => OWN_HANDLE,
            },
        };
        let (key, made) = Self::make(op, owner)?;
        let session = Session::proven(op, &key)?;
        match primary::persist(op, &key, handle, session.authorizes(owner).last()) {
            Ok(()) => Ok(Self { handle, ..made }),
            // Somebody else was quicker.
            Err(err) if err.is_rc(rc::NV_DEFINED) => {
                drop((session, key));
                // What somebody else has at our handle is not in the way of a transient one.
                Self::find_serving(op)?.unwrap_or(made).proven(op)
            }
            // It is the same key, only made anew each time, for which an owner's password would
            // be needed each time.
            Err(Error::NvSpace) if owner.is_empty() => Ok(made),
            Err(err) => Err(err),
        }
    }

    /// Makes the SRK anew from the TCG's template, in place of whatever is at its handle.
    ///
    /// Keys below the old one are lost, unless that came from the same template and differed
    /// by its authorization value alone: then it is the same key again.
    ///
    /// # Errors
    ///
    /// As for [`Srk::find_or_create`]. What is there stays if the new one cannot be made.
    pub fn make_anew(op: &Operation<'_>, owner: &AuthValue) -> Result<Self> {
        let (key, made) = Self::make(op, owner)?;
        if let Some((_, name)) = primary::read_public(op, HANDLE, Exception::ClaimedName)? {
            let session = Session::proven(op, &key)?;
            primary::remove(op, HANDLE, &name, session.authorizes(owner).last())?;
        }
        let session = Session::proven(op, &key)?;
        primary::persist(op, &key, HANDLE, session.authorizes(owner).last())?;
        Ok(Self {
            handle: HANDLE,
            ..made
        })
    }

    /// This key, after the chip has shown that it holds it.
    fn proven(self, op: &Operation<'_>) -> Result<Self> {
        self.prove(op)?;
        Ok(self)
    }

    /// Makes an SRK in a transient slot.
    ///
    /// The reply is authenticated by a key that is made for this and thrown away. On a chip that
    /// takes minutes for such a key, and whose owner has no password to protect, that is spared:
    /// what comes back is compared with the template.
    fn make<'op>(op: &'op Operation<'op>, owner: &AuthValue) -> Result<(Primary<'op>, Self)> {
        let kind = storage_kind(op)?;
        let template = template::storage_root_key(kind)?;
        let key = if kind.is_rsa() && owner.is_empty() {
            primary::create_unauthenticated(op, &template, Exception::FirstUse)?
        } else {
            let root = primary::throw_away(op, &template)?;
            let session = Session::proven(op, &root)?;
            drop(root);
            let proof = session.authorizes(owner).last();
            primary::create(op, Hierarchy::Owner, proof, &template)?
        };
        // The template ends in a public key that is to be filled in: a modulus of zeros with its
        // length, or two empty coordinates.
        let unique = if kind.is_rsa() { 2 + 256 } else { 2 + 2 };
        if !key
            .public()
            .starts_with(&template[..template.len() - unique])
        {
            return Err(Error::ReplyForged {
                command: Code::CreatePrimary.name(),
            });
        }
        let made = Self {
            handle: 0,
            public: key.public().to_vec(),
            name: key.name().clone(),
        };
        Ok((key, made))
    }

    /// Whether it has an authorization value, with which few programs can use it. Those of
    /// this crate cannot.
    ///
    /// `None` if the chip would count the question as a failure towards its lockout.
    ///
    /// # Errors
    ///
    /// Failures of the chip.
    pub fn has_password(&self, op: &Operation<'_>) -> Result<Option<bool>> {
        if self.handle == 0 {
            return Ok(Some(false));
        }
        if self.attributes()? & attributes::NO_DA == 0 {
            return Ok(None);
        }
        let open = self.open(op)?;
        let session = Session::proven(op, &open)?;
        let policy = Session::unsalted_policy(op)?;
        let none = AuthValue::empty();
        let entity = (self.handle, &self.name, "storage root key");
        match policy.prove_secret(entity, session.authorizes(&none).last(), &no_command()) {
            Ok(()) => Ok(Some(false)),
            Err(Error::AuthRejected { .. }) => Ok(Some(true)),
            Err(err) => Err(err),
        }
    }

    /// An SRK as [`Srk::to_bytes`] wrote it.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] for anything that is not exactly that, and for a Name that is not
    /// the public area's.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes, "pinned storage root key");
        let handle = reader.u32()?;
        let name = Name::from_bytes(reader.sized()?);
        let public = reader.sized()?.to_vec();
        reader.finish()?;
        let is_its_name = Name::of_public_area(&public)? == name;
        if !matches!(handle, 0 | HANDLE | OWN_HANDLE) || !is_its_name {
            return Err(Error::Malformed("pinned storage root key"));
        }
        let srk = Self {
            handle,
            public,
            name,
        };
        srk.check_attributes()?;
        Ok(srk)
    }

    /// The bytes to be stored: handle (4 bytes), Name and public area, each with a 16-bit
    /// length; big-endian.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.handle.to_be_bytes().to_vec();
        bytes.put_sized(self.name.bytes());
        bytes.put_sized(&self.public);
        bytes
    }

    /// The Name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Whether it is one of our own beside another that cannot serve.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.handle == OWN_HANDLE
    }

    /// Whether it has a persistent handle.
    #[must_use]
    pub fn is_persistent(&self) -> bool {
        self.handle != 0
    }

    /// Checks that the chip's SRK is this one: the chip shows that it holds the private half.
    ///
    /// # Errors
    ///
    /// [`Error::OtherTpm`] if it is another, or is gone.
    pub fn check(&self, op: &Operation<'_>) -> Result<()> {
        self.is_claimed(op)?;
        self.prove(op)
    }

    /// Has the chip show that it holds the private half, by a reply that is authenticated
    /// with a salt only that half reads: a proxy can claim to have any public key.
    ///
    /// # Errors
    ///
    /// [`Error::OtherTpm`] if it does not.
    pub fn prove(&self, op: &Operation<'_>) -> Result<()> {
        let ask = || {
            let open = self.open(op)?;
            Session::proven(op, &open).map(drop)
        };
        match ask() {
            Err(Error::AuthRejected { .. } | Error::ReplyForged { .. } | Error::Command { .. }) => {
                Err(Error::OtherTpm)
            }
            result => result,
        }
    }

    /// Whether the chip claims to have it.
    fn is_claimed(&self, op: &Operation<'_>) -> Result<()> {
        if self.handle == 0 {
            return self.open(op).map(drop);
        }
        match primary::read_public(op, self.handle, Exception::PinnedName) {
            Ok(Some((public, name))) if public == self.public && name == self.name => Ok(()),
            Ok(_) | Err(Error::ReplyForged { .. }) => Err(Error::OtherTpm),
            Err(err) => Err(err),
        }
    }

    /// `err`, unless the reason behind it is that this is another TPM.
    pub(crate) fn explain(&self, op: &Operation<'_>, err: Error) -> Error {
        let may_be = matches!(
            err,
            Error::Integrity(_)
                | Error::Command { .. }
                | Error::AuthRejected { .. }
                | Error::Policy(_)
                | Error::NvMissing(_)
                | Error::Stale
                | Error::ReplyForged { .. }
        );
        // A proof costs two commands: it is asked for only after errors that another chip would
        // give. A wrong PIN is not such an error.
        let doubtful = matches!(err, Error::Integrity(_) | Error::ReplyForged { .. });
        let checked = match may_be.then(|| self.is_claimed(op)) {
            Some(Ok(())) if doubtful => Some(self.prove(op)),
            checked => checked,
        };
        match checked {
            Some(Err(Error::OtherTpm)) => Error::OtherTpm,
            _ => err,
        }
    }

    /// Makes the SRK usable in `op`: nothing to do for a persistent one.
    pub(crate) fn open<'op>(&'op self, op: &'op Operation<'op>) -> Result<OpenSrk<'op>> {
        let primary = if self.handle == 0 {
            let kind = StorageKind::of_public(&self.public);
            let template = template::storage_root_key(kind)?;
            let key = primary::create_unauthenticated(op, &template, Exception::PinnedName)?;
            if *key.name() != self.name {
                return Err(Error::OtherTpm);
            }
            Some(key)
        } else {
            None
        };
        Ok(OpenSrk { srk: self, primary })
    }

    /// It must be a storage key that cannot leave the chip.
    fn check_attributes(&self) -> Result<()> {
        let needed = attributes::FIXED_TPM
            | attributes::FIXED_PARENT
            | attributes::RESTRICTED
            | attributes::DECRYPT;
        if self.attributes()? & needed != needed {
            return Err(Error::Malformed("storage root key"));
        }
        storage_key::parse(&self.public).map(drop)
    }

    fn attributes(&self) -> Result<u32> {
        let mut reader = Reader::new(&self.public, "storage root key");
        reader.take(4)?;
        reader.u32()
    }
}

/// An SRK that can be used as a parent and for salts.
pub(crate) struct OpenSrk<'op> {
    srk: &'op Srk,
    primary: Option<Primary<'op>>,
}

impl OpenSrk<'_> {
    pub(crate) fn name(&self) -> &Name {
        &self.srk.name
    }

    /// The beginning of a command with the SRK as the parent of an object.
    ///
    /// An SRK has no authorization value, so that none is proven: a session beside it
    /// authenticates. (An HMAC that was changed on its way would count as a failure with an SRK
    /// that the chip's lockout protects.)
    pub(crate) fn parent_of(&self, code: Code) -> Command<'_> {
        Command::new(code)
            .about("storage root key")
            .handle(self.handle(), self.name())
            .empty_auth()
    }
}

impl SaltKey for OpenSrk<'_> {
    fn handle(&self) -> u32 {
        self.primary
            .as_ref()
            .map_or(self.srk.handle, SaltKey::handle)
    }

    fn salt(&self) -> Result<Salt> {
        crypto::salt_to(&self.srk.public)
    }
}

/// A proven session for the authorization value of a hierarchy.
///
/// It is salted to `srk`. If there is none, it is salted to a storage key that is made for this
/// purpose and thrown away: that keeps the value from whoever only records, as on any first use.
pub(crate) fn session_for_hierarchy<'op>(
    op: &'op Operation<'op>,
    srk: Option<&Srk>,
) -> Result<Session<'op>> {
    match srk {
        Some(srk) => {
            let ask = || {
                let open = srk.open(op)?;
                Session::proven(op, &open)
            };
            ask().map_err(|err| srk.explain(op, err))
        }
        None => {
            let root = primary::throw_away(op, &template::storage_root_key(storage_kind(op)?)?)?;
            Session::proven(op, &root)
        }
    }
}
