//! Keys that sign: their kinds, the checks of every load, and their use.

use std::{fmt, str::FromStr};

use crate::{
    Error, Name, Operation, PublicKey, Result, Srk,
    command::{Code, Command},
    session::Session,
    template,
    transient::Transient,
    wire::{Put, Reader},
};

/// The kinds of key that are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum KeyType {
    /// RSA with a modulus of 2048 bits.
    Rsa2048,
    /// RSA with a modulus of 3072 bits.
    Rsa3072,
    /// ECDSA on NIST P-256.
    EccP256,
    /// ECDSA on NIST P-384.
    EccP384,
    /// ECDSA on NIST P-521.
    EccP521,
}

impl KeyType {
    /// All of them, the usual one first.
    pub const ALL: [Self; 5] = [
        Self::EccP256,
        Self::EccP384,
        Self::EccP521,
        Self::Rsa2048,
        Self::Rsa3072,
    ];

    /// The name, as [`KeyType::from_str`] reads it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rsa2048 => "rsa2048",
            Self::Rsa3072 => "rsa3072",
            Self::EccP256 => "ecdsa-p256",
            Self::EccP384 => "ecdsa-p384",
            Self::EccP521 => "ecdsa-p521",
        }
    }

    /// The size of the modulus or curve in bits.
    #[must_use]
    pub const fn bits(self) -> u16 {
        match self {
            Self::Rsa2048 => 2048,
            Self::Rsa3072 => 3072,
            Self::EccP256 => 256,
            Self::EccP384 => 384,
            Self::EccP521 => 521,
        }
    }

    /// Whether this is an RSA key.
    #[must_use]
    pub const fn is_rsa(self) -> bool {
        matches!(self, Self::Rsa2048 | Self::Rsa3072)
    }
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for KeyType {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|key_type| key_type.name() == name)
            .ok_or(Error::NotSupported("keys of this type"))
    }
}

/// The curves of ECDSA keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Curve {
    /// NIST P-256 (secp256r1).
    P256,
    /// NIST P-384 (secp384r1).
    P384,
    /// NIST P-521 (secp521r1).
    P521,
}

impl Curve {
    /// The length of a coordinate in bytes.
    #[must_use]
    pub const fn field_size(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }

    /// The curve of a `TPM_ECC_CURVE` (Part 4 of the algorithm registry).
    pub(crate) fn from_id(id: u16) -> Result<Self> {
        match id {
            0x0003 => Ok(Self::P256),
            0x0004 => Ok(Self::P384),
            0x0005 => Ok(Self::P521),
            _ => Err(Error::KeyRefused("its curve is not P-256, P-384 or P-521")),
        }
    }

    /// The hash whose length a digest for this curve is brought to.
    const fn hash(self) -> Hash {
        match self {
            Self::P256 => Hash::Sha256,
            Self::P384 => Hash::Sha384,
            Self::P521 => Hash::Sha512,
        }
    }

    /// Brings a coordinate to the length of the field, with zeros in front.
    pub(crate) fn pad(self, bytes: &[u8]) -> Result<Vec<u8>> {
        let missing = self
            .field_size()
            .checked_sub(bytes.len())
            .filter(|_| !bytes.is_empty())
            .ok_or(Error::KeyRefused("its coordinates do not fit its curve"))?;
        Ok([&vec![0; missing][..], bytes].concat())
    }

    /// Brings a digest of any length to the one that the chip takes with this curve, without
    /// changing the number that ECDSA makes of it: what is too long is cut on the right, what
    /// is too short gets zeros in front.
    ///
    /// # Source
    ///
    /// FIPS 186-4, section 6.4: the leftmost bits of the hash, as an integer.
    pub(crate) fn fit_digest(self, digest: &[u8]) -> Vec<u8> {
        let size = self.hash().size();
        let digest = &digest[..digest.len().min(size)];
        let mut out = vec![0; size];
        out[size - digest.len()..].copy_from_slice(digest);
        out
    }
}

/// What a key may be used for besides signing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Usage {
    /// RSA: decrypting. ECC: agreeing on a secret (ECDH).
    pub decrypt: bool,
}

impl Usage {
    /// Signing alone: what an SSH key is for.
    pub const SIGN: Self = Self { decrypt: false };
    /// Signing and decrypting (RSA) or key agreement (ECC).
    pub const SIGN_DECRYPT: Self = Self { decrypt: true };
}

/// The hashes that signatures are made over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hash {
    /// SHA-1, for old peers; never chosen by this project itself.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Hash {
    /// The length of a digest in bytes.
    #[must_use]
    pub const fn size(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// The `TPM_ALG_ID`.
    pub(crate) const fn id(self) -> u16 {
        match self {
            Self::Sha1 => 0x0004,
            Self::Sha256 => 0x000b,
            Self::Sha384 => 0x000c,
            Self::Sha512 => 0x000d,
        }
    }
}

