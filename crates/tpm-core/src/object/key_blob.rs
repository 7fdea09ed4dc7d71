//! Keys in their stored form, and the checks before each load.

use crate::{
    Blob, Error, KeyType, Name, PublicKey, Result, Usage,
    structures::{attributes, marshal::Reader, template},
};

/// A signing key in its stored form. Its public area is checked without the chip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyBlob {
    blob: Blob,
    public: PublicKey,
    key_type: KeyType,
    usage: Usage,
    name: Name,
}

impl KeyBlob {
    /// Checks that `blob` is a key such as this crate creates.
    ///
    /// The whole public area (attributes, policy, schemes) except for the public key itself is
    /// compared with the template. A key that could leave the chip is refused before it is sent to
    /// the chip.
    ///
    /// # Errors
    ///
    /// [`Error::KeyRefused`] with the reason; [`Error::Malformed`] if it is not a key.
    pub fn parse(blob: Blob) -> Result<Self> {
        blob.check_private()?;
        let attributes = Reader::new(&blob.public, "public area")
            .take(8)
            .map(|head| u32::from_be_bytes([head[4], head[5], head[6], head[7]]))?;
        refuse_what_can_leave(attributes)?;
        let public = PublicKey::from_public_area(&blob.public)?;
        let key_type = public
            .key_type()
            .ok_or(Error::KeyRefused("its size is not 2048 or 3072 bits"))?;
        let usage = Usage {
            decrypt: attributes & attributes::DECRYPT != 0,
        };
        let template = template::signing_key(key_type, usage)?;
        let unique = if key_type.is_rsa() { 2 } else { 4 };
        if !blob
            .public
            .starts_with(&template[..template.len() - unique])
        {
            return Err(Error::KeyRefused(
                "its attributes or policy are not those of a signing key",
            ));
        }
        let name = blob.name();
        Ok(Self {
            blob,
            public,
            key_type,
            usage,
            name,
        })
    }

    /// The public key.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The type of the key.
    #[must_use]
    pub fn key_type(&self) -> KeyType {
        self.key_type
    }

    /// What it may be used for.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// Its Name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// The bytes to store.
    #[must_use]
    pub fn blob(&self) -> &Blob {
        &self.blob
    }
}

/// Refuses the attributes that have an error message of their own. The comparison with the template
/// finds all other differences.
fn refuse_what_can_leave(attributes: u32) -> Result<()> {
    let refuse = |why| Err(Error::KeyRefused(why));
    if attributes & attributes::FIXED_TPM == 0 || attributes & attributes::FIXED_PARENT == 0 {
        return refuse("it can be duplicated out of the TPM");
    }
    if attributes & attributes::SENSITIVE_DATA_ORIGIN == 0 {
        return refuse("it was made outside of the TPM");
    }
    if attributes & attributes::RESTRICTED != 0 || attributes & attributes::SIGN == 0 {
        return refuse("it is not a key for signing");
    }
    Ok(())
}
