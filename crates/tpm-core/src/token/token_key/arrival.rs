//! Importing keys that were made outside of the chip, and loading them.

use tpm_wire::algorithm;

use super::{
    TokenKey, not_supported,
    unlocked::{Then, Unlocked},
};
use crate::{
    ArrivalKey, Blob, Entity, Error, KeyBlob, OpenSrk, Operation, PinAuth, Result, SoftwareKey,
    Usage,
    command::{
        Authentic, Command, CommandCode, Open,
        session::{Session, Unsalted},
    },
    object::{create_load, sealed, transient::Transient},
    structures::template::{self, StorageKind},
};

impl TokenKey {
    /// Makes an arrival key of this token, for [`TokenKey::import`]. One is enough for all keys. On
    /// a chip without elliptic curves it is an RSA key, which can take minutes.
    ///
    /// # Errors
    ///
    /// As for [`TokenKey::verify`].
    pub fn create_arrival_key(&self, root: &OpenSrk<'_>, pin: &PinAuth) -> Result<ArrivalKey> {
        // A storage key that cannot be duplicated must have its parent's algorithms.
        let kind = StorageKind::of_public(&self.blob.public);
        root.within(|| {
            let unlocked = self.unlock(root, pin)?;
            let command = unlocked
                .command(CommandCode::Create, Then::Done)
                .makes_rsa(kind.is_rsa())
                .param_sized(&sealed::unguarded(&[]))
                .param_sized(&template::arrival_key(kind)?);
            let command = unlocked.prove(create_load::finished(command))?;
            ArrivalKey::from_blob(create_load::created(root.op(), command)?)
        })
    }

    /// Imports `key` into the chip, below `arrival`, for `usage`. The caller stores the result.
    ///
    /// The private key is wrapped for the public key of `arrival` only after the chip has loaded
    /// that same key below this token key, in an authenticated reply. So only this chip can read
    /// it, even if somebody changed the store or the messages on the bus.
    ///
    /// The origin of the key stays [`Origin::Outside`](crate::Origin::Outside): its public area
    /// says so, and the chip loads the private part only with that public area.
    ///
    /// # Errors
    ///
    /// [`Error::NotSupported`] if the chip lacks this kind of key or `TPM2_Import`;
    /// [`Error::Integrity`] if `arrival` is not of this token; otherwise as for
    /// [`TokenKey::verify`].
    pub fn import(
        &self,
        root: &OpenSrk<'_>,
        pin: &PinAuth,
        arrival: &ArrivalKey,
        key: &SoftwareKey,
        usage: Usage,
    ) -> Result<KeyBlob> {
        root.within(|| {
            let public = key.public_area(usage)?;
            let unlocked = self.unlock(root, pin)?;
            let open = unlocked.open_arrival(root.op(), arrival, CommandCode::Import)?;
            let name = crate::Name::of_public(&public);
            // Not before the chip has loaded the arrival key.
            let wrapped = key.wrap_for(&arrival.blob().public, &name)?;
            let command = open
                .command(CommandCode::Import)
                // encryptionKey: none, since there is no inner wrapper.
                .param_sized(&[])
                .param_sized(&public)
                .param_sized(&wrapped.duplicate)
                .param_sized(&wrapped.seed)
                .param_u16(algorithm::NULL);
            let response = root
                .op()
                .run(command)
                .map_err(|err| not_supported(err, key.key_type()))?;
            let mut reader = response.reader();
            let private = reader.sized()?.to_vec();
            reader.finish()?;
            KeyBlob::parse_imported(Blob { public, private }, arrival)
        })
    }

    /// Loads a key below `arrival`, of a token without a PIN. The replies are not authenticated, and
    /// signatures of the key are verified.
    pub(super) fn load_imported_unguarded<'op>(
        op: &'op Operation<'op>,
        token_key: Transient<'op>,
        arrival: &ArrivalKey,
        key: &KeyBlob,
    ) -> Result<Transient<'op>> {
        let command = below(CommandCode::Load, &token_key, Entity::TokenKey).empty_auth();
        let command = create_load::with_blob(command, arrival.blob());
        let loaded = create_load::loaded_unauthenticated(op, command, arrival.blob())
            .map_err(about_arrival)?;
        // A chip has few slots.
        token_key.flush()?;
        let policy = policy(op, CommandCode::Load)?;
        let command =
            below(CommandCode::Load, &loaded, Entity::ArrivalKey).unsalted(policy.plain().last());
        let command = create_load::with_blob(command, key.blob());
        create_load::loaded_unauthenticated(op, command, key.blob()).map_err(about_key)
    }
}

impl<'op> Unlocked<'op> {
    /// Loads a key that is below `arrival`.
    pub(super) fn load_imported(
        self,
        op: &'op Operation<'op>,
        arrival: &ArrivalKey,
        key: &KeyBlob,
    ) -> Result<Transient<'op>> {
        let open = self.open_arrival(op, arrival, CommandCode::Load)?;
        let command = create_load::with_blob(open.command(CommandCode::Load), key.blob());
        create_load::loaded(op, command, key.blob()).map_err(about_key)
    }

    /// Loads `arrival` below the token key, and prepares one command `code` that uses it.
    fn open_arrival(
        self,
        op: &'op Operation<'op>,
        arrival: &ArrivalKey,
        code: CommandCode,
    ) -> Result<OpenArrival<'op>> {
        let command = self.command(CommandCode::Load, Then::More);
        let command = self.prove(create_load::with_blob(command, arrival.blob()))?;
        let key = create_load::loaded(op, command, arrival.blob()).map_err(about_arrival)?;
        // Frees the token key's slot for the imported key.
        let witness = self.into_witness();
        let policy = policy(op, code)?;
        Ok(OpenArrival {
            witness,
            policy,
            key,
        })
    }
}

/// A loaded arrival key, and what authorizes one command that uses it.
///
/// The sessions are declared first, so that their slots are freed before that of the key.
struct OpenArrival<'op> {
    /// The salted session that has proven the PIN, and authenticates the reply.
    witness: Session<'op>,
    policy: Session<'op, Unsalted>,
    key: Transient<'op>,
}

impl OpenArrival<'_> {
    /// The beginning of the command that this was opened for.
    fn command(&self, code: CommandCode) -> Command<'_, Authentic> {
        below(code, &self.key, Entity::ArrivalKey)
            .unsalted(self.policy.plain().last())
            .session(self.witness.plain().hide_response().last())
    }
}

/// The beginning of a command with `parent` as the parent of an object.
fn below<'a>(code: CommandCode, parent: &Transient<'_>, entity: Entity) -> Command<'a, Open> {
    Command::new(code)
        .about(entity)
        .handle(parent.handle(), parent.name())
}

/// A session that satisfies an arrival key's policy for `code`. It is unsalted, because that policy
/// needs no secret; the witness authenticates the reply.
fn policy<'op>(op: &'op Operation<'op>, code: CommandCode) -> Result<Session<'op, Unsalted>> {
    let policy = Session::unsalted_policy(op)?;
    policy.allow_command(code)?;
    policy.one_of(&template::arrival_branches())?;
    Ok(policy)
}

fn about_arrival(err: Error) -> Error {
    create_load::about_child(err, Entity::ArrivalKey)
}

fn about_key(err: Error) -> Error {
    create_load::about_child(err, Entity::Key)
}
