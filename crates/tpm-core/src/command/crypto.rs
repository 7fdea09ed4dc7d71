//! The cryptography of sessions: salts, keys, HMACs and parameter encryption.
//!
//! Sessions hash with SHA-256 and encrypt with AES-128 in CFB mode.

use aes::{
    Aes128, Block,
    cipher::{AsyncStreamCipher, KeyIvInit},
};
use cfb_mode::{Decryptor, Encryptor};
use hmac::{Hmac, Mac};
use rand_core::{OsRng, RngCore};
use sha2::{Digest, Sha256, Sha384, Sha512};
use tpm_wire::Put;
use zeroize::Zeroizing;

use crate::{
    Error, Hash, Name, PublicKey, Result,
    structures::{kinds::Curve, storage_key},
};

/// Bytes of a SHA-256 digest, of nonces and of session keys.
pub(crate) const DIGEST: usize = 32;

/// The hash of a command, which its HMACs cover: code, Names, parameters.
///
/// # Source
///
/// Part 1, section 18.7 "Command Parameter Hash (cpHash)".
pub(crate) fn command_hash<'n>(
    code: u32,
    names: impl Iterator<Item = &'n Name>,
    params: &[u8],
) -> [u8; DIGEST] {
    let mut hash = Sha256::new_with_prefix(code.to_be_bytes());
    names.for_each(|name| hash.update(name.bytes()));
    hash.update(params);
    hash.finalize().into()
}

/// The hash of a successful response: response code 0, command code, parameters.
///
/// # Source
///
/// Part 1, section 18.8 "Response Parameter Hash (rpHash)".
pub(crate) fn response_hash(code: u32, params: &[u8]) -> [u8; DIGEST] {
    let mut hash = Sha256::new_with_prefix([0; 4]);
    hash.update(code.to_be_bytes());
    hash.update(params);
    hash.finalize().into()
}

/// HMAC-SHA-256 over the concatenation of `parts`.
pub(crate) fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; DIGEST] {
    let mut mac =
        <Hmac<Sha256> as Mac>::new_from_slice(key).expect("HMAC takes keys of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

/// `KDFa` with SHA-256: `bytes` bytes from `key`, a label and two contexts.
///
/// # Source
///
/// Part 1, section 11.4.10.2 "KDFa()".
pub(crate) fn kdfa(
    key: &[u8],
    label: &str,
    context_u: &[u8],
    context_v: &[u8],
    bytes: usize,
) -> Zeroizing<Vec<u8>> {
    let bits = u32::try_from(bytes * 8)
        .expect("keys are shorter than 512 MiB")
        .to_be_bytes();
    let mut out = Zeroizing::new(Vec::with_capacity(bytes + DIGEST));
    for counter in 1_u32.. {
        if out.len() >= bytes {
            break;
        }
        let parts = [
            &counter.to_be_bytes()[..],
            label.as_bytes(),
            &[0],
            context_u,
            context_v,
            &bits,
        ];
        out.extend_from_slice(&hmac(key, &parts));
    }
    out.truncate(bytes);
    out
}

/// `KDFe`: one digest of `hash` from an ECDH secret and both parties' x coordinates.
///
/// # Source
///
/// Part 1, section 11.4.10.3 "KDFe for ECDH".
fn kdfe(hash: Hash, z: &[u8], label: &str, party_u: &[u8], party_v: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut input = Zeroizing::new(1_u32.to_be_bytes().to_vec());
    for part in [z, label.as_bytes(), &[0], party_u, party_v] {
        input.extend_from_slice(part);
    }
    Zeroizing::new(match hash {
        Hash::Sha384 => Sha384::digest(&*input).to_vec(),
        Hash::Sha512 => Sha512::digest(&*input).to_vec(),
        Hash::Sha1 | Hash::Sha256 => Sha256::digest(&*input).to_vec(),
    })
}

/// The use of a secret that is encrypted to a storage key. It decides the label in the derivation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// The salt of a session.
    Session,
    /// The seed that wraps an object for a new parent.
    Duplicate,
}

impl Purpose {
    /// The labels of part 1, annexes B.10 and C.6.
    const fn label(self) -> &'static str {
        match self {
            Self::Session => "SECRET",
            Self::Duplicate => "DUPLICATE",
        }
    }
}

