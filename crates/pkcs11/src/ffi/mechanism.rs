//! Mechanisms of the caller, with their parameters.

use cryptoki_sys::*;

use super::pointer::value;
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
            if oaep.ulSourceDataLen == 0 {
                Parameter::Oaep(oaep.hashAlg, oaep.mgf)
            } else {
                Parameter::Unknown
            }
        }
        _ if len == 0 => Parameter::None,
        _ => Parameter::Unknown,
    })
}