/// How a signature is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// RSASSA-PKCS1-v1_5 over a digest of this hash.
    RsaPkcs1(Hash),
    /// RSASSA-PSS over a digest of this hash, MGF1 with the same. The chip chooses the length
    /// of the salt: that of the hash in newer ones, the longest possible in some older ones.
    RsaPss(Hash),
    /// ECDSA over a digest of any length.
    Ecdsa,
}

/// A signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signature {
    /// As long as the modulus, most significant byte first.
    Rsa(Vec<u8>),
    /// Two integers, each padded to [`Curve::field_size`].
    Ecdsa {
        /// The first integer.
        r: Vec<u8>,
        /// The second.
        s: Vec<u8>,
    },
}

/// An object as it is kept outside of the chip: only the chip that made it can read the
/// private part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// The `TPMT_PUBLIC`.
    pub public: Vec<u8>,
    /// The contents of the `TPM2B_PRIVATE`, encrypted by the chip.
    pub private: Vec<u8>,
}

impl Blob {
    /// The Name, which is the hash of the public part.
    #[must_use]
    pub fn name(&self) -> Name {
        Name::of_public(&self.public)
    }

    /// Refuses a private part that no chip produces, before it is sent anywhere.
    pub(crate) fn check_private(&self) -> Result<()> {
        // An integrity digest and something protected by it; at most what fits a command.
        if (36..=2048).contains(&self.private.len()) {
            Ok(())
        } else {
            Err(Error::Malformed("private part of a key"))
        }
    }
}

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
            decrypt: attributes & DECRYPT != 0,
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

const FIXED_TPM: u32 = 1 << 1;
const FIXED_PARENT: u32 = 1 << 4;
const SENSITIVE_DATA_ORIGIN: u32 = 1 << 5;
const RESTRICTED: u32 = 1 << 16;
const DECRYPT: u32 = 1 << 17;
const SIGN: u32 = 1 << 18;

/// The reasons worth a message of their own; any other difference is found by comparison.
fn refuse_what_can_leave(attributes: u32) -> Result<()> {
    let refuse = |why| Err(Error::KeyRefused(why));
    if attributes & FIXED_TPM == 0 || attributes & FIXED_PARENT == 0 {
        return refuse("it can be duplicated out of the TPM");
    }
    if attributes & SENSITIVE_DATA_ORIGIN == 0 {
        return refuse("it was made outside of the TPM");
    }
    if attributes & RESTRICTED != 0 || attributes & SIGN == 0 {
        return refuse("it is not a key for signing");
    }
    Ok(())
}

/// A key that the chip has opened and can be used again without its parent.
///
/// It holds a context that the chip saved and encrypted: it is worth something to this chip
/// only, until its next reset, and is kept in memory alone.
#[derive(Debug, Clone)]
pub struct ReadyKey {
    public: PublicKey,
    name: Name,
    context: Vec<u8>,
}

impl ReadyKey {
    /// Saves the context of a key that has just been loaded; on a managed connection the key
    /// stays loaded as well.
    pub(crate) fn save(op: &Operation<'_>, key: Transient<'_>, blob: &KeyBlob) -> Result<Self> {
        let command = Command::new(Code::ContextSave).handle(key.handle(), key.name());
        let context = op.run(command)?.reader().remainder().to_vec();
        let ready = Self {
            public: blob.public.clone(),
            name: blob.name.clone(),
            context,
        };
        if op.is_managed() {
            op.keep(&ready.name, key.leave())?;
        } else {
            key.flush()?;
        }
        Ok(ready)
    }

    /// The public key.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Its Name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Signs `digest`: one command on a managed connection that used this key last, else two.
    ///
    /// For RSA the digest is as long as the scheme's hash; for ECDSA it has any length, of
    /// which the leftmost bytes count. The signature is checked with the public key before
    /// it is returned, so that neither a faulty chip nor another one in its place is believed
    /// (and a faulty RSA signature, which would betray the key, never gets out).
    ///
    /// # Errors
    ///
    /// [`Error::Stale`] where the chip was reset since: load the key again.
    /// [`Error::DigestLength`], [`Error::WrongSignature`].
    pub fn sign(&self, op: &Operation<'_>, scheme: Scheme, digest: &[u8]) -> Result<Signature> {
        let (algorithm, hash, digest) = match (scheme, &self.public) {
            (Scheme::RsaPkcs1(hash), PublicKey::Rsa { .. }) => (0x0014, hash, digest.to_vec()),
            (Scheme::RsaPss(hash), PublicKey::Rsa { .. }) => (0x0016, hash, digest.to_vec()),
            (Scheme::Ecdsa, PublicKey::Ecc { curve, .. }) => {
                (0x0018, curve.hash(), curve.fit_digest(digest))
            }
            _ => return Err(Error::NotSupported("this scheme with this key")),
        };
        if digest.len() != hash.size() {
            return Err(Error::DigestLength(digest.len()));
        }
        let response = self.with_handle(op, |handle| {
            op.run(
                Command::new(Code::Sign)
                    .about("key")
                    .handle(handle, &self.name)
                    .empty_auth()
                    .param_sized(&digest)
                    .param_u16(algorithm)
                    .param_u16(hash.id())
                    .param_raw(&NO_TICKET),
            )
        })?;
        let mut reader = response.reader();
        reader.take(4)?;
        let signature = match &self.public {
            PublicKey::Rsa { .. } => Signature::Rsa(reader.sized()?.to_vec()),
            PublicKey::Ecc { curve, .. } => Signature::Ecdsa {
                r: curve
                    .pad(reader.sized()?)
                    .map_err(|_| Error::WrongSignature)?,
                s: curve
                    .pad(reader.sized()?)
                    .map_err(|_| Error::WrongSignature)?,
            },
        };
        reader.finish()?;
        if self.public.verify(scheme, &digest, &signature) {
            Ok(signature)
        } else {
            Err(Error::WrongSignature)
        }
    }

