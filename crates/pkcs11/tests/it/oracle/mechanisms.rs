//! Which mechanisms there are for keys that sign, and what each does.

use cryptoki_sys::*;

use super::{Case, case, names};
use crate::loaded::{call, done};

macro_rules! named {
    ($($name:ident)+) => { [$(($name, stringify!($name))),+] };
}

pub(super) fn cases() -> Vec<Case> {
    let kinds = named![
        CKM_RSA_PKCS_KEY_PAIR_GEN CKM_RSA_PKCS CKM_RSA_X_509 CKM_RSA_9796 CKM_MD5_RSA_PKCS
        CKM_SHA1_RSA_PKCS CKM_SHA224_RSA_PKCS CKM_SHA256_RSA_PKCS CKM_SHA384_RSA_PKCS
        CKM_SHA512_RSA_PKCS CKM_RSA_PKCS_OAEP CKM_RSA_PKCS_PSS CKM_SHA1_RSA_PKCS_PSS
        CKM_SHA224_RSA_PKCS_PSS CKM_SHA256_RSA_PKCS_PSS CKM_SHA384_RSA_PKCS_PSS
        CKM_SHA512_RSA_PKCS_PSS CKM_EC_KEY_PAIR_GEN CKM_ECDSA CKM_ECDSA_SHA1 CKM_ECDSA_SHA224
        CKM_ECDSA_SHA256 CKM_ECDSA_SHA384 CKM_ECDSA_SHA512 CKM_ECDH1_DERIVE
        CKM_ECDH1_COFACTOR_DERIVE CKM_EC_EDWARDS_KEY_PAIR_GEN CKM_EDDSA CKM_SHA_1 CKM_SHA224
        CKM_SHA256 CKM_SHA384 CKM_SHA512 CKM_MD5
    ];
    let mut cases = Vec::new();
    for (kind, name) in kinds {
        cases.push(case(format!("mechanism {name}"), move |hsm| {
            let mut info = CK_MECHANISM_INFO::default();
            let returned = call!(
                hsm.stage,
                C_GetMechanismInfo(hsm.stage.slot, kind, &raw mut info)
            );
            let does = [
                (CKF_SIGN, "sign"),
                (CKF_VERIFY, "verify"),
                (CKF_ENCRYPT, "encrypt"),
                (CKF_DECRYPT, "decrypt"),
                (CKF_DERIVE, "derive"),
                (CKF_DIGEST, "digest"),
                (CKF_GENERATE_KEY_PAIR, "generate"),
            ];
            let does = does.iter().filter(|(flag, _)| info.flags & flag != 0);
            let does: Vec<_> = does.map(|(_, does)| *does).collect();
            format!("{} {}", names::of(returned), does.join(" "))
        }));
    }
    cases.push(case("each mechanism of the list is known", |hsm| {
        let mut kinds = [0; 200];
        let mut count = kinds.len() as CK_ULONG;
        let (slot, place) = (hsm.stage.slot, kinds.as_mut_ptr());
        done!(hsm.stage, C_GetMechanismList(slot, place, &raw mut count));
        let mut info = CK_MECHANISM_INFO::default();
        let unknown = kinds[..count as usize].iter().filter(|kind| {
            call!(hsm.stage, C_GetMechanismInfo(slot, **kind, &raw mut info)) != CKR_OK
        });
        format!("{} are not", unknown.count())
    }));
    cases.push(case("a list of mechanisms that does not fit", |hsm| {
        let mut kind = 0;
        let mut count = 1;
        let (slot, place) = (hsm.stage.slot, &raw mut kind);
        call!(hsm.stage, C_GetMechanismList(slot, place, &raw mut count))
    }));
    cases
}
