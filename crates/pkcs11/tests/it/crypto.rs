//! What keys do: agree on secrets, sign what others have padded, decrypt.

use std::ptr;

use cryptoki_sys::*;
use p256::elliptic_curve::sec1::ToEncodedPoint;
use rand_core::OsRng;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use tpm_core::{KeyType, Usage};

use crate::{
    isolated::isolated,
    keys::{P256, P384, P521, sign},
    loaded::{Module, call, done},
    stage::{RW, Stage, bytes, constant, flag, plain},
    world::{OPEN, World},
};

/// A mechanism with its parameter.
pub(crate) fn with<T>(kind: CK_MECHANISM_TYPE, parameter: &mut T) -> CK_MECHANISM {
    CK_MECHANISM {
        mechanism: kind,
        pParameter: (&raw mut *parameter).cast(),
        ulParameterLen: size_of::<T>() as CK_ULONG,
    }
}

/// Derives a secret that can be read.
fn derive(s: Stage, key: CK_OBJECT_HANDLE, point: &[u8], more: &[CK_ATTRIBUTE]) -> Vec<u8> {
    let mut parameter = CK_ECDH1_DERIVE_PARAMS {
        kdf: CKD_NULL,
        ulSharedDataLen: 0,
        pSharedData: ptr::null_mut(),
        ulPublicDataLen: point.len() as CK_ULONG,
        pPublicData: point.as_ptr().cast_mut(),
    };
    let mut mechanism = with(CKM_ECDH1_DERIVE, &mut parameter);
    let mut template = vec![
        constant(CKA_CLASS, CKO_SECRET_KEY),
        constant(CKA_KEY_TYPE, CKK_GENERIC_SECRET),
        flag(CKA_SENSITIVE, false),
        flag(CKA_EXTRACTABLE, true),
    ];
    template.extend(more);
    let len = template.len() as CK_ULONG;
    let mut secret = 0;
    let place = &raw mut secret;
    done!(
        s,
        C_DeriveKey(
            s.session,
            &raw mut mechanism,
            key,
            template.as_mut_ptr(),
            len,
            place
        )
    );
    s.get(secret, CKA_VALUE).unwrap()
}

#[test]
fn two_keys_agree_on_a_secret_and_so_do_software_and_a_key() {
    isolated(
        || World::new().token(OPEN, &[]),
        || {
            let s = Stage::new(Module::load(), OPEN);
            for (params, size) in [(P256, 32), (P384, 48), (P521, 66)] {
                let pair = || {
                    let public = [bytes(CKA_EC_PARAMS, params)];
                    let made = s.key_pair(CKM_EC_KEY_PAIR_GEN, &public, &[flag(CKA_DERIVE, true)]);
                    assert_eq!(made.0, CKR_OK);
                    (s.get(made.1, CKA_EC_POINT).unwrap(), made.2)
                };
                let ((point_a, a), (point_b, b)) = (pair(), pair());
                let secret = derive(s, a, &point_b, &[]);
                assert_eq!(secret.len(), size);
                assert_eq!(derive(s, b, &point_a, &[]), secret);
                // The point without its OCTET STRING, and the end of the secret alone.
                let raw = &point_b[point_b.len() - 1 - 2 * size..];
                let short = derive(s, a, raw, &[constant(CKA_VALUE_LEN, 16)]);
                assert_eq!(short, secret[size - 16..]);
                if params == P256 {
                    let other = p256::ecdh::EphemeralSecret::random(&mut OsRng);
                    let point = other.public_key().to_encoded_point(false);
                    let key = p256::PublicKey::from_sec1_bytes(&point_a[2..]).unwrap();
                    let agreed = other.diffie_hellman(&key);
                    let secret = derive(s, a, point.as_bytes(), &[]);
                    assert_eq!(&secret, &agreed.raw_secret_bytes()[..]);
                }
            }
        },
    );
}

