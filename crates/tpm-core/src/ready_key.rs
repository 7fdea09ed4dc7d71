//! Keys that the chip has opened, and what they do.

use crate::{
    Error, KeyBlob, Name, Operation, PublicKey, Result, Scheme, Signature, Srk,
    command::{Code, Command},
    session::Session,
    transient::Transient,
    wire::{Put, Reader},
};

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
            public: blob.public().clone(),
            name: blob.name().clone(),
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
    /// with [`Usage::SIGN_DECRYPT`](crate::Usage::SIGN_DECRYPT).
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
    /// The key must have been made with [`Usage::SIGN_DECRYPT`](crate::Usage::SIGN_DECRYPT).
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
