//! Keys outside of the chip, and the checks that come before every load.

use crate::{
    Blob, Error, KeyType, Name, PublicKey, Result, Usage,
    structures::{attributes, marshal::Reader, template},
};

/// A signing key outside of the chip, checked without it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyBlob {
    blob: Blob,
    public: PublicKey,
    key_type: KeyType,
    usage: Usage,
    name: Name,
}

impl KeyBlob {
    /// Checks that `blob` is a key exactly as this crate creates them.
    ///
    /// Every byte of the public area but the public key itself is compared with the template:
    /// attributes, policy, schemes. So a key that could leave the chip, whoever put it here,
    /// is refused before the chip sees it.
    ///
    /// # Errors
    ///
    /// [`Error::KeyRefused`], saying why; [`Error::Malformed`] where it is no key at all.
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

    /// The kind of key.
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

    /// The bytes to be stored.
    #[must_use]
    pub fn blob(&self) -> &Blob {
        &self.blob
    }
}

/// The reasons worth a message of their own; any other difference is found by comparison.
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
