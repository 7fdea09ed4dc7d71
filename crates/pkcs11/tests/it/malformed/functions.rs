//! Every function of PKCS#11 3.0, with good arguments and what it then returns.

use std::ptr;

use cryptoki_sys::*;

use super::call::Call;
use crate::{
    loaded::{call, done},
    stage::{RW, bytes, plain},
};

/// A function, called with good arguments.
pub(super) struct Function {
    pub(super) name: &'static str,
    /// What is begun before.
    pub(super) prepare: fn(&Call),
    /// What it returns for good arguments.
    pub(super) returns: CK_RV,
    pub(super) call: fn(&Call) -> CK_RV,
}

macro_rules! function {
    ($name:ident, $prepare:expr, $returns:expr, |$c:ident| [$($argument:expr),* $(,)?]) => {
        Function {
            name: stringify!($name),
            prepare: $prepare,
            returns: $returns,
            call: |$c| call!($c, $name($($argument),*)),
        }
    };
    ($name:ident, $prepare:expr, $returns:expr, |$c:ident| { $($set:stmt;)+ } [$($argument:expr),* $(,)?]) => {
        Function {
            name: stringify!($name),
            prepare: $prepare,
            returns: $returns,
            call: |$c| {
                $($set)+
                call!($c, $name($($argument),*))
            },
        }
    };
}

/// Nothing has to be begun.
fn none(_: &Call) {}

fn find_init(c: &Call) {
    done!(c, C_FindObjectsInit(c.stage.session, ptr::null_mut(), 0));
}

fn digest_init(c: &Call) {
    let mut mechanism = plain(CKM_SHA256);
    done!(c, C_DigestInit(c.stage.session, &raw mut mechanism));
}

fn encrypt_init(c: &Call) {
    let (session, key) = (c.stage.session, c.rsa_public());
    let mut mechanism = plain(CKM_RSA_PKCS);
    done!(c, C_EncryptInit(session, &raw mut mechanism, key));
}

fn sign_init(c: &Call) {
    assert_eq!(c.stage.sign_init(CKM_ECDSA_SHA256, c.ec()), CKR_OK);
}

fn verify_init(c: &Call) {
    let mut mechanism = plain(CKM_ECDSA);
    done!(
        c,
        C_VerifyInit(c.stage.session, &raw mut mechanism, c.public())
    );
}

fn decrypt_init(c: &Call) {
    let mut mechanism = plain(CKM_RSA_PKCS);
    done!(
        c,
        C_DecryptInit(c.stage.session, &raw mut mechanism, c.rsa())
    );
}

const UNSUPPORTED: CK_RV = CKR_FUNCTION_NOT_SUPPORTED;
const LABEL: [u8; 32] = *b"label                           ";

/// The point that generates P-256: SEC 2, section 2.4.2.
pub(super) const GENERATOR: [u8; 65] = *b"\x04\
    \x6b\x17\xd1\xf2\xe1\x2c\x42\x47\xf8\xbc\xe6\xe5\x63\xa4\x40\xf2\
    \x77\x03\x7d\x81\x2d\xeb\x33\xa0\xf4\xa1\x39\x45\xd8\x98\xc2\x96\
    \x4f\xe3\x42\xe2\xfe\x1a\x7f\x9b\x8e\xe7\xeb\x4a\x7c\x0f\x9e\x16\
    \x2b\xce\x33\x57\x6b\x31\x5e\xce\xcb\xb6\x40\x68\x37\xbf\x51\xf5";

/// Every function but `C_Initialize` and `C_Finalize`.
pub(super) fn all() -> Vec<Function> {
    let mut all = general();
    all.extend(objects());
    all.extend(crypto());
    all.extend(unsupported());
    all.extend(messages());
    all
}

