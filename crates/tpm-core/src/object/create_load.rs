//! Objects below a parent: made by the chip, and loaded again.

use crate::{
    Blob, Error, Name, Operation, Result, command::Command, error::rc, object::transient::Transient,
};

/// Runs a `TPM2_Create` up to its template and returns what it makes.
pub(crate) fn created(op: &Operation<'_>, command: Command<'_>) -> Result<Blob> {
    // outsideInfo, creationPCR: none.
    let response = op.run(command.param_sized(&[]).param_u32(0))?;
    let mut reader = response.reader();
    let private = reader.sized()?.to_vec();
    let public = reader.sized()?.to_vec();
    Ok(Blob { public, private })
}

/// Runs a `TPM2_Load` up to its blob, and checks that the chip knows the object by the Name
/// that its public part has.
pub(crate) fn loaded<'op>(
    op: &'op Operation<'op>,
    command: Command<'_>,
    blob: &Blob,
) -> Result<Transient<'op>> {
    let response = op
        .run(command.param_sized(&blob.private).param_sized(&blob.public))
        // A private part that is damaged where it states its own lengths.
        .map_err(|err| {
            if err.is_rc(rc::SIZE) {
                Error::Integrity("key")
            } else {
                err
            }
        })?;
    let mut reader = response.reader();
    let name = Name::from_bytes(reader.sized()?);
    let object = Transient::new(op, response.handle, name);
    reader.finish()?;
    if *object.name() == blob.name() {
        Ok(object)
    } else {
        Err(Error::Integrity("key"))
    }
}
