//! The storage root key (SRK): the parent of all objects that are stored outside of the chip.

pub(crate) mod fitness;
pub(crate) mod open;
mod provision;

use tpm_wire::{Put, Reader};

use crate::{
    Error, Name, Operation, Result,
    command::exception::Exception,
    hierarchy::primary,
    structures::{attributes, storage_key},
};

/// A storage root key in the form in which it is pinned: its handle and whole public area.
///
/// An object below an SRK loads only below that same SRK, so its Name identifies this TPM since it
/// was last cleared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Srk {
    /// The persistent handle, or 0 if the key is made again for each operation.
    handle: u32,
    public: Vec<u8>,
    name: Name,
}

impl Srk {
    /// The handle where the TCG wants the SRK.
    ///
    /// # Source
    ///
    /// TCG TPM v2.0 Provisioning Guidance, section 7.8.
    pub const HANDLE: u32 = 0x8100_0001;

    /// The handle of tpmssh's own SRK, which is used if the key at [`Srk::HANDLE`] cannot serve. It
    /// is in the owner's range, and no registry assigns it.
    ///
    /// # Source
    ///
    /// TCG Registry of Reserved TPM 2.0 Handles, section 2.3.1.
    pub const OWN_HANDLE: u32 = 0x8100_7373;

    /// The SRK at its persistent handle; any program may have made it.
    ///
    /// The answer is not authenticated: it comes from the chip or from a proxy before it. Compare
    /// the key with a pinned one, or show its [`name`](Self::name) to a person and
    /// [`prove`](Self::prove) it.
    ///
    /// # Errors
    ///
    /// [`Error::HandleOccupied`] if something else is there; [`Error::ReplyForged`] if the Name
    /// is not that of the public area.
    pub fn find(op: &Operation<'_>) -> Result<Option<Self>> {
        Self::find_at(op, Self::HANDLE)
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

    /// An SRK as [`Srk::to_bytes`] wrote it.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] if `bytes` have another form, or if the Name is not that of the public
    /// area.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes, "pinned storage root key");
        let handle = reader.u32()?;
        let name = Name::from_bytes(reader.sized()?);
        let public = reader.sized()?.to_vec();
        reader.finish()?;
        let is_its_name = Name::of_public_area(&public)? == name;
        if !matches!(handle, 0 | Self::HANDLE | Self::OWN_HANDLE) || !is_its_name {
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

    /// The bytes to store, big-endian: handle (4 bytes), then Name and public area, each after its
    /// 16-bit length.
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

    /// The whole public area (`TPMT_PUBLIC`).
    #[must_use]
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// Whether it is tpmssh's own, at [`Srk::OWN_HANDLE`].
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.handle == Self::OWN_HANDLE
    }

    /// Whether it has a persistent handle.
    #[must_use]
    pub fn is_persistent(&self) -> bool {
        self.handle != 0
    }

    /// Checks that the chip's SRK is this one: the chip must prove that it holds the private half.
    ///
    /// # Errors
    ///
    /// [`Error::OtherTpm`] if the chip has another SRK or none.
    pub fn check(&self, op: &Operation<'_>) -> Result<()> {
        let root = self.open(op)?;
        root.is_claimed()?;
        root.prove()
    }

    /// Has the chip prove that it holds the private half: its reply must be authenticated with a
    /// salt that only the private half can read. Comparing public keys is not enough, because a
    /// proxy can state any public key.
    ///
    /// # Errors
    ///
    /// [`Error::OtherTpm`] if it does not hold it.
    pub fn prove(&self, op: &Operation<'_>) -> Result<()> {
        self.open(op).map_err(open::not_held)?.prove()
    }

    /// Checks that it is a storage key that cannot leave the chip.
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
        Ok(reader.u32()?)
    }
}
