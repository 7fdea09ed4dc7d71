//! A secret of a program, sealed to the chip.

use crate::{
    AuthValue, Blob, Entity, Error, OpenSrk, Result,
    command::session::Session,
    object::sealed::{self, Kind, Sealed},
    secret::Locked,
    structures::template::Tries,
};

const KIND: Kind = Kind {
    entity: Entity::SealedSecret,
    tries: Tries::Uncounted,
};

/// A secret that only the chip that sealed it gives out again, to whoever can use that chip: it has no authorization value.
///
/// So it protects what is on a disk from those who have the disk, and not from other programs that can use the chip. The blob says
/// nothing of who made it: whoever can write to the chip can seal another secret. Compare what comes out with something that you know, such
/// as the public half of a key.
///
/// ```no_run
/// use tpm_core::{OwnerAuth, SealedData, Srk, Tpm};
///
/// # fn main() -> tpm_core::Result<()> {
/// let tpm = Tpm::new("device:/dev/tpmrm0".parse()?);
/// let op = tpm.begin()?;
/// let srk = Srk::find_or_create(&op, &OwnerAuth::empty())?;
/// let root = srk.open(&op)?;
/// let sealed = SealedData::seal(&root, b"thirty-two bytes, such as a key.")?;
/// // Store srk.to_bytes() and sealed.blob().
/// let secret = sealed.unseal(&root)?;
/// assert_eq!(secret.bytes(), b"thirty-two bytes, such as a key.");
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedData(Sealed);

impl SealedData {
    /// The longest secret, in bytes.
    ///
    /// # Source
    ///
    /// Part 2, section 11.1.7 (`MAX_SYM_DATA`).
    pub const MAX: usize = 128;

    /// Seals `secret` below the storage root key. It crosses the bus encrypted, in a session that is salted to that key.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] for an empty secret and for more than [`SealedData::MAX`] bytes; [`Error::OtherTpm`]. Nothing stays in the
    /// chip.
    pub fn seal(root: &OpenSrk<'_>, secret: &[u8]) -> Result<Self> {
        if secret.is_empty() || secret.len() > Self::MAX {
            return Err(Error::InvalidArgument(
                "a secret of 1 to 128 bytes can be sealed",
            ));
        }
        root.within(|| Sealed::create(root, KIND, &AuthValue::empty(), secret).map(Self))
    }

    /// A sealed secret from its stored form.
    ///
    /// # Errors
    ///
    /// [`Error::KeyRefused`] or [`Error::Malformed`] if it is no sealed secret.
    pub fn from_blob(blob: Blob) -> Result<Self> {
        Sealed::from_blob(blob, KIND).map(Self)
    }

    /// The bytes to store.
    #[must_use]
    pub fn blob(&self) -> &Blob {
        self.0.blob()
    }

    /// The secret. It crosses the bus encrypted, in a session that is salted to the storage root key, and the reply is authenticated.
    ///
    /// # Errors
    ///
    /// [`Error::OtherTpm`] if the chip does not have that storage root key; [`Error::Integrity`] if the blob was changed, or was sealed by
    /// another chip.
    pub fn unseal(&self, root: &OpenSrk<'_>) -> Result<Locked> {
        root.within(|| {
            let session = Session::hmac(root.op(), root)?;
            let object = self.0.load(root, session.plain())?;
            let none = AuthValue::empty();
            let proof = session.authorizes(&none);
            let secret = sealed::unsealed(root.op(), &object, Entity::SealedSecret, proof)?;
            if secret.len() > Self::MAX {
                return Err(Error::Malformed("sealed secret"));
            }
            let mut locked = Locked::zeroed(secret.len());
            locked.bytes_mut().copy_from_slice(&secret);
            Ok(locked)
        })
    }
}