#[test]
fn a_derived_secret_is_read_by_those_alone_who_asked_for_that() {
    isolated(
        || World::new().token(OPEN, &[(KeyType::EccP256, Usage::SIGN_DECRYPT)]),
        || {
            let s = Stage::new(Module::load(), OPEN);
            let key = s.object(CKO_PRIVATE_KEY, "ecdsa-p256");
            let point = s.get(key, CKA_EC_POINT).unwrap();
            derive(s, key, &point, &[bytes(CKA_LABEL, b"open")]);
            let other = s.another(RW);
            let open = other.object(CKO_SECRET_KEY, "open");
            let value = |kind| other.get(open, kind);
            assert_eq!(value(CKA_TOKEN), Ok(vec![CK_FALSE]));
            assert_eq!(value(CKA_LOCAL), Ok(vec![CK_FALSE]));
            assert_eq!(value(CKA_NEVER_EXTRACTABLE), Ok(vec![CK_FALSE]));
            assert_eq!(value(CKA_VALUE_LEN), Ok(32_u64.to_ne_bytes().to_vec()));
            let mut parameter = CK_ECDH1_DERIVE_PARAMS {
                kdf: CKD_NULL,
                ulSharedDataLen: 0,
                pSharedData: ptr::null_mut(),
                ulPublicDataLen: point.len() as CK_ULONG,
                pPublicData: point.as_ptr().cast_mut(),
            };
            let mut mechanism = with(CKM_ECDH1_DERIVE, &mut parameter);
            let mut closed = 0;
            let place = &raw mut closed;
            done!(
                s,
                C_DeriveKey(
                    s.session,
                    &raw mut mechanism,
                    key,
                    ptr::null_mut(),
                    0,
                    place
                )
            );
            assert_eq!(s.get(closed, CKA_VALUE), Err(CKR_ATTRIBUTE_SENSITIVE));
            assert_eq!(s.get(closed, CKA_ALWAYS_SENSITIVE), Ok(vec![CK_TRUE]));
            done!(s, C_CloseSession(s.session));
            assert_eq!(
                other.find(&mut [constant(CKA_CLASS, CKO_SECRET_KEY)]),
                [0; 0]
            );
        },
    );
}

#[test]
fn an_rsa_key_signs_whatever_its_callers_pad() {
    isolated(
        || {
            let both = (KeyType::Rsa2048, Usage::SIGN_DECRYPT);
            World::new().token(OPEN, &[both])
        },
        || {
            let s = Stage::new(Module::load(), OPEN);
            let key = s.object(CKO_PRIVATE_KEY, "rsa2048");
            let public = s.object(CKO_PUBLIC_KEY, "rsa2048");
            let sha256 = |data: &[u8]| {
                let info =
                    b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20";
                [&info[..], &Sha256::digest(data)].concat()
            };
            // MD5 and SHA-1 of TLS 1.1, a DigestInfo of a hash that no chip has, and of one
            // that all have.
            for data in [vec![3; 36], vec![0x30; 83], sha256(b"data"), vec![]] {
                let signature = sign(s, plain(CKM_RSA_PKCS), key, &data);
                let verified = s.verify(plain(CKM_RSA_PKCS), public, &data, &signature);
                assert_eq!(verified, CKR_OK);
                let mut block = vec![0xff; 256];
                block[..2].copy_from_slice(&[0, 1]);
                block[255 - data.len()] = 0;
                block[256 - data.len()..].copy_from_slice(&data);
                let padded = sign(s, plain(CKM_RSA_X_509), key, &block);
                assert_eq!(padded, signature, "the same comes out of the same block");
                let verified = s.verify(plain(CKM_RSA_X_509), public, &block, &signature);
                assert_eq!(verified, CKR_OK);
            }
            let signature = sign(s, plain(CKM_SHA256_RSA_PKCS), key, b"data");
            let verified = s.verify(plain(CKM_RSA_PKCS), public, &sha256(b"data"), &signature);
            assert_eq!(verified, CKR_OK);
            // Nothing but padded data: a key that signs anything signs away its meaning.
            for (block, refused) in [
                (vec![0; 256], CKR_DATA_INVALID),
                (vec![7; 256], CKR_DATA_INVALID),
                (vec![7; 255], CKR_DATA_LEN_RANGE),
            ] {
                assert_eq!(s.sign_init(CKM_RSA_X_509, key), CKR_OK);
                assert_eq!(s.sign(&block), Err(refused));
            }
            // With a digest, or with data that the module hashes.
            for (hash, mgf, kind, salt, len) in [
                (CKM_SHA_1, CKG_MGF1_SHA1, CKM_RSA_PKCS_PSS, 20, 20),
                (CKM_SHA256, CKG_MGF1_SHA256, CKM_RSA_PKCS_PSS, 32, 32),
                (CKM_SHA384, CKG_MGF1_SHA384, CKM_SHA384_RSA_PKCS_PSS, 48, 9),
                (CKM_SHA512, CKG_MGF1_SHA512, CKM_SHA512_RSA_PKCS_PSS, 64, 9),
            ] {
                let mut parameter = CK_RSA_PKCS_PSS_PARAMS {
                    hashAlg: hash,
                    mgf,
                    sLen: salt,
                };
                let mechanism = with(kind, &mut parameter);
                let data = vec![1; len];
                let signature = sign(s, mechanism, key, &data);
                assert_eq!(s.verify(mechanism, public, &data, &signature), CKR_OK);
            }
        },
    );
}