fn general() -> Vec<Function> {
    vec![
        function!(C_GetInfo, none, CKR_OK, |c| [c.out()]),
        function!(C_GetFunctionList, none, CKR_OK, |c| [c.out()]),
        function!(C_GetInterfaceList, none, CKR_OK, |c| { let (a, b) = c.buffer(2); } [a, b]),
        function!(C_GetInterface, none, CKR_OK, |c| [
            c.optional(*b"PKCS 11\0").cast(),
            c.optional(CK_VERSION { major: 3, minor: 0 }),
            c.out(),
            0,
        ]),
        function!(C_GetSlotList, none, CKR_OK, |c| { let (a, b) = c.buffer(8); } [CK_FALSE, a, b]),
        function!(C_GetSlotInfo, none, CKR_OK, |c| [c.slot(), c.out()]),
        function!(C_GetTokenInfo, none, CKR_OK, |c| [c.slot(), c.out()]),
        function!(C_GetMechanismList, none, CKR_OK, |c| { let (a, b) = c.buffer(40); } [c.slot(), a, b]),
        function!(C_GetMechanismInfo, none, CKR_OK, |c| [
            c.slot(),
            CKM_ECDSA,
            c.out()
        ]),
        function!(C_WaitForSlotEvent, none, CKR_NO_EVENT, |c| [
            CKF_DONT_BLOCK,
            c.out(),
            ptr::null_mut(),
        ]),
        function!(C_InitToken, none, CKR_SESSION_EXISTS, |c| { let (a, b) = c.input(b"12345678"); } [
            c.slot(),
            a,
            b,
            c.given(LABEL).cast(),
        ]),
        function!(C_InitPIN, none, CKR_USER_NOT_LOGGED_IN, |c| { let (a, b) = c.input(b"12345678"); } [c.session(), a, b]),
        // The token has no PIN that could be changed.
        function!(C_SetPIN, none, CKR_USER_PIN_NOT_INITIALIZED, |c| {
            let (a, b) = c.input(b"12345678");
            let (d, e) = c.input(b"87654321");
        } [c.session(), a, b, d, e]),
        function!(C_OpenSession, none, CKR_OK, |c| [
            c.slot(),
            RW,
            c.ignored(),
            None,
            c.out()
        ]),
        function!(C_CloseSession, none, CKR_OK, |c| [c.session()]),
        function!(C_CloseAllSessions, none, CKR_OK, |c| [c.slot()]),
        function!(C_GetSessionInfo, none, CKR_OK, |c| [c.session(), c.out()]),
        function!(C_SessionCancel, none, CKR_OK, |c| [c.session(), 0]),
        function!(C_Login, none, CKR_OK, |c| { let (a, b) = c.input(b"1234"); } [c.session(), CKU_USER, a, b]),
        function!(C_LoginUser, none, CKR_ARGUMENTS_BAD, |c| {
            let (a, b) = c.input(b"1234");
            let (d, e) = c.input(b"name");
        } [c.session(), CKU_USER, a, b, d, e]),
        function!(C_Logout, none, CKR_USER_NOT_LOGGED_IN, |c| [c.session()]),
        function!(C_GetFunctionStatus, none, CKR_FUNCTION_NOT_PARALLEL, |c| [
            c.session()
        ]),
        function!(C_CancelFunction, none, CKR_FUNCTION_NOT_PARALLEL, |c| [
            c.session()
        ]),
        function!(C_SeedRandom, none, CKR_OK, |c| { let (a, b) = c.input(b"seed"); } [c.session(), a, b]),
        function!(C_GenerateRandom, none, CKR_OK, |c| { let (a, b) = c.input(&[0; 300]); } [c.session(), a, b]),
    ]
}

fn objects() -> Vec<Function> {
    vec![
        function!(C_CreateObject, none, CKR_OK, |c| {
            let class = c.memory.copy(&CKO_DATA.to_ne_bytes());
            let class = CK_ATTRIBUTE { type_: CKA_CLASS, pValue: class.cast(), ulValueLen: 8 };
            let (a, b) = c.input(&[class, bytes(CKA_VALUE, b"data")]);
        } [c.session(), a, b, c.out()]),
        function!(C_CopyObject, none, CKR_OK, |c| {
            let (a, b) = c.input(&[bytes(CKA_LABEL, b"copy")]);
        } [c.session(), c.object(), a, b, c.out()]),
        function!(C_DestroyObject, none, CKR_OK, |c| [c.session(), c.object()]),
        function!(C_GetObjectSize, none, CKR_OK, |c| [
            c.session(),
            c.object(),
            c.out()
        ]),
        function!(C_GetAttributeValue, none, CKR_OK, |c| {
            let value = c.memory.room::<u8>(4);
            let value = CK_ATTRIBUTE { type_: CKA_VALUE, pValue: value.cast(), ulValueLen: 4 };
            let (a, b) = c.input(&[value]);
        } [c.session(), c.object(), a, b]),
        function!(C_SetAttributeValue, none, CKR_OK, |c| {
            let (a, b) = c.input(&[bytes(CKA_LABEL, b"label")]);
        } [c.session(), c.object(), a, b]),
        function!(C_FindObjectsInit, none, CKR_OK, |c| {
            let (a, b) = c.input(&[bytes(CKA_LABEL, b"label")]);
        } [c.session(), a, b]),
        function!(C_FindObjects, find_init, CKR_OK, |c| [
            c.session(),
            c.out(),
            1,
            c.out()
        ]),
        function!(C_FindObjectsFinal, find_init, CKR_OK, |c| [c.session()]),
    ]
}

