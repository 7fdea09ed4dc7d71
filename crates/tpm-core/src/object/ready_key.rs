//! Keys that the chip has loaded once, and the operations with them.

use std::sync::Arc;

use tpm_wire::{Put, Reader, algorithm};

use crate::{
    Entity, Error, Hash, KeyBlob, Name, OpenSrk, Operation, Pss, PublicKey, Result, Scheme,
    Signature, Usage,
    command::{Command, CommandCode, exception::Exception, session::Session},
    error::rc,
    object::transient::Transient,
    software::{padding, verifier::Verifier},
    structures::public_key::pkcs1,
    tpm::SavedContext,
};

/// A key that was loaded once and can be used again without the PIN and without loading its parent.
///
/// The key is loaded in the chip, or this holds its context, which the chip saved and encrypted.
/// Only this chip can load the context, until its next reset. The context is never written to a
/// file.
#[derive(Debug, Clone)]
pub struct ReadyKey {
    verifier: Arc<Verifier>,
    name: Name,
    usage: Usage,
    context: SavedContext,
}

impl ReadyKey {
    /// Takes over a key that was just loaded. It stays loaded: on a managed connection until another
    /// key takes its place, on a bare one until the operation ends at the latest. Its context is saved
    /// then, if a clone of this key still exists.
    pub(crate) fn take(op: &Operation<'_>, key: Transient<'_>, blob: &KeyBlob) -> Result<Self> {
        let ready = Self {
            verifier: Arc::new(Verifier::new(blob.public().clone())),
            name: blob.name().clone(),
            usage: blob.usage(),
            context: SavedContext::default(),
        };
        op.keep(&ready.name, key.leave(), &ready.context)?;
        Ok(ready)
    }

