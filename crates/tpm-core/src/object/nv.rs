//! NV indexes: small pieces of non-volatile memory in the chip.

use tpm_wire::{Put, Reader, algorithm};

use crate::{
    AuthValue, Entity, Error, Name, OpenSrk, Operation, OwnerAuth, Result,
    command::{Command, CommandCode, exception::Exception, session::Session},
    error::rc,
    structures::hierarchy::permanent,
};

/// The most that one command reads, in bytes. Every TPM can do this.
const CHUNK: u16 = 512;

/// The public area of an NV index (`TPMS_NV_PUBLIC`).
///
/// # Source
///
/// Part 2, section 13.5.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NvPublic {
    pub(crate) index: u32,
    /// Whether SHA-256 is the name algorithm, as for everything that this crate makes.
    pub(crate) is_sha256: bool,
    pub(crate) attributes: u32,
    pub(crate) policy: Vec<u8>,
    pub(crate) size: u16,
}

impl NvPublic {
    /// The wire form, with SHA-256 as name algorithm.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.put_u32(self.index);
        bytes.put_u16(algorithm::SHA256);
        bytes.put_u32(self.attributes);
        bytes.put_sized(&self.policy);
        bytes.put_u16(self.size);
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes, "NV public area");
        let index = reader.u32()?;
        let is_sha256 = reader.u16()? == algorithm::SHA256;
        let attributes = reader.u32()?;
        let policy = reader.sized()?.to_vec();
        let size = reader.u16()?;
        reader.finish()?;
        Ok(Self {
            index,
            is_sha256,
            attributes,
            policy,
            size,
        })
    }

    /// The Name.
    pub(crate) fn name(&self) -> Name {
        Name::of_public(&self.to_bytes())
    }
}

/// The response codes for an index type that the chip lacks. Before revision 1.38 the type's
/// highest bit was reserved.
const NO_SUCH_INDEX: [u32; 4] = [rc::ATTRIBUTES, rc::RESERVED_BITS, rc::VALUE, rc::TYPE];

/// Defines an index with the authorization value `auth`, which crosses the bus encrypted.
pub(crate) fn define(
    root: &OpenSrk<'_>,
    owner: &OwnerAuth,
    public: &NvPublic,
    auth: &AuthValue,
) -> Result<()> {
    let session = Session::proven(root.op(), root)?;
    let command = Command::new(CommandCode::NvDefineSpace)
        .about(Entity::Owner)
        .permanent(permanent::OWNER)
        .session(session.authorizes(owner.value()).hide_command().last())
        .param_sized(auth.bytes())
        .param_sized(&public.to_bytes());
    root.op().run(command).map(drop).map_err(|err| {
        if err.is_rc(rc::NV_DEFINED) {
            Error::NvDefined(public.index)
        } else if err.refuses_parameter(2, &NO_SUCH_INDEX) {
            Error::NotSupported("PIN counters in NV memory")
        } else {
            err
        }
    })
}

/// Removes an index.
pub(crate) fn undefine(root: &OpenSrk<'_>, owner: &OwnerAuth, index: u32) -> Result<()> {
    let op = root.op();
    let Some((_, name)) = read_public(op, index, Exception::ClaimedName)? else {
        return Err(Error::NvMissing(index));
    };
    let session = Session::proven(op, root)?;
    let command = Command::new(CommandCode::NvUndefineSpace)
        .about(Entity::Owner)
        .permanent(permanent::OWNER)
        .handle(index, &name)
        .session(session.authorizes(owner.value()).last());
    op.run(command).map(drop)
}

/// The public area that the chip states for an index, and its Name; `None` if the chip states that
/// there is none.
///
/// # Errors
///
/// [`Error::ReplyForged`] if the stated Name is not that of the public area.
pub(crate) fn read_public(
    op: &Operation<'_>,
    index: u32,
    why: Exception,
) -> Result<Option<(NvPublic, Name)>> {
    let command = Command::new(CommandCode::NvReadPublic).permanent(index);
    match op.run_unauthenticated(command, why) {
        Ok(response) => {
            let mut reader = response.reader();
            let public = NvPublic::from_bytes(reader.sized()?)?;
            let name = Name::from_bytes(reader.sized()?);
            if public.is_sha256 && public.name() != name {
                return Err(Error::ReplyForged {
                    command: CommandCode::NvReadPublic,
                });
            }
            Ok(Some((public, name)))
        }
        Err(err) if err.is_rc(rc::HANDLE) => Ok(None),
        Err(err) => Err(err),
    }
}

// Attributes (part 2, section 13.4 "TPMA_NV").
const AUTHREAD: u32 = 1 << 18;
const NO_DA: u32 = 1 << 25;
const READLOCKED: u32 = 1 << 28;
const WRITTEN: u32 = 1 << 29;

/// The contents of an index that can be read with its own, empty, authorization value; `None` if there is no such index, or
/// nothing was written to it. They are not authenticated.
///
/// # Errors
///
/// [`Error::NvUnreadable`] if the index has another authorization value, counts wrong ones or is locked, or if only its owner or
/// a policy may read it.
pub(crate) fn read_open(op: &Operation<'_>, index: u32) -> Result<Option<Vec<u8>>> {
    let Some((public, name)) = read_public(op, index, Exception::Shown)? else {
        return Ok(None);
    };
    if public.attributes & WRITTEN == 0 {
        return Ok(None);
    }
    // Without NO_DA, a wrong guess at the password would count towards the chip's lockout. Manufacturers set it.
    if public.attributes & (AUTHREAD | NO_DA | READLOCKED) != AUTHREAD | NO_DA {
        return Err(Error::NvUnreadable(index));
    }
    let mut contents = Vec::new();
    for offset in (0..public.size).step_by(usize::from(CHUNK)) {
        let size = CHUNK.min(public.size - offset);
        let command = Command::new(CommandCode::NvRead)
            .about(Entity::NvIndex)
            .handle(index, &name)
            .handle(index, &name)
            .empty_auth()
            .param_u16(size)
            .param_u16(offset);
        match op.run_unauthenticated(command, Exception::Shown) {
            Ok(response) => contents.extend_from_slice(response.reader().sized()?),
            // A chip that states nothing about it.
            Err(err) if err.is_rc(rc::NV_UNINITIALIZED) => return Ok(None),
            Err(err) if err.is_rc(rc::NV_AUTHORIZATION) || err.is_rc(rc::NV_LOCKED) => {
                return Err(Error::NvUnreadable(index));
            }
            Err(Error::AuthRejected { .. }) => {
                return Err(Error::NvUnreadable(index));
            }
            Err(err) => return Err(err),
        }
    }
    Ok(Some(contents))
}