fn crypto() -> Vec<Function> {
    vec![
        function!(C_DigestInit, none, CKR_OK, |c| [
            c.session(),
            c.optional(plain(CKM_SHA256))
        ]),
        function!(C_Digest, digest_init, CKR_OK, |c| {
            let (a, b) = c.input(b"data");
            let (d, e) = c.buffer(32);
        } [c.session(), a, b, d, e]),
        function!(C_DigestUpdate, digest_init, CKR_OK, |c| { let (a, b) = c.input(b"data"); } [c.session(), a, b]),
        function!(C_DigestFinal, digest_init, CKR_OK, |c| { let (a, b) = c.buffer(32); } [c.session(), a, b]),
        function!(C_SignInit, none, CKR_OK, |c| [
            c.session(),
            c.optional(plain(CKM_ECDSA)),
            c.ec()
        ]),
        function!(C_Sign, sign_init, CKR_OK, |c| {
            let (a, b) = c.input(b"data");
            let (d, e) = c.buffer(64);
        } [c.session(), a, b, d, e]),
        function!(C_SignUpdate, sign_init, CKR_OK, |c| { let (a, b) = c.input(b"data"); } [c.session(), a, b]),
        function!(C_SignFinal, sign_init, CKR_OK, |c| { let (a, b) = c.buffer(64); } [c.session(), a, b]),
        function!(C_VerifyInit, none, CKR_OK, |c| [
            c.session(),
            c.optional(plain(CKM_ECDSA)),
            c.public()
        ]),
        function!(C_Verify, verify_init, CKR_SIGNATURE_INVALID, |c| {
            let (a, b) = c.input(&[1; 32]);
            let (d, e) = c.input(&[1; 64]);
        } [c.session(), a, b, d, e]),
        function!(C_VerifyUpdate, verify_init, CKR_OK, |c| { let (a, b) = c.input(b"data"); } [c.session(), a, b]),
        function!(C_VerifyFinal, verify_init, CKR_DATA_LEN_RANGE, |c| { let (a, b) = c.input(&[1; 64]); } [c.session(), a, b]),
        function!(C_EncryptInit, none, CKR_OK, |c| [
            c.session(),
            c.optional(plain(CKM_RSA_PKCS)),
            c.rsa_public()
        ]),
        function!(C_Encrypt, encrypt_init, CKR_OK, |c| {
            let (a, b) = c.input(b"data");
            let (d, e) = c.buffer(256);
        } [c.session(), a, b, d, e]),
        function!(C_EncryptUpdate, encrypt_init, UNSUPPORTED, |c| {
            let (a, b) = c.input(b"data");
            let (d, e) = c.buffer(1);
        } [c.session(), a, b, d, e]),
        function!(C_EncryptFinal, encrypt_init, UNSUPPORTED, |c| { let (a, b) = c.buffer(1); } [c.session(), a, b]),
        function!(C_DecryptInit, none, CKR_OK, |c| [
            c.session(),
            c.optional(plain(CKM_RSA_PKCS)),
            c.rsa()
        ]),
        function!(C_Decrypt, decrypt_init, CKR_ENCRYPTED_DATA_LEN_RANGE, |c| {
            let (a, b) = c.input(&[1; 255]);
            let (d, e) = c.buffer(245);
        } [c.session(), a, b, d, e]),
        function!(C_DecryptUpdate, decrypt_init, UNSUPPORTED, |c| {
            let (a, b) = c.input(b"data");
            let (d, e) = c.buffer(1);
        } [c.session(), a, b, d, e]),
        function!(C_DecryptFinal, decrypt_init, UNSUPPORTED, |c| { let (a, b) = c.buffer(1); } [c.session(), a, b]),
        function!(C_DeriveKey, none, CKR_OK, |c| {
            let point = CK_ECDH1_DERIVE_PARAMS {
                kdf: CKD_NULL,
                ulSharedDataLen: 0,
                pSharedData: ptr::null_mut(),
                ulPublicDataLen: 65,
                pPublicData: c.memory.copy(&GENERATOR),
            };
            let mut mechanism = plain(CKM_ECDH1_DERIVE);
            mechanism.pParameter = c.memory.copy(&[point]).cast();
            mechanism.ulParameterLen = size_of::<CK_ECDH1_DERIVE_PARAMS>() as CK_ULONG;
            let mechanism = c.given(mechanism);
            let (a, b) = c.input(&[bytes(CKA_LABEL, b"secret")]);
        } [c.session(), mechanism, c.ec(), a, b, c.out()]),
        function!(C_GenerateKeyPair, none, CKR_OK, |c| {
            let p256: &[u8] = b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
            let mechanism = c.given(plain(CKM_EC_KEY_PAIR_GEN));
            let (a, b) = c.input(&[bytes(CKA_EC_PARAMS, p256)]);
            let (d, e) = c.input(&[bytes(CKA_ID, b"1")]);
        } [c.session(), mechanism, a, b, d, e, c.out(), c.out()]),
    ]
}