/// Signatures of OpenSSL's `rsa_pss_saltlen:max`, of Java with MGF1 of SHA-1, and whatever else the
/// standard lets a caller ask for: another implementation verifies each, and so does the module.
#[test]
fn an_rsa_key_signs_with_every_salt_and_mask() {
    isolated(
        || World::new().token(OPEN, &[(KeyType::Rsa2048, Usage::SIGN)]),
        || {
            let s = Stage::new(Module::load(), OPEN);
            let key = s.object(CKO_PRIVATE_KEY, "rsa2048");
            let public = s.object(CKO_PUBLIC_KEY, "rsa2048");
            let number = |kind| rsa::BigUint::from_bytes_be(&s.get(public, kind).unwrap());
            let other =
                rsa::RsaPublicKey::new(number(CKA_MODULUS), number(CKA_PUBLIC_EXPONENT)).unwrap();
            let digest = Sha256::digest(b"data");
            for (mgf, salt) in [
                (CKG_MGF1_SHA256, 0),
                (CKG_MGF1_SHA256, 20),
                (CKG_MGF1_SHA256, 32),
                (CKG_MGF1_SHA256, 222),
                (CKG_MGF1_SHA1, 32),
                (CKG_MGF1_SHA512, 64),
            ] {
                let mut parameter = CK_RSA_PKCS_PSS_PARAMS {
                    hashAlg: CKM_SHA256,
                    mgf,
                    sLen: salt,
                };
                let hashing = with(CKM_SHA256_RSA_PKCS_PSS, &mut parameter);
                let hashed = with(CKM_RSA_PKCS_PSS, &mut parameter);
                let signature = sign(s, hashing, key, b"data");
                assert_eq!(s.verify(hashed, public, &digest, &signature), CKR_OK);
                if mgf == CKG_MGF1_SHA256 {
                    let pss = rsa::Pss::new_with_salt::<Sha256>(salt as usize);
                    other.verify(pss, &digest, &signature).unwrap();
                }
                let mut longer = CK_RSA_PKCS_PSS_PARAMS {
                    sLen: salt + 1,
                    ..parameter
                };
                if salt < 222 {
                    let longer = with(CKM_RSA_PKCS_PSS, &mut longer);
                    let verified = s.verify(longer, public, &digest, &signature);
                    assert_eq!(verified, CKR_SIGNATURE_INVALID, "another salt");
                }
            }
            // What no signature of this key can be, and what the standard gives no meaning to.
            for (hash, mgf, salt) in [
                (CKM_SHA256, CKG_MGF1_SHA256, 223),
                (CKM_SHA256, CKG_MGF1_SHA256, CK_ULONG::MAX),
                (CKM_SHA256, 0, 32),
                (0, CKG_MGF1_SHA256, 32),
                (CKM_SHA384, CKG_MGF1_SHA256, 32),
            ] {
                let mut parameter = CK_RSA_PKCS_PSS_PARAMS {
                    hashAlg: hash,
                    mgf,
                    sLen: salt,
                };
                let mut mechanism = with(CKM_SHA256_RSA_PKCS_PSS, &mut parameter);
                let refused = call!(s, C_SignInit(s.session, &raw mut mechanism, key));
                assert_eq!(refused, CKR_MECHANISM_PARAM_INVALID);
                let refused = call!(s, C_VerifyInit(s.session, &raw mut mechanism, public));
                assert_eq!(refused, CKR_MECHANISM_PARAM_INVALID);
            }
        },
    );
}

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

/// pkcs11-tool sends input that is longer than its buffer in parts, by any mechanism.
#[test]
fn a_digest_in_parts_is_signed_as_a_whole() {
    isolated(World::with_key, || {
        let s = Stage::new(Module::load(), OPEN);
        let key = s.object(CKO_PRIVATE_KEY, "ecdsa-p256");
        let public = s.object(CKO_PUBLIC_KEY, "ecdsa-p256");
        let mut digest: Vec<u8> = (0..32).collect();
        assert_eq!(s.sign_init(CKM_ECDSA, key), CKR_OK);
        for part in digest.chunks_mut(10) {
            let len = part.len() as CK_ULONG;
            done!(s, C_SignUpdate(s.session, part.as_mut_ptr(), len));
        }
        let (mut signature, mut len) = ([0; 64], 64);
        let place = signature.as_mut_ptr();
        done!(s, C_SignFinal(s.session, place, &raw mut len));
        let verified = |digest: &[u8]| s.verify(plain(CKM_ECDSA), public, digest, &signature);
        assert_eq!(verified(&digest), CKR_OK);
        assert_eq!(verified(&digest[..10]), CKR_SIGNATURE_INVALID);
        assert_eq!(verified(&digest[30..]), CKR_SIGNATURE_INVALID);
    });
}
