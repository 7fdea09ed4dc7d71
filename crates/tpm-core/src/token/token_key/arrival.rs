//! Keys that were made outside of the chip: how they come in, and how they are loaded.

use tpm_wire::algorithm;

use super::{TokenKey, not_supported, unlocked::Then};
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
    /// Makes the arrival key of this token: what [`TokenKey::import`] takes. One is enough for all
    /// keys. Where the chip has no elliptic curves it is an RSA key, which can take minutes.
    ///
    /// # Errors
    ///
    /// As for [`TokenKey::verify`].
    pub fn create_arrival_key(&self, root: &OpenSrk<'_>, pin: &PinAuth) -> Result<ArrivalKey> {
        // A storage key that cannot be duplicated has its parent's algorithms.
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

    /// Brings `key` into the chip, below `arrival`, for `usage`.
    ///
    /// The private key is wrapped for the public key of `arrival` only after the chip has loaded
    /// that very key below this token key, and has said so in a reply that the session salted to
    /// the storage root key authenticates. So only that chip can read it, whatever is in
    /// the store or on the bus.
    ///
    /// What comes back is to be kept. For ever it is a key with an origin
    /// ([`Origin::Outside`](crate::Origin::Outside)): its public area says so, and the chip loads the
    /// private part with no other.
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
            let open = self.open_arrival(root, pin, arrival, CommandCode::Import)?;
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

    /// Loads a key that is below `arrival`.
    pub(super) fn load_imported<'op>(
        &'op self,
        root: &OpenSrk<'op>,
        pin: &'op PinAuth,
        arrival: &ArrivalKey,
        key: &KeyBlob,
    ) -> Result<Transient<'op>> {
        let open = self.open_arrival(root, pin, arrival, CommandCode::Load)?;
        let command = create_load::with_blob(open.command(CommandCode::Load), key.blob());
        create_load::loaded(root.op(), command, key.blob()).map_err(about_key)
    }

    /// Loads a key that is below `arrival` behind no wall, where nothing is authenticated: what
    /// the key signs is checked.
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

    /// Opens this key with the PIN, loads `arrival` below it, and prepares one command `code`
    /// that uses it.
    fn open_arrival<'op>(
        &'op self,
        root: &OpenSrk<'op>,
        pin: &'op PinAuth,
        arrival: &ArrivalKey,
        code: CommandCode,
    ) -> Result<OpenArrival<'op>> {
        let unlocked = self.unlock(root, pin)?;
        let command = unlocked.command(CommandCode::Load, Then::More);
        let command = unlocked.prove(create_load::with_blob(command, arrival.blob()))?;
        let key = create_load::loaded(root.op(), command, arrival.blob()).map_err(about_arrival)?;
        // The token key's slot is needed for what comes.
        let witness = unlocked.into_witness();
        let policy = policy(root.op(), code)?;
        Ok(OpenArrival {
            witness,
            policy,
            key,
        })
    }
}

/// A loaded arrival key, and what authorizes one command that uses it.
///
/// The sessions stand first, so that they are dropped, and their slots freed, before the key's.
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

/// A session that satisfies an arrival key's policy for `code`. Anybody could start one: what it
/// may do is no secret, and the witness says what was done.
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
