//! Verifying signatures.

#[cfg(feature = "fast-verify")]
mod fast;

use ml_dsa::MlDsa44;
use rsa::BigUint;
use sha2::{Digest, Sha256, Sha512};
use signature::Verifier;

use super::numbers::{MLDSA44_LEN, Numbers};
use crate::wire::Reader;
use crate::{Curve, Error, Result};

/// The longest modulus that is accepted, in bits: OpenSSH's `OPENSSL_RSA_MAX_MODULUS_BITS`.
const MAX_MODULUS_BITS: usize = 16384;

/// The length of a signature of ML-DSA-44 in bytes (FIPS 204, table 2).
const MLDSA44_SIGNATURE_LEN: usize = 2420;

/// A security key's signature made for a web page (PROTOCOL.u2f, "WebAuthn signatures").
const WEBAUTHN: &str = "webauthn-sk-ecdsa-sha2-nistp256@openssh.com";
/// 2^252 + 27742317777372353535851937790883648493, most significant byte first (RFC 8032,
/// section 5.1).
const ED25519_ORDER: [u8; 32] = [
    0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x14, 0xde, 0xf9, 0xde, 0xa2, 0xf7, 0x9c,
    0xd6, 0x58, 0x12, 0x63, 0x1a, 0x5c, 0xf5, 0xd3, 0xed,
];

/// Checks that `signature`, a blob with the name of its algorithm in front, is a valid signature of
/// `message` by the key of the type `name` with the fields `numbers`.
pub(super) fn verify(
    numbers: Numbers<'_>,
    name: &str,
    signature: &[u8],
    message: &[u8],
) -> Result<()> {
    let mut reader = Reader::new(signature, "signature");
    let algorithm = reader.text("algorithm")?;
    if algorithm == WEBAUTHN {
        return Err(Error::UnknownAlgorithm(WEBAUTHN.to_owned()));
    }
    let mut body = reader.nested()?;
    let (sk, by_key) = match numbers {
        Numbers::SkEcdsa { application, .. } | Numbers::SkEd25519 { application, .. } => {
            // Flags and a counter, which are signed as well (PROTOCOL.u2f).
            let details = reader.take(5)?;
            let digests = [Sha256::digest(application), Sha256::digest(message)];
            (true, [&digests[0][..], details, &digests[1][..]].concat())
        }
        _ => (false, Vec::new()),
    };
    reader.finish()?;
    let message = if sk { &by_key } else { message };
    let is_rsa = matches!(numbers, Numbers::Rsa { .. });
    if is_rsa && algorithm == "ssh-rsa" {
        return Err(Error::Sha1);
    }
    if !is_rsa && algorithm != name {
        return Err(Error::BadSignature);
    }
    let is_good = match numbers {
        Numbers::Dsa => return Err(Error::UnknownAlgorithm(name.to_owned())),
        Numbers::Rsa { e, n } => rsa(e, n, algorithm, body.rest(), message),
        Numbers::Ed25519(key) | Numbers::SkEd25519 { key, .. } => ed25519(key, &body, message)?,
        Numbers::SkEcdsa { point, .. } => ecdsa(Curve::NistP256, point, &mut body, message)?,
        Numbers::Ecdsa { curve, point } => ecdsa(curve, point, &mut body, message)?,
        Numbers::Mldsa44Ed25519 { mldsa, ed25519 } => {
            mldsa44_ed25519(mldsa, ed25519, &body, message)?
        }
    };
    is_good.then_some(()).ok_or(Error::BadSignature)
}

