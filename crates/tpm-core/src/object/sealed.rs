//! Sealed bytes: objects of the chip that hold a secret behind an authorization value.

use rand_core::{OsRng, RngCore};
use zeroize::Zeroizing;

use crate::{
    AuthValue, Blob, Error, Name, Operation, Result,
    command::{
        Code, Command,
        crypto::DIGEST,
        session::{Session, Use},
    },
    hierarchy::srk::OpenSrk,
    object::{create_load, transient::Transient},
    structures::{
        marshal::Put,
        template::{self, Tries},
    },
};

/// Sealed bytes outside of the chip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sealed {
    blob: Blob,
    name: Name,
    words: &'static str,
}

impl Sealed {
    /// Seals `data` below the storage root key, behind `auth`; errors call it `words`.
    pub(crate) fn create(
        op: &Operation<'_>,
        parent: &OpenSrk<'_>,
        (tries, words): (Tries, &'static str),
        auth: &AuthValue,
        data: &[u8],
    ) -> Result<Self> {
        let session = Session::proven(op, parent)?;
        let command = parent
            .parent_of(Code::Create)
            .session(session.plain().hide_command().last())
            .param_sized(&sensitive(auth, data))
            .param_sized(&template::sealed_object(tries)?);
        let blob = create_load::created(op, create_load::finished(command))?;
        Self::from_blob(blob, tries, words)
    }

    /// Sealed bytes from their stored form.
    ///
    /// # Errors
    ///
    /// [`Error::KeyRefused`] or [`Error::Malformed`] for anything but sealed bytes of this kind.
    pub(crate) fn from_blob(blob: Blob, tries: Tries, words: &'static str) -> Result<Self> {
        blob.check_private()?;
        let template = template::sealed_object(tries)?;
        let prefix = &template[..template.len() - 2];
        let unique = blob.public.strip_prefix(prefix);
        if !unique.is_some_and(|unique| unique.len() == 34 && unique.starts_with(&[0, 32])) {
            return Err(Error::KeyRefused(
                "it is not the sealed object that it stands for",
            ));
        }
        let name = blob.name();
        Ok(Self { blob, name, words })
    }

    /// The bytes to be stored.
    pub(crate) fn blob(&self) -> &Blob {
        &self.blob
    }

    /// Its Name, which stays the same when its authorization value changes.
    pub(crate) fn name(&self) -> &Name {
        &self.name
    }

    /// Loads it below the storage root key; `witness` authenticates the reply.
    pub(crate) fn load<'op>(
        &self,
        op: &'op Operation<'op>,
        parent: &OpenSrk<'_>,
        witness: Use<'_>,
    ) -> Result<Transient<'op>> {
        let command = parent
            .parent_of(Code::Load)
            .about(self.words)
            .session(witness.hide_response());
        create_load::loaded(op, create_load::with_blob(command, &self.blob), &self.blob)
    }

    /// Checks that the chip takes it.
    pub(crate) fn check(&self, op: &Operation<'_>, parent: &OpenSrk<'_>) -> Result<()> {
        let session = Session::hmac(op, parent)?;
        self.load(op, parent, session.plain().last()).map(drop)
    }

    /// Runs `TPM2_PolicySecret` with it in `policy`, for the one command with the hash
    /// `cp_hash`.
    ///
    /// The chip loads it in the session that then proves its authorization value: so nothing
    /// about the value goes out before the chip has shown that it holds the storage root key.
    pub(crate) fn prove_in<S>(
        &self,
        op: &Operation<'_>,
        parent: &OpenSrk<'_>,
        auth: &AuthValue,
        policy: &Session<'_, S>,
        cp_hash: &[u8; DIGEST],
    ) -> Result<()> {
        let session = Session::hmac(op, parent)?;
        let object = self.load(op, parent, session.plain())?;
        let entity = (object.handle(), object.name(), self.words);
        policy.prove_secret(entity, session.authorizes(auth).last(), cp_hash)
    }
}

/// Takes out what is sealed in the loaded `object`, which errors call `words`.
///
/// `proof` is a salted session that authorizes it; the answer comes encrypted.
pub(crate) fn unseal(
    op: &Operation<'_>,
    object: &Transient<'_>,
    words: &'static str,
    proof: Use<'_>,
) -> Result<AuthValue> {
    let command = Command::new(Code::Unseal)
        .about(words)
        .handle(object.handle(), object.name())
        .session(proof.hide_response().last());
    let response = op.run(command)?;
    let mut reader = response.reader();
    let data = Zeroizing::new(reader.sized()?.to_vec());
    reader.finish()?;
    AuthValue::new(&data)
}

/// 32 random bytes, for objects whose contents nobody needs.
pub(crate) fn nothing() -> Zeroizing<[u8; 32]> {
    let mut bytes = Zeroizing::new([0; 32]);
    OsRng.fill_bytes(&mut *bytes);
    bytes
}

/// The contents of a `TPM2B_SENSITIVE_CREATE`: authorization value and sealed data.
pub(crate) fn sensitive(auth: &AuthValue, data: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(80));
    bytes.put_sized(auth.bytes());
    bytes.put_sized(data);
    bytes
}
