//! RSA keys that encrypt and decrypt.

use std::ptr;

use cryptoki_sys::*;
use rand_core::OsRng;
use sha1::Sha1;
use sha2::Sha256;
use tpm_core::{KeyType, Usage};

use crate::{
    isolated::isolated,
    loaded::{Module, call, done},
    stage::{Stage, plain, with},
    world::{OPEN, World},
};

/// What a public key encrypts, its private half decrypts.
#[test]
fn a_public_rsa_key_encrypts() {
    isolated(
        || {
            let both = (KeyType::Rsa2048, Usage::SIGN_DECRYPT);
            World::new().token(OPEN, &[both, (KeyType::EccP256, Usage::SIGN_DECRYPT)])
        },
        || {
            let s = Stage::new(Module::load(), OPEN);
            let public = s.object(CKO_PUBLIC_KEY, "rsa2048");
            let mut oaep = CK_RSA_PKCS_OAEP_PARAMS {
                hashAlg: CKM_SHA256,
                mgf: CKG_MGF1_SHA1,
                source: CKZ_DATA_SPECIFIED,
                pSourceData: b"\xfflabel".as_ptr().cast_mut().cast(),
                ulSourceDataLen: 6,
            };
            for (mechanism, longest) in [
                (plain(CKM_RSA_PKCS), 245),
                (with(CKM_RSA_PKCS_OAEP, &mut oaep), 190),
            ] {
                let message = vec![5; longest];
                for message in [&message[..], b"", b"message"] {
                    let encrypted = encrypt(s, mechanism, public, message).unwrap();
                    assert_eq!(encrypted.len(), 256);
                    assert_eq!(decrypt(s, mechanism, &encrypted).unwrap(), message);
                }
                let longer = vec![5; longest + 1];
                let refused = encrypt(s, mechanism, public, &longer);
                assert_eq!(refused, Err(CKR_DATA_LEN_RANGE));
            }
            let init = |kind, key| {
                let mut mechanism = plain(kind);
                call!(s, C_EncryptInit(s.session, &raw mut mechanism, key))
            };
            let ec = s.object(CKO_PUBLIC_KEY, "ecdsa-p256");
            let private = s.object(CKO_PRIVATE_KEY, "rsa2048");
            assert_eq!(s.get(ec, CKA_ENCRYPT), Ok(vec![CK_FALSE]));
            assert_eq!(init(CKM_RSA_PKCS, ec), CKR_KEY_TYPE_INCONSISTENT);
            assert_eq!(init(CKM_RSA_PKCS, private), CKR_KEY_FUNCTION_NOT_PERMITTED);
            assert_eq!(init(CKM_ECDSA, public), CKR_MECHANISM_INVALID);
            assert_eq!(init(CKM_RSA_PKCS, 0), CKR_KEY_HANDLE_INVALID);
            oaep.source = 0;
            let mut unknown = with(CKM_RSA_PKCS_OAEP, &mut oaep);
            let refused = call!(s, C_EncryptInit(s.session, &raw mut unknown, public));
            assert_eq!(refused, CKR_MECHANISM_PARAM_INVALID, "a label from nowhere");

            // A length and a buffer that is too small leave it active, a part ends it.
            assert_eq!(init(CKM_RSA_PKCS, public), CKR_OK);
            assert_eq!(init(CKM_RSA_PKCS, public), CKR_OPERATION_ACTIVE);
            let (mut out, mut len, mut four) = ([0; 256], 0, [1; 4]);
            let data = four.as_mut_ptr();
            let null = ptr::null_mut();
            done!(s, C_Encrypt(s.session, data, 4, null, &raw mut len));
            assert_eq!(len, 256);
            len = 255;
            let place = out.as_mut_ptr();
            let returned = call!(s, C_Encrypt(s.session, data, 4, place, &raw mut len));
            assert_eq!((returned, len), (CKR_BUFFER_TOO_SMALL, 256));
            done!(s, C_Encrypt(s.session, data, 4, place, &raw mut len));
            let mut part = || call!(s, C_EncryptUpdate(s.session, data, 4, place, &raw mut len));
            assert_eq!(part(), CKR_OPERATION_NOT_INITIALIZED);
            assert_eq!(init(CKM_RSA_PKCS, public), CKR_OK);
            assert_eq!(part(), CKR_FUNCTION_NOT_SUPPORTED);
            assert_eq!(part(), CKR_OPERATION_NOT_INITIALIZED);
            assert_eq!(init(CKM_RSA_PKCS, public), CKR_OK);
            done!(s, C_SessionCancel(s.session, CKF_ENCRYPT));
            assert_eq!(part(), CKR_OPERATION_NOT_INITIALIZED);
        },
    );
}