fn unsupported() -> Vec<Function> {
    vec![
        function!(C_GetOperationState, none, UNSUPPORTED, |c| { let (a, b) = c.buffer(1); } [c.session(), a, b]),
        function!(C_SetOperationState, none, UNSUPPORTED, |c| { let (a, b) = c.input(b"state"); } [c.session(), a, b, 0, 0]),
        function!(C_DigestKey, none, UNSUPPORTED, |c| [c.session(), 1]),
        function!(C_SignRecoverInit, none, UNSUPPORTED, |c| [
            c.session(),
            c.optional(plain(CKM_RSA_PKCS)),
            1
        ]),
        function!(C_SignRecover, none, UNSUPPORTED, |c| {
            let (a, b) = c.input(b"data");
            let (d, e) = c.buffer(1);
        } [c.session(), a, b, d, e]),
        function!(C_VerifyRecoverInit, none, UNSUPPORTED, |c| [
            c.session(),
            c.optional(plain(CKM_RSA_PKCS)),
            1
        ]),
        function!(C_VerifyRecover, none, UNSUPPORTED, |c| {
            let (a, b) = c.input(b"data");
            let (d, e) = c.buffer(1);
        } [c.session(), a, b, d, e]),
        function!(C_DigestEncryptUpdate, none, UNSUPPORTED, |c| {
            let (a, b) = c.input(b"data");
            let (d, e) = c.buffer(1);
        } [c.session(), a, b, d, e]),
        function!(C_DecryptDigestUpdate, none, UNSUPPORTED, |c| {
            let (a, b) = c.input(b"data");
            let (d, e) = c.buffer(1);
        } [c.session(), a, b, d, e]),
        function!(C_SignEncryptUpdate, none, UNSUPPORTED, |c| {
            let (a, b) = c.input(b"data");
            let (d, e) = c.buffer(1);
        } [c.session(), a, b, d, e]),
        function!(C_DecryptVerifyUpdate, none, UNSUPPORTED, |c| {
            let (a, b) = c.input(b"data");
            let (d, e) = c.buffer(1);
        } [c.session(), a, b, d, e]),
        function!(C_GenerateKey, none, UNSUPPORTED, |c| {
            let mechanism = c.given(plain(CKM_AES_KEY_GEN));
            let (a, b) = c.input(&[bytes(CKA_LABEL, b"key")]);
        } [c.session(), mechanism, a, b, c.out()]),
        function!(C_WrapKey, none, UNSUPPORTED, |c| {
            let mechanism = c.given(plain(CKM_RSA_PKCS));
            let (a, b) = c.buffer(1);
        } [c.session(), mechanism, 1, 2, a, b]),
        function!(C_UnwrapKey, none, UNSUPPORTED, |c| {
            let mechanism = c.given(plain(CKM_RSA_PKCS));
            let (a, b) = c.input(b"wrapped");
            let (d, e) = c.input(&[bytes(CKA_LABEL, b"key")]);
        } [c.session(), mechanism, 1, a, b, d, e, c.out()]),
    ]
}