/// RFC 8332 section 3. Like OpenSSH, accepts a signature without its leading zero bytes.
fn rsa(e: &[u8], n: &[u8], algorithm: &str, signature: &[u8], message: &[u8]) -> bool {
    let Some(missing) = n.len().checked_sub(signature.len()) else {
        return false;
    };
    let (e, n) = (BigUint::from_bytes_be(e), BigUint::from_bytes_be(n));
    let Ok(key) = rsa::RsaPublicKey::new_with_max_size(n, e, MAX_MODULUS_BITS) else {
        return false;
    };
    let signature = [&vec![0; missing][..], signature].concat();
    let (padding, digest) = match algorithm {
        "rsa-sha2-256" => (
            rsa::Pkcs1v15Sign::new::<Sha256>(),
            Sha256::digest(message).to_vec(),
        ),
        "rsa-sha2-512" => (
            rsa::Pkcs1v15Sign::new::<Sha512>(),
            Sha512::digest(message).to_vec(),
        ),
        _ => return false,
    };
    key.verify(padding, &digest, &signature).is_ok()
}

/// RFC 8709 section 6: R, then S, of 32 bytes each.
fn ed25519(key: &[u8; 32], body: &Reader<'_>, message: &[u8]) -> Result<bool> {
    let Ok(signature) = ed25519_dalek::Signature::from_slice(body.rest()) else {
        return Ok(false);
    };
    // S is little-endian.
    if !signature.s_bytes().iter().rev().lt(ED25519_ORDER.iter()) {
        return Err(body.malformed("its number S is not below the order of the curve"));
    }
    Ok(ed25519_dalek::VerifyingKey::from_bytes(key)
        .is_ok_and(|key| key.verify(message, &signature).is_ok()))
}

/// Both signatures, one after the other, over a text that names the pair and has the SHA-512 of the
/// message. Each has to be right.
///
/// # Source
///
/// draft-miller-sshm-mldsa44-ed25519-composite-sigs-00, and draft-ietf-lamps-pq-composite-sigs
/// section 2.2 (`M'`), with an empty context.
fn mldsa44_ed25519(
    mldsa: &[u8; MLDSA44_LEN],
    ed25519_key: &[u8; 32],
    body: &Reader<'_>,
    message: &[u8],
) -> Result<bool> {
    const PREFIX: &[u8] = b"CompositeAlgorithmSignatures2025";
    const LABEL: &[u8] = b"COMPSIG-MLDSA44-Ed25519-SHA512";
    const CONTEXT_LEN: &[u8] = &[0];
    let mut both = body.clone();
    let Ok(by_mldsa) = both.take(MLDSA44_SIGNATURE_LEN) else {
        return Ok(false);
    };
    let digest = Sha512::digest(message);
    let message = [PREFIX, LABEL, CONTEXT_LEN, &digest].concat();
    let key = ml_dsa::EncodedVerifyingKey::<MlDsa44>::try_from(&mldsa[..]);
    let signature = ml_dsa::Signature::<MlDsa44>::try_from(by_mldsa);
    let (Ok(key), Ok(signature)) = (key, signature) else {
        return Ok(false);
    };
    let key = ml_dsa::VerifyingKey::decode(&key);
    Ok(key.verify_with_context(&message, LABEL, &signature)
        && ed25519(ed25519_key, &both, &message)?)
}

/// RFC 5656 section 3.1.2: `mpint` r, `mpint` s.
fn ecdsa(curve: Curve, point: &[u8], body: &mut Reader<'_>, message: &[u8]) -> Result<bool> {
    let size = curve.field_size();
    let mut numbers = Vec::with_capacity(2 * size);
    for _ in 0..2 {
        let number = body.mpint()?;
        let Some(missing) = size.checked_sub(number.len()) else {
            return Ok(false);
        };
        numbers.resize(numbers.len() + missing, 0);
        numbers.extend(number);
    }
    body.finish()?;
    #[cfg(feature = "fast-verify")]
    if curve == Curve::NistP256 && fast::accepts(point, message, &numbers) {
        return Ok(true);
    }
    macro_rules! check {
        ($curve:ident) => {{
            let key = $curve::ecdsa::VerifyingKey::from_sec1_bytes(point);
            let signature = $curve::ecdsa::Signature::from_slice(&numbers);
            key.and_then(|key| key.verify(message, &signature?)).is_ok()
        }};
    }
    Ok(match curve {
        Curve::NistP256 => check!(p256),
        Curve::NistP384 => check!(p384),
        Curve::NistP521 => check!(p521),
    })
}