/// A secret that only one storage key reads, such as the salt of a session, and the form in which
/// it goes to the chip.
pub(crate) struct Salt {
    /// The secret.
    pub(crate) secret: Zeroizing<Vec<u8>>,
    /// The contents of the `TPM2B_ENCRYPTED_SECRET`.
    pub(crate) encrypted: Vec<u8>,
}

/// Makes a salt that only the storage key with the public area `public` can read.
pub(crate) fn salt_to(public: &[u8]) -> Result<Salt> {
    secret_to(public, Purpose::Session)
}

/// Makes a seed that only the storage key with the public area `public` can read: for an object
/// that this key is to be the parent of.
pub(crate) fn seed_to(public: &[u8]) -> Result<Salt> {
    secret_to(public, Purpose::Duplicate)
}

/// Makes a secret that only the holder of the storage key `public` can read.
///
/// # Source
///
/// Part 1, annex B.10 (RSA, OAEP with a label) and C.6 (ECC, one-pass ECDH).
fn secret_to(public: &[u8], purpose: Purpose) -> Result<Salt> {
    let (key, hash) = storage_key::parse(public)?;
    match key {
        PublicKey::Rsa { n, e } => rsa_secret(&n, e, hash, purpose),
        PublicKey::Ecc {
            curve: Curve::P256,
            x,
            y,
        } => {
            let (z, ours) = p256::exchange(&x, &y)?;
            Ok(ecc_secret(&z, ours, &x, hash, purpose))
        }
        PublicKey::Ecc {
            curve: Curve::P384,
            x,
            y,
        } => {
            let (z, ours) = p384::exchange(&x, &y)?;
            Ok(ecc_secret(&z, ours, &x, hash, purpose))
        }
        PublicKey::Ecc {
            curve: Curve::P521, ..
        } => Err(Error::NotSupported("a storage root key on the curve P-521")),
    }
}

fn ecc_secret(
    z: &[u8],
    (x, y): (Vec<u8>, Vec<u8>),
    theirs: &[u8],
    hash: Hash,
    purpose: Purpose,
) -> Salt {
    let secret = kdfe(hash, z, purpose.label(), &x, theirs);
    let mut encrypted = Vec::new();
    encrypted.put_sized(&x);
    encrypted.put_sized(&y);
    Salt { secret, encrypted }
}

/// One-pass ECDH with an ephemeral key on one curve.
macro_rules! exchange {
    ($module:ident, $curve:ident) => {
        mod $module {
            use ::$module::{
                PublicKey, ecdh::EphemeralSecret, elliptic_curve::sec1::ToEncodedPoint,
            };
            use rand_core::OsRng;
            use zeroize::Zeroizing;

            use crate::{Error, PublicKey as Ours, Result, structures::kinds::Curve};

            /// The secret shared with the owner of the point (x, y), and the ephemeral point.
            pub(super) fn exchange(
                x: &[u8],
                y: &[u8],
            ) -> Result<(Zeroizing<Vec<u8>>, (Vec<u8>, Vec<u8>))> {
                let point = Ours::sec1(Curve::$curve, x, y);
                let theirs = PublicKey::from_sec1_bytes(&point)
                    .map_err(|_| Error::Malformed("storage root key"))?;
                let secret = EphemeralSecret::random(&mut OsRng);
                let shared = secret.diffie_hellman(&theirs);
                let ours = secret.public_key().to_encoded_point(false);
                let coordinate =
                    |part: Option<&_>| part.map(|bytes: &::$module::FieldBytes| bytes.to_vec());
                let (Some(x), Some(y)) = (coordinate(ours.x()), coordinate(ours.y())) else {
                    return Err(Error::Malformed("ephemeral key"));
                };
                Ok((Zeroizing::new(shared.raw_secret_bytes().to_vec()), (x, y)))
            }
        }
    };
}

