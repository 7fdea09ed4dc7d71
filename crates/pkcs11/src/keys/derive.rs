//! `C_DeriveKey`: a secret that a key in the chip and somebody else's public key agree on.

use cryptoki_sys::*;
use tpm_core::{Curve, PublicKey};
use zeroize::Zeroizing;

use crate::{
    der,
    error::{Error, Result},
    mechanism::{Mechanism, Parameter},
    module::State,
    object::{Content, Object, Secret, Value, template::Template},
};

/// Derives a secret, which lives as long as the session.
///
/// # Source
///
/// PKCS#11 Current Mechanisms 3.0, section 2.3.12 "Elliptic curve Diffie-Hellman key
/// derivation".
pub(crate) fn derive(
    state: &mut State,
    handle: CK_SESSION_HANDLE,
    mechanism: Mechanism,
    base: CK_OBJECT_HANDLE,
    template: &Template,
) -> Result<CK_OBJECT_HANDLE> {
    let slot = state.session(handle)?.slot;
    let point = match (mechanism.kind, mechanism.parameter) {
        (CKM_ECDH1_DERIVE, Parameter::Ecdh(point)) => point,
        (CKM_ECDH1_DERIVE, _) => return Err(Error::MechanismParamInvalid),
        _ => return Err(Error::MechanismInvalid),
    };
    let key = state.private_key(handle, base)?;
    let PublicKey::Ecc { curve, .. } = *key.public() else {
        return Err(Error::KeyTypeInconsistent);
    };
    if !key.usage().decrypt {
        return Err(Error::KeyFunctionNotPermitted);
    }
    // Such a login belongs to an operation, and this is none that could be begun.
    if key.always_authenticate() {
        return Err(Error::NotLoggedIn);
    }
    let (x, y) = other(curve, &point)?;
    let len = check(template, curve)?;
    let sensitive = template.bool(CKA_SENSITIVE)?.unwrap_or(true);
    let extractable = template.bool(CKA_EXTRACTABLE)?.unwrap_or(false);
    let open = state.open_token(slot)?;
    let shared = Zeroizing::new(open.ecdh(&key, &x, &y)?);
    let value = Zeroizing::new(shared[shared.len() - len..].to_vec());
    let object = Object {
        handle: 0,
        stored: None,
        label: template.text(CKA_LABEL)?.unwrap_or_default().to_owned(),
        cka_id: template.bytes(CKA_ID).unwrap_or_default().to_vec(),
        private: template.bool(CKA_PRIVATE)?.unwrap_or(true),
        content: Content::Secret(Secret {
            value: Value(value),
            sensitive,
            extractable,
        }),
    };
    Ok(state.session_objects.add(slot, handle, object))
}

/// The other's point, on the curve of the key.
pub(crate) fn other(curve: Curve, point: &[u8]) -> Result<(Vec<u8>, Vec<u8>)> {
    let other = der::point(curve, point).filter(|other| other.check().is_ok());
    match other {
        Some(PublicKey::Ecc { x, y, .. }) => Ok((x, y)),
        _ => Err(Error::MechanismParamInvalid),
    }
}

/// Refuses what is not a secret of a session; returns how long it is to be. What is cut off is
/// cut off in front.
pub(crate) fn check(template: &Template, curve: Curve) -> Result<usize> {
    template.check_unambiguous()?;
    let agrees = template.ulong(CKA_CLASS)?.unwrap_or(CKO_SECRET_KEY) == CKO_SECRET_KEY
        && template.ulong(CKA_KEY_TYPE)?.unwrap_or(CKK_GENERIC_SECRET) == CKK_GENERIC_SECRET
        && !template.bool(CKA_TOKEN)?.unwrap_or(false);
    if !agrees {
        return Err(Error::TemplateInconsistent);
    }
    let size = curve.field_size();
    let Some(len) = template.ulong(CKA_VALUE_LEN)? else {
        return Ok(size);
    };
    let fits = usize::try_from(len).ok();
    fits.filter(|len| (1..=size).contains(len))
        .ok_or(Error::KeySizeRange)
}
