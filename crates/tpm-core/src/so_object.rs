//! The SO object: sealed bytes whose authorization value is the SO PIN.
//!
//! It guards nothing by what it seals. It exists to have a Name that holds randomness made by
//! the chip and so cannot be made again: a policy that names it can be satisfied by nobody
//! who lacks this very blob and its authorization value.

use rand_core::{OsRng, RngCore};
use zeroize::Zeroizing;

use crate::{
    AuthValue, Blob, Error, Name, Operation, Result, Srk,
    command::{Code, Command},
    session::Session,
    srk::OpenSrk,
    template, token_key,
    transient::Transient,
    wire::Put,
};

/// What errors call it.
pub(crate) const WORDS: &str = "SO PIN";

/// An SO object outside of the chip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SoObject {
    blob: Blob,
    name: Name,
}

impl SoObject {
    /// Makes one whose authorization value is `auth`.
    ///
    /// # Errors
    ///
    /// Failures of the chip; nothing stays in it.
    pub fn create(op: &Operation<'_>, srk: &Srk, auth: &AuthValue) -> Result<Self> {
        let parent = srk.open(op)?;
        let session = Session::hmac(op, &parent)?;
        let mut sealed = Zeroizing::new([0; 32]);
        OsRng.fill_bytes(&mut *sealed);
        let command = Command::new(Code::Create)
            .about("storage root key")
            .handle(parent.handle(), parent.name())
            .session(session.plain().hide_command().last());
        let command = command
            .param_sized(&sensitive(auth, &*sealed))
            .param_sized(&template::sealed_object()?);
        let blob = token_key::created(op, command)?;
        Self::from_blob(blob)
    }

    /// An SO object from its stored form.
    ///
    /// # Errors
    ///
    /// [`Error::KeyRefused`] or [`Error::Malformed`] for anything but an SO object.
    pub fn from_blob(blob: Blob) -> Result<Self> {
        blob.check_private()?;
        let template = template::sealed_object()?;
        let prefix = &template[..template.len() - 2];
        let unique = blob.public.strip_prefix(prefix);
        if !unique.is_some_and(|unique| unique.len() == 34 && unique.starts_with(&[0, 32])) {
            return Err(Error::KeyRefused("it is not an SO object"));
        }
        let name = blob.name();
        Ok(Self { blob, name })
    }

    /// The bytes to be stored.
    #[must_use]
    pub fn blob(&self) -> &Blob {
        &self.blob
    }

    /// Its Name, which stays the same when its authorization value changes.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Proves that `auth` is its authorization value.
    ///
    /// # Errors
    ///
    /// [`Error::AuthRejected`] for a wrong one, which the chip counts towards its lockout;
    /// [`Error::Lockout`]; [`Error::OtherTpm`].
    pub fn verify(&self, op: &Operation<'_>, srk: &Srk, auth: &AuthValue) -> Result<()> {
        let run = || {
            let parent = srk.open(op)?;
            let policy = Session::policy(op)?;
            self.prove_in(op, &parent, auth, &policy)
        };
        run().map_err(|err| srk.explain(op, err))
    }

    /// Gives it another authorization value: the same object, with a new private part.
    ///
    /// An old copy of the private part keeps answering to the old value.
    ///
    /// # Errors
    ///
    /// As for [`SoObject::verify`].
    pub fn change_auth(
        &self,
        op: &Operation<'_>,
        srk: &Srk,
        old: &AuthValue,
        new: &AuthValue,
    ) -> Result<Self> {
        let run = || {
            let parent = srk.open(op)?;
            let object = self.load(op, &parent)?;
            let session = Session::hmac(op, &parent)?;
            let command = Command::new(Code::ObjectChangeAuth)
                .about(WORDS)
                .handle(object.handle(), object.name())
                .handle(parent.handle(), parent.name())
                .session(session.authorizes(old).hide_command().last())
                .param_sized(new.bytes());
            let response = op.run(command)?;
            let private = response.reader().sized()?.to_vec();
            Self::from_blob(Blob {
                public: self.blob.public.clone(),
                private,
            })
        };
        run().map_err(|err| srk.explain(op, err))
    }

    /// Runs `TPM2_PolicySecret` with this object in `policy`.
    pub(crate) fn prove_in(
        &self,
        op: &Operation<'_>,
        parent: &OpenSrk<'_>,
        auth: &AuthValue,
        policy: &Session<'_>,
    ) -> Result<()> {
        let object = self.load(op, parent)?;
        let session = Session::hmac(op, parent)?;
        let entity = (object.handle(), object.name(), WORDS);
        policy.prove_secret(op, entity, session.authorizes(auth).last())
    }

    fn load<'op>(&self, op: &'op Operation<'op>, parent: &OpenSrk<'_>) -> Result<Transient<'op>> {
        let command = Command::new(Code::Load)
            .about("SO object")
            .handle(parent.handle(), parent.name())
            .empty_auth();
        token_key::loaded(op, command, &self.blob)
    }
}

/// The contents of a `TPM2B_SENSITIVE_CREATE`: authorization value and sealed data.
pub(crate) fn sensitive(auth: &AuthValue, data: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(80));
    bytes.put_sized(auth.bytes());
    bytes.put_sized(data);
    bytes
}
