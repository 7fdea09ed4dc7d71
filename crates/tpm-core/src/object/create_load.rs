//! Objects below a parent: made by the chip, and loaded again.

use tpm_wire::Reader;

use crate::{
    Blob, Entity, Error, Operation, Result,
    command::{Authentic, Command, CommandCode, Open, Response, exception::Exception},
    error::rc,
    object::transient::Transient,
};

/// Adds the rest of a `TPM2_Create` after its template.
pub(crate) fn finished(command: Command<'_, Authentic>) -> Command<'_, Authentic> {
    // outsideInfo, creationPCR: none.
    command.param_sized(&[]).param_u32(0)
}

/// Runs a `TPM2_Create` and returns the new object. The authenticated reply shows that the chip
/// made it.
pub(crate) fn created(op: &Operation<'_>, command: Command<'_, Authentic>) -> Result<Blob> {
    let response = op.run(command)?;
    let mut reader = response.reader();
    let private = reader.sized()?.to_vec();
    let public = reader.sized()?.to_vec();
    Ok(Blob { public, private })
}

/// The response codes of `TPM2_Load`, beside `TPM_RC_INTEGRITY`, that mean a changed blob.
const SPOILT: [u32; 6] = [
    rc::SIZE,
    rc::INSUFFICIENT,
    rc::BINDING,
    rc::SENSITIVE,
    rc::KEY,
    rc::ECC_POINT,
];

/// Adds the parameters of a `TPM2_Load`.
pub(crate) fn with_blob<'a, A>(command: Command<'a, A>, blob: &Blob) -> Command<'a, A> {
    command.param_sized(&blob.private).param_sized(&blob.public)
}

/// Runs a `TPM2_Load` with its blob, and checks that the chip knows the object by the Name that
/// its public part has.
pub(crate) fn loaded<'op>(
    op: &'op Operation<'op>,
    command: Command<'_, Authentic>,
    blob: &Blob,
) -> Result<Transient<'op>> {
    let entity = command.entity();
    named(op, op.run(command), entity, blob)
}

/// The error of a command that loads `child` below a loaded parent: the chip accepted the parent,
/// so an integrity error is about the child.
pub(crate) fn about_child(err: Error, child: Entity) -> Error {
    match err {
        Error::Integrity(_) => Error::Integrity(child),
        err => err,
    }
}

/// Like [`loaded`], for a key of a token without a PIN, whose signatures are checked.
pub(crate) fn loaded_unauthenticated<'op>(
    op: &'op Operation<'op>,
    command: Command<'_, Open>,
    blob: &Blob,
) -> Result<Transient<'op>> {
    let entity = command.entity();
    let response = op.run_unauthenticated(command, Exception::CheckedSignature);
    named(op, response, entity, blob)
}

fn named<'op>(
    op: &'op Operation<'op>,
    response: Result<Response>,
    entity: Entity,
    blob: &Blob,
) -> Result<Transient<'op>> {
    // The public part was compared with its template before. So the private part is wrong: its
    // lengths, its contents, or it belongs to another key.
    let response = response.map_err(|err| {
        if SPOILT.iter().any(|&code| err.is_rc(code)) {
            Error::Integrity(entity)
        } else {
            err
        }
    })?;
    let object = Transient::new(op, response.handle, blob.name());
    let mut reader: Reader<'_> = response.reader();
    let name = reader.sized()?;
    if name == blob.name().bytes() {
        reader.finish()?;
        Ok(object)
    } else {
        Err(Error::ReplyForged {
            command: CommandCode::Load,
        })
    }
}