exchange!(p256, P256);
exchange!(p384, P384);

fn rsa_secret(n: &[u8], e: u32, hash: Hash, purpose: Purpose) -> Result<Salt> {
    let key = rsa::RsaPublicKey::new(rsa::BigUint::from_bytes_be(n), e.into())
        .map_err(|_| Error::Malformed("storage root key"))?;
    let mut secret = Zeroizing::new(vec![0; hash.size()]);
    OsRng.fill_bytes(&mut secret);
    let label = format!("{}\0", purpose.label());
    let padding = match hash {
        Hash::Sha384 => rsa::Oaep::new_with_label::<Sha384, _>(label),
        Hash::Sha512 => rsa::Oaep::new_with_label::<Sha512, _>(label),
        Hash::Sha1 | Hash::Sha256 => rsa::Oaep::new_with_label::<Sha256, _>(label),
    };
    let encrypted = key
        .encrypt(&mut OsRng, padding, &secret)
        .map_err(|_| Error::Malformed("storage root key"))?;
    Ok(Salt { secret, encrypted })
}

/// AES-128 in CFB mode over `data`, in place, with a key from the session and both nonces.
///
/// # Source
///
/// Part 1, section 21.3 "CFB Mode Parameter Encryption".
pub(crate) fn crypt(
    encrypt: bool,
    session_value: &[u8],
    nonce_newer: &[u8],
    nonce_older: &[u8],
    data: &mut [u8],
) {
    let material = kdfa(session_value, "CFB", nonce_newer, nonce_older, 32);
    let (key, iv) = material.split_at(16);
    let (key, iv) = (Block::from_slice(key), Block::from_slice(iv));
    if encrypt {
        Encryptor::<Aes128>::new(key, iv).encrypt(data);
    } else {
        Decryptor::<Aes128>::new(key, iv).decrypt(data);
    }
}

/// The outer wrapper of an object that goes to a new parent: encrypts `sensitive` in place, and
/// returns the HMAC over it and the object's `name`.
///
/// `sensitive` is a whole `TPM2B_SENSITIVE`, `seed` what [`seed_to`] made for the parent, whose
/// name algorithm is SHA-256 and whose symmetric algorithm is AES-128 in CFB mode.
///
/// # Source
///
/// Part 1, section 23.3 "Duplication": the outer duplication wrapper.
pub(crate) fn wrap_outer(seed: &[u8], name: &Name, sensitive: &mut [u8]) -> [u8; DIGEST] {
    let key = kdfa(seed, "STORAGE", name.bytes(), &[], 16);
    Encryptor::<Aes128>::new(Block::from_slice(&key), &Block::default()).encrypt(sensitive);
    let key = kdfa(seed, "INTEGRITY", &[], &[], DIGEST);
    hmac(&key, &[sensitive, name.bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kdfa_gives_as_many_bytes_as_asked_and_depends_on_every_input() {
        let base = kdfa(b"key", "ATH", b"u", b"v", 32);
        assert_eq!(base.len(), 32);
        assert_ne!(base, kdfa(b"key2", "ATH", b"u", b"v", 32));
        assert_ne!(base, kdfa(b"key", "CFB", b"u", b"v", 32));
        assert_ne!(base, kdfa(b"key", "ATH", b"w", b"v", 32));
        assert_ne!(base, kdfa(b"key", "ATH", b"u", b"w", 32));
        assert_eq!(kdfa(b"key", "ATH", b"u", b"v", 50).len(), 50);
    }

    #[test]
    fn encryption_is_undone_by_decryption() {
        let mut data = *b"some parameter of odd length!";
        crypt(true, b"value", b"newer", b"older", &mut data);
        assert_ne!(&data, b"some parameter of odd length!");
        crypt(false, b"value", b"newer", b"older", &mut data);
        assert_eq!(&data, b"some parameter of odd length!");
    }
}
