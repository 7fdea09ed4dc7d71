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

/// The refusals of `TPM2_Load` that mean a blob that was changed, beside `TPM_RC_INTEGRITY`.
const SPOILT: [u32; 6] = [
    rc::SIZE,
    rc::INSUFFICIENT,
    rc::BINDING,
    rc::SENSITIVE,
    rc::KEY,
    rc::ECC_POINT,
];

/// Runs a `TPM2_Load` up to its blob, and checks that the chip knows the object by the Name
/// that its public part has.
pub(crate) fn loaded<'op>(
    op: &'op Operation<'op>,
    command: Command<'_>,
    blob: &Blob,
) -> Result<Transient<'op>> {
    let response = op
        .run(command.param_sized(&blob.private).param_sized(&blob.public))
        // The public part was compared with its template before, so what is wrong is the
        // private one: its lengths, its contents, or whose half it is.
        .map_err(|err| {
            if SPOILT.iter().any(|&code| err.is_rc(code)) {
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