fn encrypt(
    s: Stage,
    mut mechanism: CK_MECHANISM,
    key: CK_OBJECT_HANDLE,
    data: &[u8],
) -> Result<Vec<u8>, CK_RV> {
    done!(s, C_EncryptInit(s.session, &raw mut mechanism, key));
    let (mut out, mut len) = (vec![0; 256], 256);
    let (input, input_len) = (data.as_ptr().cast_mut(), data.len() as CK_ULONG);
    let place = out.as_mut_ptr();
    let returned = call!(
        s,
        C_Encrypt(s.session, input, input_len, place, &raw mut len)
    );
    out.truncate(len as usize);
    (returned == CKR_OK).then_some(out).ok_or(returned)
}

fn decrypt(s: Stage, mut mechanism: CK_MECHANISM, data: &[u8]) -> Result<Vec<u8>, CK_RV> {
    let key = s.object(CKO_PRIVATE_KEY, "rsa2048");
    done!(s, C_DecryptInit(s.session, &raw mut mechanism, key));
    let mut out = vec![0; 256];
    let mut len = 256;
    let input = data.as_ptr().cast_mut();
    let returned = call!(
        s,
        C_Decrypt(
            s.session,
            input,
            data.len() as CK_ULONG,
            out.as_mut_ptr(),
            &raw mut len
        )
    );
    out.truncate(len as usize);
    (returned == CKR_OK).then_some(out).ok_or(returned)
}

#[test]
fn an_rsa_key_decrypts_what_other_software_encrypts() {
    isolated(
        || {
            let both = (KeyType::Rsa2048, Usage::SIGN_DECRYPT);
            World::new().token(OPEN, &[both])
        },
        || {
            let s = Stage::new(Module::load(), OPEN);
            let public = s.object(CKO_PUBLIC_KEY, "rsa2048");
            let number = |kind| rsa::BigUint::from_bytes_be(&s.get(public, kind).unwrap());
            let public =
                rsa::RsaPublicKey::new(number(CKA_MODULUS), number(CKA_PUBLIC_EXPONENT)).unwrap();
            let oaep = |hash, mgf, label: &'static [u8]| CK_RSA_PKCS_OAEP_PARAMS {
                hashAlg: hash,
                mgf,
                source: CKZ_DATA_SPECIFIED,
                pSourceData: label.as_ptr().cast_mut().cast(),
                ulSourceDataLen: label.len() as CK_ULONG,
            };
            let encrypt = |padding| public.encrypt(&mut OsRng, padding, b"message").unwrap();
            for (padding, mut parameter) in [
                (
                    rsa::Oaep::new::<Sha1>(),
                    oaep(CKM_SHA_1, CKG_MGF1_SHA1, b""),
                ),
                (
                    rsa::Oaep::new::<Sha256>(),
                    oaep(CKM_SHA256, CKG_MGF1_SHA256, b""),
                ),
                // As Java does it, and with a label.
                (
                    rsa::Oaep::new_with_mgf_hash::<Sha256, Sha1>(),
                    oaep(CKM_SHA256, CKG_MGF1_SHA1, b""),
                ),
                (
                    rsa::Oaep::new_with_label::<Sha256, _>("label"),
                    oaep(CKM_SHA256, CKG_MGF1_SHA256, b"label"),
                ),
            ] {
                let mechanism = with(CKM_RSA_PKCS_OAEP, &mut parameter);
                let encrypted = encrypt(padding);
                assert_eq!(decrypt(s, mechanism, &encrypted).unwrap(), b"message");
                let mut other = oaep(CKM_SHA256, CKG_MGF1_SHA256, b"other");
                let mechanism = with(CKM_RSA_PKCS_OAEP, &mut other);
                let refused = decrypt(s, mechanism, &encrypted);
                assert_eq!(refused, Err(CKR_ENCRYPTED_DATA_INVALID));
            }
            let encrypted = public
                .encrypt(&mut OsRng, rsa::Pkcs1v15Encrypt, b"message")
                .unwrap();
            assert_eq!(
                decrypt(s, plain(CKM_RSA_PKCS), &encrypted).unwrap(),
                b"message"
            );
        },
    );
}
