//! The attributes of keys: private, public and secret.

use cryptoki_sys::*;
use token_store::Key;
use tpm_core::{Origin, PublicKey};

use super::{Value, flag, kept_bytes, kept_flag};
use crate::{
    der,
    error::{Error, Result},
    mechanism,
    object::{Object, Secret},
};

/// The attributes of a private key alone; `None` for those of both halves.
///
/// Each key was checked when it was read from the store: it cannot leave the chip, and its public
/// area tells its origin. An imported key is sensitive and not extractable now, but it has not
/// always been.
pub(super) fn private_key(key: &Key, kind: CK_ATTRIBUTE_TYPE) -> Option<Result<Value<'static>>> {
    let rsa = key.key_type().is_rsa();
    let decrypt = key.usage().decrypt;
    Some(Ok(match kind {
        CKA_SENSITIVE => Value::Bool(true),
        CKA_ALWAYS_SENSITIVE | CKA_NEVER_EXTRACTABLE | CKA_LOCAL => {
            Value::Bool(key.origin() == Origin::Chip)
        }
        CKA_EXTRACTABLE | CKA_SIGN_RECOVER | CKA_UNWRAP => Value::Bool(false),
        CKA_SIGN => Value::Bool(key.signs()),
        CKA_DECRYPT => Value::Bool(rsa && decrypt),
        CKA_DERIVE => Value::Bool(!rsa && decrypt),
        CKA_ALWAYS_AUTHENTICATE => Value::Bool(key.always_authenticate()),
        CKA_KEY_GEN_MECHANISM => Value::Number(made_by(key)),
        CKA_ALLOWED_MECHANISMS => Value::owned(match &key.permissions().mechanisms {
            Some(allowed) => bytes_of(allowed.numbers()),
            None => bytes_of(&mechanism::of_private_key(key)),
        }),
        CKA_VALUE if !rsa => return Some(Err(Error::AttributeSensitive)),
        CKA_PRIVATE_EXPONENT | CKA_PRIME_1 | CKA_PRIME_2 | CKA_EXPONENT_1 | CKA_EXPONENT_2
        | CKA_COEFFICIENT
            if rsa =>
        {
            return Some(Err(Error::AttributeSensitive));
        }
        _ => return None,
    }))
}

/// The mechanism by which the chip made a key; unavailable for an imported key.
fn made_by(key: &Key) -> CK_MECHANISM_TYPE {
    match key.origin() {
        Origin::Chip => mechanism::key_generation(key.key_type()),
        Origin::Outside => CK_UNAVAILABLE_INFORMATION,
    }
}

/// The attributes of a derived secret. Its `CKA_ALWAYS_SENSITIVE` and `CKA_NEVER_EXTRACTABLE` can
/// be true only if they are true of the key that it was derived from.
pub(super) fn secret_key<'a>(
    object: &'a Object,
    secret: &'a Secret,
    kind: CK_ATTRIBUTE_TYPE,
) -> Result<Value<'a>> {
    Ok(match kind {
        CKA_KEY_TYPE => Value::Number(CKK_GENERIC_SECRET),
        CKA_ID => (&object.cka_id).into(),
        CKA_VALUE if secret.sensitive || !secret.extractable => {
            return Err(Error::AttributeSensitive);
        }
        CKA_VALUE => secret.value.0.as_slice().into(),
        CKA_VALUE_LEN => Value::Number(secret.value.0.len() as CK_ULONG),
        CKA_SENSITIVE => Value::Bool(secret.sensitive),
        CKA_ALWAYS_SENSITIVE => Value::Bool(secret.always_sensitive),
        CKA_EXTRACTABLE => Value::Bool(secret.extractable),
        CKA_NEVER_EXTRACTABLE => Value::Bool(secret.never_extractable),
        CKA_ENCRYPT | CKA_DECRYPT | CKA_SIGN | CKA_VERIFY | CKA_WRAP | CKA_UNWRAP | CKA_DERIVE
        | CKA_LOCAL | CKA_TRUSTED => Value::Bool(false),
        CKA_WRAP_WITH_TRUSTED => kept_flag(object, kind, false),
        CKA_ALLOWED_MECHANISMS => kept_bytes(object, kind),
        CKA_KEY_GEN_MECHANISM => Value::Number(CK_UNAVAILABLE_INFORMATION),
        CKA_START_DATE | CKA_END_DATE => kept_bytes(object, kind),
        _ => return Err(Error::AttributeTypeInvalid),
    })
}

