//! Mechanisms of the caller, with their parameters.

use cryptoki_sys::*;

use super::pointer::{input, value};
use crate::{
    error::Result,
    mechanism::{Mechanism, Parameter},
};

/// A mechanism; `None` for null.
///
/// # Safety
///
/// `mechanism` is null or good to read, and its parameter null or good to read for its length.
pub(super) unsafe fn read(mechanism: CK_MECHANISM_PTR) -> Result<Option<Mechanism>> {
    if mechanism.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller vouches for it.
    let given = unsafe { value(mechanism) }?;
    // SAFETY: the caller vouches for the parameter.
    let parameter = unsafe { parameter(&given) }?;
    Ok(Some(Mechanism {
        kind: given.mechanism,
        parameter,
    }))
}

/// # Safety
///
/// The parameter is null or good to read for its length.
unsafe fn parameter(mechanism: &CK_MECHANISM) -> Result<Parameter> {
    let len = usize::try_from(mechanism.ulParameterLen).unwrap_or(usize::MAX);
    if mechanism.pParameter.is_null() {
        return Ok(if len == 0 {
            Parameter::None
        } else {
            Parameter::Unknown
        });
    }
    Ok(match mechanism.mechanism {
        CKM_RSA_PKCS_PSS
        | CKM_SHA1_RSA_PKCS_PSS
        | CKM_SHA256_RSA_PKCS_PSS
        | CKM_SHA384_RSA_PKCS_PSS
        | CKM_SHA512_RSA_PKCS_PSS
            if len == size_of::<CK_RSA_PKCS_PSS_PARAMS>() =>
        {
            // SAFETY: it has the length of these parameters, and the caller vouches for it.
            let pss: CK_RSA_PKCS_PSS_PARAMS = unsafe { value(mechanism.pParameter.cast()) }?;
            Parameter::Pss(pss.hashAlg, pss.mgf, pss.sLen)
        }
        CKM_RSA_PKCS_OAEP if len == size_of::<CK_RSA_PKCS_OAEP_PARAMS>() => {
            // SAFETY: it has the length of these parameters, and the caller vouches for it.
            let oaep: CK_RSA_PKCS_OAEP_PARAMS = unsafe { value(mechanism.pParameter.cast()) }?;
            // SAFETY: the caller vouches for the label.
            let label = unsafe { bytes(oaep.pSourceData.cast(), oaep.ulSourceDataLen) };
            match (oaep.source, label) {
                (CKZ_DATA_SPECIFIED, Some(label)) => Parameter::Oaep(oaep.hashAlg, oaep.mgf, label),
                // Some programs leave the source out if there is no label.
                (0, Some(label)) if label.is_empty() => {
                    Parameter::Oaep(oaep.hashAlg, oaep.mgf, label)
                }
                _ => Parameter::Unknown,
            }
        }
        CKM_ECDH1_DERIVE if len == size_of::<CK_ECDH1_DERIVE_PARAMS>() => {
            // SAFETY: it has the length of these parameters, and the caller vouches for it.
            let ecdh: CK_ECDH1_DERIVE_PARAMS = unsafe { value(mechanism.pParameter.cast()) }?;
            // SAFETY: the caller vouches for the point.
            let point = unsafe { bytes(ecdh.pPublicData, ecdh.ulPublicDataLen) };
            // SAFETY: the caller vouches for the shared data.
            let shared = unsafe { bytes(ecdh.pSharedData, ecdh.ulSharedDataLen) };
            match (point, shared) {
                (Some(point), Some(shared)) => Parameter::Ecdh(ecdh.kdf, shared, point),
                _ => Parameter::Unknown,
            }
        }
        _ if len == 0 => Parameter::None,
        _ => Parameter::Unknown,
    })
}

/// The longest label, point and shared data that are read, in bytes.
const MAX_BYTES: CK_ULONG = 4096;

/// Bytes that a parameter points to; `None` for null with a length, and for too many.
///
/// # Safety
///
/// `data` is null or good to read for `len` bytes.
unsafe fn bytes(data: *const CK_BYTE, len: CK_ULONG) -> Option<Vec<u8>> {
    if len > MAX_BYTES {
        return None;
    }
    // SAFETY: the caller vouches for it.
    unsafe { input(data, len) }.ok().map(<[u8]>::to_vec)
}
