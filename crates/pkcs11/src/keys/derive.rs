//! `C_DeriveKey`: a shared secret of a key in the chip and the public key of the other side.

use cryptoki_sys::*;
use token_store::object::Attributes;
use tpm_core::{Curve, Hash, Origin, PublicKey};
use zeroize::Zeroizing;

use crate::{
    der,
    error::{Error, Result},
    mechanism::{self, Mechanism, Parameter},
    module::State,
    object::{
        Content, Object, Secret, Value,
        rules::{self, Kind, Purpose},
        template::Template,
    },
};

/// Derives a secret, which lives as long as the session.
///
/// # Source
///
/// PKCS#11 3.1, section 6.3.20 "Elliptic curve Diffie-Hellman key derivation"; the key
/// derivation functions are those of SEC 1, section 3.6.1 "ANSI-X9.63-KDF".
pub(crate) fn derive(
    state: &mut State,
    handle: CK_SESSION_HANDLE,
    mechanism: Mechanism,
    base: CK_OBJECT_HANDLE,
    template: &Template,
) -> Result<CK_OBJECT_HANDLE> {
    let slot = state.session(handle)?.slot;
    let (kdf, shared_data, point) = match (mechanism.kind, mechanism.parameter) {
        (CKM_ECDH1_DERIVE, Parameter::Ecdh(kdf, shared, point)) => {
            (mechanism::kdf(kdf)?, shared, point)
        }
        (CKM_ECDH1_DERIVE, _) => return Err(Error::MechanismParamInvalid),
        _ => return Err(Error::MechanismInvalid),
    };
    let (key, curve) = state.use_key(handle, base, (CKA_DERIVE, mechanism.kind), |key| {
        let key = key.as_private()?;
        match *key.public() {
            PublicKey::Ecc { curve, .. } => Ok((key, curve)),
            PublicKey::Rsa { .. } => Err(Error::KeyTypeInconsistent),
        }
    })?;
    // A context-specific login belongs to an active operation, and `C_DeriveKey` has none.
    if key.always_authenticate() {
        return Err(Error::NotLoggedIn);
    }
    // Shared data are an input of the key derivation function alone.
    if kdf.is_none() && !shared_data.is_empty() {
        return Err(Error::MechanismParamInvalid);
    }
    let (x, y) = other(curve, &point)?;
    let (len, attributes) = check(template, curve, kdf)?;
    let sensitive = template.bool(CKA_SENSITIVE)?.unwrap_or(true);
    let extractable = template.bool(CKA_EXTRACTABLE)?.unwrap_or(false);
    // A secret that comes from an imported key has not always been in the chip.
    let born_here = key.origin() == Origin::Chip;
    let open = state.open_token(slot)?;
    let shared = Zeroizing::new(open.ecdh(&key, &x, &y)?);
    let value = match kdf {
        Some(hash) => x963(hash, &shared, &shared_data, len),
        None => Zeroizing::new(shared[shared.len() - len..].to_vec()),
    };
    let object = Object {
        handle: 0,
        stored: None,
        label: template.text(CKA_LABEL)?.unwrap_or_default().to_owned(),
        cka_id: template.bytes(CKA_ID).unwrap_or_default().to_vec(),
        private: template.bool(CKA_PRIVATE)?.unwrap_or(true),
        attributes,
        content: Content::Secret(Secret {
            value: Value(value),
            sensitive,
            extractable,
            always_sensitive: sensitive && born_here,
            never_extractable: !extractable && born_here,
        }),
    };
    Ok(state.session_objects.add(slot, handle, object))
}

/// The other side's point, on the curve of the key.
pub(crate) fn other(curve: Curve, point: &[u8]) -> Result<(Vec<u8>, Vec<u8>)> {
    let other = der::point(curve, point).filter(|other| other.check().is_ok());
    match other {
        Some(PublicKey::Ecc { x, y, .. }) => Ok((x, y)),
        _ => Err(Error::MechanismParamInvalid),
    }
}

/// The first `len` bytes of the ANSI X9.63 key derivation function of a shared secret.
///
/// # Source
///
/// SEC 1, version 2.0, section 3.6.1.
fn x963(hash: Hash, secret: &[u8], shared_data: &[u8], len: usize) -> Zeroizing<Vec<u8>> {
    let mut key = Zeroizing::new(Vec::with_capacity(len + hash.size()));
    for counter in 1_u32.. {
        if key.len() >= len {
            break;
        }
        let mut hasher = mechanism::hasher(hash);
        hasher.update(secret);
        hasher.update(&counter.to_be_bytes());
        hasher.update(shared_data);
        key.extend_from_slice(&Zeroizing::new(hasher.finalize()));
    }
    key.truncate(len);
    key
}

/// The longest secret that a key derivation function makes, in bytes.
const MAX_DERIVED: usize = 1024;

/// Checks the template of a derived secret. Returns the length of the secret in bytes and the
/// attributes that are kept with it.
///
/// Without a key derivation function the secret is as long as a coordinate; a shorter secret is its
/// end. With such a function the template must have the length.
pub(crate) fn check(
    template: &Template,
    curve: Curve,
    kdf: Option<Hash>,
) -> Result<(usize, Attributes)> {
    let attributes = rules::check(template, Kind::Secret, Purpose::Make)?;
    let agrees = template.ulong(CKA_CLASS)?.unwrap_or(CKO_SECRET_KEY) == CKO_SECRET_KEY
        && template.ulong(CKA_KEY_TYPE)?.unwrap_or(CKK_GENERIC_SECRET) == CKK_GENERIC_SECRET
        && !template.bool(CKA_TOKEN)?.unwrap_or(false);
    if !agrees {
        return Err(Error::TemplateInconsistent);
    }
    let size = kdf.map_or(curve.field_size(), |_| MAX_DERIVED);
    let Some(len) = template.ulong(CKA_VALUE_LEN)? else {
        return match kdf {
            Some(_) => Err(Error::TemplateIncomplete),
            None => Ok((size, attributes)),
        };
    };
    let fits = usize::try_from(len).ok();
    fits.filter(|len| (1..=size).contains(len))
        .map(|len| (len, attributes))
        .ok_or(Error::KeySizeRange)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// NIST CAVS 12.0, "ANSI X9.63-2001 KDF", SHA-256, first case with shared data.
    #[test]
    fn a_key_is_derived_as_in_the_vectors_of_nist() {
        let hex = |text| base16ct::lower::decode_vec(text).expect("hexadecimal");
        let secret = hex("22518b10e70f2a3f243810ae3254139efbee04aa57c7af7d");
        let shared = hex("75eef81aa3041e33b80971203d2c0c52");
        let key = hex(concat!(
            "c498af77161cc59f2962b9a713e2b215152d139766ce34a776df11866a69bf2e",
            "52a13d9c7c6fc878c50c5ea0bc7b00e0da2447cfd874f6cf92f30d0097111485",
            "500c90c3af8b487872d04685d14c8d1dc8d7fa08beb0ce0ababc11f0bd496269",
            "142d43525a78e5bc79a17f59676a5706dc54d54d4d1f0bd7e386128ec26afc21",
        ));
        assert_eq!(*x963(Hash::Sha256, &secret, &shared, 128), key);
        assert_eq!(*x963(Hash::Sha256, &secret, &shared, 33), key[..33]);
    }
}