/// The attributes of a public key alone, or with another value than in the private half. Uses that
/// no template set are those of the private half. An added RSA key has all uses.
pub(super) fn public_key<'a>(
    object: &'a Object,
    key: Option<&Key>,
    public: &PublicKey,
    kind: CK_ATTRIBUTE_TYPE,
) -> Option<Value<'a>> {
    let rsa = matches!(public, PublicKey::Rsa { .. });
    let decrypts = key.map_or(rsa, |key| key.usage().decrypt);
    Some(match kind {
        CKA_VERIFY => kept_flag(object, kind, key.is_none_or(Key::signs)),
        CKA_ENCRYPT if rsa => kept_flag(object, kind, decrypts),
        CKA_DERIVE if !rsa => kept_flag(object, kind, decrypts),
        CKA_ENCRYPT | CKA_DERIVE => Value::Bool(false),
        CKA_ALLOWED_MECHANISMS => match object.attributes.get(kind) {
            Some(allowed) => allowed.into(),
            None => {
                let verifies = flag(object, CKA_VERIFY);
                let encrypts = flag(object, CKA_ENCRYPT);
                let list = mechanism::of_public_key(public, verifies, encrypts);
                Value::owned(bytes_of(&list))
            }
        },
        CKA_VERIFY_RECOVER | CKA_WRAP | CKA_TRUSTED => Value::Bool(false),
        CKA_LOCAL => Value::Bool(key.is_some_and(|key| key.origin() == Origin::Chip)),
        CKA_KEY_GEN_MECHANISM => Value::Number(key.map_or(CK_UNAVAILABLE_INFORMATION, made_by)),
        _ => return None,
    })
}

/// The attributes of both halves of a key pair.
pub(super) fn public_part(public: &PublicKey, kind: CK_ATTRIBUTE_TYPE) -> Result<Value<'_>> {
    if kind == CKA_PUBLIC_KEY_INFO {
        return Ok(Value::owned(token_store::object::public_key_info(public)));
    }
    Ok(match (public, kind) {
        (PublicKey::Rsa { .. }, CKA_KEY_TYPE) => Value::Number(CKK_RSA),
        (PublicKey::Rsa { n, .. }, CKA_MODULUS) => n.into(),
        (PublicKey::Rsa { n, .. }, CKA_MODULUS_BITS) => Value::Number(bits(n)),
        (PublicKey::Rsa { e, .. }, CKA_PUBLIC_EXPONENT) => Value::owned(minimal(*e)),
        (PublicKey::Ecc { .. }, CKA_KEY_TYPE) => Value::Number(CKK_EC),
        (PublicKey::Ecc { curve, .. }, CKA_EC_PARAMS) => der::ec_params(*curve).into(),
        (PublicKey::Ecc { x, y, .. }, CKA_EC_POINT) => Value::owned(der::ec_point(x, y)),
        _ => return Err(Error::AttributeTypeInvalid),
    })
}

/// The number of bits of an unsigned integer, most significant byte first.
fn bits(magnitude: &[u8]) -> CK_ULONG {
    let zeros = magnitude.iter().take_while(|byte| **byte == 0).count();
    let first = magnitude
        .get(zeros)
        .map_or(0, |byte| 8 - byte.leading_zeros() as usize);
    (magnitude.len().saturating_sub(zeros + 1) * 8 + first) as CK_ULONG
}

/// An unsigned integer without leading zeros, most significant byte first.
fn minimal(value: u32) -> Vec<u8> {
    let bytes = value.to_be_bytes();
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes[zeros.min(3)..].to_vec()
}

fn bytes_of(mechanisms: &[CK_MECHANISM_TYPE]) -> Vec<u8> {
    mechanisms
        .iter()
        .flat_map(|mechanism| mechanism.to_ne_bytes())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_measured_and_written_without_leading_zeros() {
        assert_eq!(bits(&[0, 1]), 1);
        assert_eq!(bits(&[]), 0);
        assert_eq!(minimal(3), [3]);
        assert_eq!(minimal(0), [0]);
    }
}