    /// The private RSA operation on a whole block, without any padding by the chip.
    ///
    /// `block` is as long as the modulus and smaller than it. The result crosses the bus
    /// encrypted in a session salted to `srk`. The key must have been made
    /// with [`Usage::SIGN_DECRYPT`].
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] for a block that does not fit: chips answer that with failures
    /// of their own, so it never reaches them. [`Error::Stale`] as in [`ReadyKey::sign`].
    pub fn rsa_raw(&self, op: &Operation<'_>, srk: &Srk, block: &[u8]) -> Result<Vec<u8>> {
        let PublicKey::Rsa { n, .. } = &self.public else {
            return Err(Error::NotSupported("RSA with an ECC key"));
        };
        if block.len() != n.len() || block >= &n[..] {
            return Err(Error::Malformed("RSA block"));
        }
        let parent = srk.open(op)?;
        let session = Session::hmac(op, &parent)?;
        let response = self.with_handle(op, |handle| {
            op.run(
                Command::new(Code::RsaDecrypt)
                    .about("key")
                    .handle(handle, &self.name)
                    .session(session.plain().hide_response().last())
                    .param_sized(block)
                    .param_u16(ALG_NULL)
                    .param_sized(&[]),
            )
        })?;
        let mut reader = response.reader();
        let plain = reader.sized()?;
        let missing = n
            .len()
            .checked_sub(plain.len())
            .ok_or(Error::Malformed("RSA block"))?;
        let out = [&vec![0; missing][..], plain].concat();
        reader.finish()?;
        Ok(out)
    }

    /// The x coordinate of the point that this key and the point (x, y) of the same curve
    /// agree on, padded to the length of the field.
    ///
    /// The key must have been made with [`Usage::SIGN_DECRYPT`].
    ///
    /// # Errors
    ///
    /// The chip's refusal of a point that is not on the curve; [`Error::Stale`] as above.
    pub fn ecdh(&self, op: &Operation<'_>, srk: &Srk, x: &[u8], y: &[u8]) -> Result<Vec<u8>> {
        let PublicKey::Ecc { curve, .. } = &self.public else {
            return Err(Error::NotSupported("ECDH with an RSA key"));
        };
        let mut point = Vec::new();
        point.put_sized(&curve.pad(x)?);
        point.put_sized(&curve.pad(y)?);
        let parent = srk.open(op)?;
        let session = Session::hmac(op, &parent)?;
        let response = self.with_handle(op, |handle| {
            op.run(
                Command::new(Code::EcdhZGen)
                    .about("key")
                    .handle(handle, &self.name)
                    .session(session.plain().hide_response().last())
                    .param_sized(&point),
            )
        })?;
        let mut reader = response.reader();
        let mut point = Reader::new(reader.sized()?, "shared point");
        curve.pad(point.sized()?)
    }

    /// Loads the saved context, unless the connection still holds the key, and runs `body`.
    fn with_handle<T>(&self, op: &Operation<'_>, body: impl FnOnce(u32) -> Result<T>) -> Result<T> {
        if let Some(handle) = op.kept(&self.name) {
            return body(handle);
        }
        let command = Command::new(Code::ContextLoad)
            .about("saved key")
            .param_raw(&self.context);
        let handle = op
            .run(command)
            .map_err(|err| match err {
                Error::Integrity(_) | Error::Command { .. } | Error::HierarchyDisabled(_) => {
                    Error::Stale
                }
                err => err,
            })?
            .handle;
        if op.is_managed() {
            op.keep(&self.name, handle)?;
            body(handle)
        } else {
            let key = Transient::new(op, handle, self.name.clone());
            body(key.handle())
        }
    }
}

const ALG_NULL: u16 = 0x0010;

/// `TPMT_TK_HASHCHECK` for a digest that the chip did not make: tag, null hierarchy, empty.
const NO_TICKET: [u8; 8] = [0x80, 0x24, 0x40, 0x00, 0x00, 0x07, 0x00, 0x00];