/// The functions for messages, which came with version 3.0.
fn messages() -> Vec<Function> {
    vec![
        function!(C_MessageEncryptInit, none, UNSUPPORTED, |c| [
            c.session(),
            c.optional(plain(CKM_AES_GCM)),
            1
        ]),
        function!(C_EncryptMessage, none, UNSUPPORTED, |c| {
            let (a, b) = c.input(b"parameter");
            let (d, e) = c.input(b"associated");
            let (f, g) = c.input(b"plain");
            let (h, i) = c.buffer(1);
        } [c.session(), a.cast(), b, d, e, f, g, h, i]),
        function!(C_EncryptMessageBegin, none, UNSUPPORTED, |c| {
            let (a, b) = c.input(b"parameter");
            let (d, e) = c.input(b"associated");
        } [c.session(), a.cast(), b, d, e]),
        function!(C_EncryptMessageNext, none, UNSUPPORTED, |c| {
            let (a, b) = c.input(b"parameter");
            let (d, e) = c.input(b"plain");
            let (f, g) = c.buffer(1);
        } [c.session(), a.cast(), b, d, e, f, g, 0]),
        function!(C_MessageEncryptFinal, none, UNSUPPORTED, |c| [c.session()]),
        function!(C_MessageDecryptInit, none, UNSUPPORTED, |c| [
            c.session(),
            c.optional(plain(CKM_AES_GCM)),
            1
        ]),
        function!(C_DecryptMessage, none, UNSUPPORTED, |c| {
            let (a, b) = c.input(b"parameter");
            let (d, e) = c.input(b"associated");
            let (f, g) = c.input(b"encrypted");
            let (h, i) = c.buffer(1);
        } [c.session(), a.cast(), b, d, e, f, g, h, i]),
        function!(C_DecryptMessageBegin, none, UNSUPPORTED, |c| {
            let (a, b) = c.input(b"parameter");
            let (d, e) = c.input(b"associated");
        } [c.session(), a.cast(), b, d, e]),
        function!(C_DecryptMessageNext, none, UNSUPPORTED, |c| {
            let (a, b) = c.input(b"parameter");
            let (d, e) = c.input(b"encrypted");
            let (f, g) = c.buffer(1);
        } [c.session(), a.cast(), b, d, e, f, g, 0]),
        function!(C_MessageDecryptFinal, none, UNSUPPORTED, |c| [c.session()]),
        function!(C_MessageSignInit, none, UNSUPPORTED, |c| [
            c.session(),
            c.optional(plain(CKM_ECDSA)),
            1
        ]),
        function!(C_SignMessage, none, UNSUPPORTED, |c| {
            let (a, b) = c.input(b"parameter");
            let (d, e) = c.input(b"data");
            let (f, g) = c.buffer(1);
        } [c.session(), a.cast(), b, d, e, f, g]),
        function!(C_SignMessageBegin, none, UNSUPPORTED, |c| { let (a, b) = c.input(b"parameter"); } [c.session(), a.cast(), b]),
        function!(C_SignMessageNext, none, UNSUPPORTED, |c| {
            let (a, b) = c.input(b"parameter");
            let (d, e) = c.input(b"data");
            let (f, g) = c.buffer(1);
        } [c.session(), a.cast(), b, d, e, f, g]),
        function!(C_MessageSignFinal, none, UNSUPPORTED, |c| [c.session()]),
        function!(C_MessageVerifyInit, none, UNSUPPORTED, |c| [
            c.session(),
            c.optional(plain(CKM_ECDSA)),
            1
        ]),
        function!(C_VerifyMessage, none, UNSUPPORTED, |c| {
            let (a, b) = c.input(b"parameter");
            let (d, e) = c.input(b"data");
            let (f, g) = c.input(b"signature");
        } [c.session(), a.cast(), b, d, e, f, g]),
        function!(C_VerifyMessageBegin, none, UNSUPPORTED, |c| { let (a, b) = c.input(b"parameter"); } [c.session(), a.cast(), b]),
        function!(C_VerifyMessageNext, none, UNSUPPORTED, |c| {
            let (a, b) = c.input(b"parameter");
            let (d, e) = c.input(b"data");
            let (f, g) = c.input(b"signature");
        } [c.session(), a.cast(), b, d, e, f, g]),
        function!(C_MessageVerifyFinal, none, UNSUPPORTED, |c| [c.session()]),
    ]
}
