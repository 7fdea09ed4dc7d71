//! Sealed objects: they hold a secret that the chip gives out for an authorization value.

use rand_core::{OsRng, RngCore};
use tpm_wire::Put;
use zeroize::Zeroizing;

use crate::{
    AuthValue, Blob, Entity, Error, Name, Operation, Result,
    command::{
        Command, CommandCode,
        crypto::DIGEST,
        session::{Session, Use},
    },
    hierarchy::srk::open::OpenSrk,
    object::{create_load, transient::Transient},
    structures::template::{self, Tries},
};

/// A kind of sealed object below the storage root key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind {
    /// Its name in errors.
    pub(crate) entity: Entity,
    /// Whether the chip counts wrong authorization values.
    pub(crate) tries: Tries,
}

/// A sealed object in its stored form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sealed {
    blob: Blob,
    name: Name,
    entity: Entity,
}

impl Sealed {
    /// Seals `data` below the storage root key, with the authorization value `auth`.
    pub(crate) fn create(
        root: &OpenSrk<'_>,
        kind: Kind,
        auth: &AuthValue,
        data: &[u8],
    ) -> Result<Self> {
        let session = Session::proven(root.op(), root)?;
        let command = root
            .parent_of(CommandCode::Create)
            .session(session.plain().hide_command().last())
            .param_sized(&sensitive(auth, data))
            .param_sized(&template::sealed_object(kind.tries)?);
        let blob = create_load::created(root.op(), create_load::finished(command))?;
        Self::from_blob(blob, kind)
    }

    /// A sealed object from its stored form.
    ///
    /// # Errors
    ///
    /// [`Error::KeyRefused`] or [`Error::Malformed`] if it is not a sealed object of this kind.
    pub(crate) fn from_blob(blob: Blob, kind: Kind) -> Result<Self> {
        blob.check_private()?;
        let template = template::sealed_object(kind.tries)?;
        let prefix = &template[..template.len() - 2];
        let unique = blob.public.strip_prefix(prefix);
        if !unique.is_some_and(|unique| unique.len() == 34 && unique.starts_with(&[0, 32])) {
            return Err(Error::KeyRefused(
                "it is not the sealed object that it stands for",
            ));
        }
        let name = blob.name();
        Ok(Self {
            blob,
            name,
            entity: kind.entity,
        })
    }

    /// The bytes to store.
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
        root: &OpenSrk<'op>,
        witness: Use<'_>,
    ) -> Result<Transient<'op>> {
        let command = root
            .parent_of(CommandCode::Load)
            .about(self.entity)
            .session(witness.hide_response());
        create_load::loaded(
            root.op(),
            create_load::with_blob(command, &self.blob),
            &self.blob,
        )
    }

    /// Checks that the chip loads it.
    pub(crate) fn check(&self, root: &OpenSrk<'_>) -> Result<()> {
        root.within(|| {
            let session = Session::hmac(root.op(), root)?;
            self.load(root, session.plain().last()).map(drop)
        })
    }

    /// Runs `TPM2_PolicySecret` with it in `policy`, only for the command with the hash `cp_hash`.
    ///
    /// The session that loads the object also proves its authorization value. So the chip has shown
    /// that it holds the storage root key before an HMAC with the value is sent.
    pub(crate) fn prove_in<S>(
        &self,
        root: &OpenSrk<'_>,
        auth: &AuthValue,
        policy: &Session<'_, S>,
        cp_hash: &[u8; DIGEST],
    ) -> Result<()> {
        let session = Session::hmac(root.op(), root)?;
        let object = self.load(root, session.plain())?;
        let holder = (object.handle(), object.name(), self.entity);
        policy.prove_secret(holder, session.authorizes(auth).last(), cp_hash)
    }
}

/// Unseals the loaded `object`, which errors call `entity`.
///
/// `proof` is a salted session that authorizes it. The reply is encrypted.
pub(crate) fn unseal(
    op: &Operation<'_>,
    object: &Transient<'_>,
    entity: Entity,
    proof: Use<'_>,
) -> Result<AuthValue> {
    AuthValue::new(&unsealed(op, object, entity, proof)?)
}

/// The same as it was sealed: zeros at its end are part of it.
pub(crate) fn unsealed(
    op: &Operation<'_>,
    object: &Transient<'_>,
    entity: Entity,
    proof: Use<'_>,
) -> Result<Zeroizing<Vec<u8>>> {
    let command = Command::new(CommandCode::Unseal)
        .about(entity)
        .handle(object.handle(), object.name())
        .session(proof.hide_response().last());
    let response = op.run(command)?;
    let mut reader = response.reader();
    let data = Zeroizing::new(reader.sized()?.to_vec());
    reader.finish()?;
    Ok(data)
}

/// 32 random bytes, for objects that need contents and whose contents are never used.
pub(crate) fn nothing() -> Zeroizing<[u8; 32]> {
    let mut bytes = Zeroizing::new([0; 32]);
    OsRng.fill_bytes(&mut *bytes);
    bytes
}

/// The contents of a `TPM2B_SENSITIVE_CREATE`: authorization value and sealed data.
pub(crate) fn sensitive(auth: &AuthValue, data: &[u8]) -> Zeroizing<Vec<u8>> {
    // Large enough at once: a longer one would leave a copy behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(4 + auth.bytes().len() + data.len()));
    bytes.put_sized(auth.bytes());
    bytes.put_sized(data);
    bytes
}

/// The same for an object without an authorization value.
pub(crate) fn unguarded(data: &[u8]) -> Zeroizing<Vec<u8>> {
    sensitive(&AuthValue::empty(), data)
}