    /// The public key.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        self.verifier.public()
    }

    /// Its Name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Signs `digest`: one command if the key is still loaded on a managed connection; otherwise
    /// its context is loaded first.
    ///
    /// For RSA the digest must be as long as the scheme's hash. For ECDSA it may have any length,
    /// and the leftmost bytes count. The signature is verified with the public key before it is
    /// returned. So neither a faulty chip nor a proxy can return a wrong signature, and a faulty
    /// RSA signature, which would reveal the key, is not returned.
    ///
    /// If the chip lacks the scheme (many lack SHA-512, some make longer salts), a key with
    /// [`Usage::SIGN_DECRYPT`] signs with padding made in software.
    ///
    /// # Errors
    ///
    /// [`Error::Stale`] if the chip was reset or the connection that held the key was closed: load
    /// the key again. [`Error::DigestLength`], [`Error::WrongSignature`], [`Error::NotSupported`];
    /// [`Error::InvalidArgument`] if the scheme is not for this type of key, or needs a key with
    /// [`Usage::SIGN_DECRYPT`].
    pub fn sign(&self, op: &Operation<'_>, scheme: Scheme, digest: &[u8]) -> Result<Signature> {
        let (algorithm, hash, digest) = match (scheme, self.public()) {
            (Scheme::RsaPkcs1(hash), PublicKey::Rsa { .. }) => {
                (algorithm::RSASSA, hash, digest.to_vec())
            }
            (Scheme::RsaPss(hash), PublicKey::Rsa { .. }) => {
                (algorithm::RSAPSS, hash, digest.to_vec())
            }
            (Scheme::RsaPkcs1Any | Scheme::RsaPssWith(_), PublicKey::Rsa { n, .. }) => {
                return self.sign_padded(op, scheme, digest, n.len());
            }
            (Scheme::Ecdsa, PublicKey::Ecc { curve, .. }) => {
                (algorithm::ECDSA, curve.hash(), curve.fit_digest(digest))
            }
            _ => return Err(UNSUITABLE_SCHEME),
        };
        if digest.len() != hash.size() {
            return Err(Error::DigestLength(digest.len()));
        }
        let signed = self
            .sign_as(op, algorithm, hash, &digest)
            .and_then(|found| {
                let good = self.verifier.verify(scheme, &digest, &found);
                good.then_some(found).ok_or(Error::WrongSignature)
            });
        match (signed, self.public()) {
            (Err(Error::NotSupported(_) | Error::WrongSignature), PublicKey::Rsa { n, .. })
                if self.usage.decrypt =>
            {
                self.sign_padded(op, scheme, &digest, n.len())
            }
            (signed, _) => signed,
        }
    }

    /// Signs as [`ReadyKey::sign`] does, with padding made in software, without asking the chip for
    /// the scheme first. For schemes that the chip is known to lack, this saves a command that it
    /// would refuse. The key needs [`Usage::SIGN_DECRYPT`].
    ///
    /// # Errors
    ///
    /// As for [`ReadyKey::sign`].
    pub fn sign_padded_outside(
        &self,
        op: &Operation<'_>,
        scheme: Scheme,
        digest: &[u8],
    ) -> Result<Signature> {
        let hash = match scheme {
            Scheme::RsaPkcs1(hash) | Scheme::RsaPss(hash) => Some(hash),
            Scheme::RsaPssWith(pss) => Some(pss.hash),
            Scheme::RsaPkcs1Any | Scheme::Ecdsa => None,
        };
        if hash.is_some_and(|hash| digest.len() != hash.size()) {
            return Err(Error::DigestLength(digest.len()));
        }
        match self.public() {
            PublicKey::Rsa { n, .. } => self.sign_padded(op, scheme, digest, n.len()),
            PublicKey::Ecc { .. } => Err(UNSUITABLE_SCHEME),
        }
    }

    /// `TPM2_Sign` with a signature algorithm and a hash.
    fn sign_as(
        &self,
        op: &Operation<'_>,
        algorithm: u16,
        hash: Hash,
        digest: &[u8],
    ) -> Result<Signature> {
        let signed = self.with_handle(op, |handle| {
            let command = Command::new(CommandCode::Sign)
                .about(Entity::Key)
                .handle(handle, &self.name)
                .empty_auth()
                .param_sized(digest)
                .param_u16(algorithm)
                .param_u16(hash.id())
                .param_raw(&NO_TICKET);
            op.run_unauthenticated(command, Exception::CheckedSignature)
        });
        let response = signed.map_err(|err| {
            // A chip parses the digest before the scheme, and refuses one that is longer than its
            // largest hash with the code for a wrong size.
            let digest = [rc::SIZE, rc::HASH, rc::SCHEME, rc::VALUE];
            if (1..=2).any(|parameter| err.refuses_parameter(parameter, &digest)) {
                Error::NotSupported("signatures with this hash")
            } else {
                err
            }
        })?;
        let mut reader = response.reader();
        reader.take(4)?;
        let signature = match self.public() {
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
        Ok(signature)
    }

    /// An RSA signature with padding made in software. The chip does only the raw private
    /// operation.
    fn sign_padded(
        &self,
        op: &Operation<'_>,
        scheme: Scheme,
        data: &[u8],
        size: usize,
    ) -> Result<Signature> {
        if !self.usage.decrypt {
            return Err(Error::InvalidArgument(
                "this padding takes a key that may also decrypt",
            ));
        }
        let block = match scheme {
            Scheme::RsaPkcs1(hash) => {
                let info = [&pkcs1(hash).prefix, data].concat();
                padding::pkcs1_sign(&info, size)?
            }
            Scheme::RsaPkcs1Any => padding::pkcs1_sign(data, size)?,
            Scheme::RsaPss(hash) => padding::pss_sign(data, Pss::new(hash), size)?,
            Scheme::RsaPssWith(pss) => padding::pss_sign(data, pss, size)?,
            Scheme::Ecdsa => return Err(UNSUITABLE_SCHEME),
        };
        let response = self.with_handle(op, |handle| {
            let command = Command::new(CommandCode::RsaDecrypt)
                .about(Entity::Key)
                .handle(handle, &self.name)
                // The result is a signature and not a secret, so the reply need not be encrypted.
                .empty_auth()
                .param_sized(&block)
                .param_u16(algorithm::NULL)
                .param_sized(&[]);
            op.run_unauthenticated(command, Exception::CheckedSignature)
        })?;
        let mut reader = response.reader();
        let signature = Signature::Rsa(filled_up(reader.sized()?, size)?);
        reader.finish()?;
        if self.verifier.verify(scheme, data, &signature) {
            Ok(signature)
        } else {
            Err(Error::WrongSignature)
        }
    }

    /// The raw private RSA operation: the chip adds and checks no padding.
    ///
    /// `block` is a big-endian number, as many bytes as the modulus and smaller than it; so is the
    /// result. The result crosses the bus encrypted, in a session salted to the storage root key.
    /// The key must have [`Usage::SIGN_DECRYPT`](crate::Usage::SIGN_DECRYPT).
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] for a block of another length or not smaller than the modulus, which is
    /// not sent, because chips differ in how they refuse it. [`Error::Stale`] as in
    /// [`ReadyKey::sign`].
    pub fn rsa_raw(&self, root: &OpenSrk<'_>, block: &[u8]) -> Result<Vec<u8>> {
        let PublicKey::Rsa { n, .. } = self.public() else {
            return Err(Error::InvalidArgument("an ECC key does no RSA operation"));
        };
        if block.len() != n.len() || block >= &n[..] {
            return Err(Error::Malformed("RSA block"));
        }
        let op = root.op();
        let session = Session::hmac(op, root)?;
        let response = self.with_handle(op, |handle| {
            op.run(
                Command::new(CommandCode::RsaDecrypt)
                    .about(Entity::Key)
                    .handle(handle, &self.name)
                    .session(session.plain().hide_response().last())
                    .param_sized(block)
                    .param_u16(algorithm::NULL)
                    .param_sized(&[]),
            )
        })?;
        let mut reader = response.reader();
        let block = filled_up(reader.sized()?, n.len())?;
        reader.finish()?;
        Ok(block)
    }

    /// ECDH: the x coordinate of the private key times the point (`x`, `y`), big-endian, padded to
    /// the length of the field. The point is on the key's curve.
    ///
    /// The key must have [`Usage::SIGN_DECRYPT`](crate::Usage::SIGN_DECRYPT).
    ///
    /// # Errors
    ///
    /// The chip's error for a point that is not on the curve; [`Error::Stale`] as in
    /// [`ReadyKey::sign`].
    pub fn ecdh(&self, root: &OpenSrk<'_>, x: &[u8], y: &[u8]) -> Result<Vec<u8>> {
        let PublicKey::Ecc { curve, .. } = self.public() else {
            return Err(Error::InvalidArgument(
                "an RSA key agrees on no secret (ECDH)",
            ));
        };
        let mut point = Vec::new();
        point.put_sized(&curve.pad(x)?);
        point.put_sized(&curve.pad(y)?);
        let op = root.op();
        let session = Session::hmac(op, root)?;
        let response = self.with_handle(op, |handle| {
            op.run(
                Command::new(CommandCode::EcdhZGen)
                    .about(Entity::Key)
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
    pub(crate) fn with_handle<T>(
        &self,
        op: &Operation<'_>,
        body: impl FnOnce(u32) -> Result<T>,
    ) -> Result<T> {
        if let Some(handle) = op.kept(&self.name) {
            return body(handle).map_err(|err| if op.is_managed() { op.lost(err) } else { err });
        }
        let context = self.context.get().ok_or(Error::Stale)?;
        let command = Command::new(CommandCode::ContextLoad)
            .about(Entity::SavedKey)
            .param_raw(context);
        let handle = op
            .run_unauthenticated(command, Exception::Context)
            .map_err(|err| match err {
                Error::Integrity(_) | Error::Command { .. } | Error::HierarchyDisabled(_) => {
                    Error::Stale
                }
                err => err,
            })?
            .handle;
        op.keep(&self.name, handle, &self.context)?;
        body(handle)
    }
}

/// An RSA scheme with an ECC key, or the other way round.
const UNSUITABLE_SCHEME: Error =
    Error::InvalidArgument("this signature scheme is not for this type of key");

/// A big-endian number from the chip, padded to `size` bytes with the leading zeros that some chips
/// omit.
fn filled_up(number: &[u8], size: usize) -> Result<Vec<u8>> {
    let missing = size.checked_sub(number.len());
    let missing = missing.ok_or(Error::Malformed("RSA block"))?;
    Ok([&vec![0; missing][..], number].concat())
}

/// `TPMT_TK_HASHCHECK` for a digest that the chip did not make: tag, null hierarchy, empty.
const NO_TICKET: [u8; 8] = [0x80, 0x24, 0x40, 0x00, 0x00, 0x07, 0x00, 0x00];
