//! Keys: how they are made, what they are, and what they do.

use std::ptr;

use cryptoki_sys::*;
use p256::elliptic_curve::sec1::ToEncodedPoint;
use rand_core::OsRng;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use tpm_core::{KeyType, Usage};

use crate::{
    isolated::isolated,
    loaded::{Module, call, done},
    stage::{RW, Stage, bytes, constant, flag, number, plain},
    world::{LOCKED, OPEN, PIN, World},
};

const P256: &[u8] = b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
const P384: &[u8] = b"\x06\x05\x2b\x81\x04\x00\x22";
const P521: &[u8] = b"\x06\x05\x2b\x81\x04\x00\x23";

/// A mechanism with its parameter.
fn with<T>(kind: CK_MECHANISM_TYPE, parameter: &mut T) -> CK_MECHANISM {
    CK_MECHANISM {
        mechanism: kind,
        pParameter: (&raw mut *parameter).cast(),
        ulParameterLen: size_of::<T>() as CK_ULONG,
    }
}

fn sign(s: Stage, mut mechanism: CK_MECHANISM, key: CK_OBJECT_HANDLE, data: &[u8]) -> Vec<u8> {
    done!(s, C_SignInit(s.session, &raw mut mechanism, key));
    s.sign(data).unwrap()
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
            assert_eq!(other.find(&mut [constant(CKA_CLASS, CKO_SECRET_KEY)]), []);
        },
    );
}

#[test]
fn a_key_that_asks_each_time_signs_once_for_each_pin() {
    isolated(
        || World::new().token(LOCKED, &[]),
        || {
            let s = Stage::new(Module::load(), LOCKED);
            assert_eq!(s.login(CKU_USER, PIN), CKR_OK);
            for on_token in [true, false] {
                let (made, public, key) = s.key_pair(
                    CKM_EC_KEY_PAIR_GEN,
                    &[bytes(CKA_EC_PARAMS, P256)],
                    &[
                        flag(CKA_TOKEN, on_token),
                        flag(CKA_ALWAYS_AUTHENTICATE, true),
                    ],
                );
                assert_eq!(made, CKR_OK);
                assert_eq!(s.get(key, CKA_ALWAYS_AUTHENTICATE), Ok(vec![CK_TRUE]));
                let digest = [5; 32];
                let begin = || assert_eq!(s.sign_init(CKM_ECDSA, key), CKR_OK);
                let login = |pin| s.login(CKU_CONTEXT_SPECIFIC, pin);
                begin();
                assert_eq!(s.sign(&digest), Err(CKR_USER_NOT_LOGGED_IN));
                assert_eq!(login(PIN), CKR_OPERATION_NOT_INITIALIZED);
                for _ in 0..2 {
                    begin();
                    assert_eq!(login("incorrect horse"), CKR_PIN_INCORRECT);
                    assert_eq!(login(PIN), CKR_OK);
                    let signature = s.sign(&digest).unwrap();
                    let verified = s.verify(plain(CKM_ECDSA), public, &digest, &signature);
                    assert_eq!(verified, CKR_OK);
                }
                begin();
                assert_eq!(s.sign(&digest), Err(CKR_USER_NOT_LOGGED_IN));
            }
        },
    );
}

/// Where nobody has to log in, nobody has to each time.
#[test]
fn a_key_that_asks_each_time_signs_on_a_token_without_a_pin() {
    isolated(
        || World::new().token(OPEN, &[]),
        || {
            let s = Stage::new(Module::load(), OPEN);
            let private = [flag(CKA_ALWAYS_AUTHENTICATE, true)];
            let public = [bytes(CKA_EC_PARAMS, P256)];
            let (made, _, key) = s.key_pair(CKM_EC_KEY_PAIR_GEN, &public, &private);
            assert_eq!(made, CKR_OK);
            assert_eq!(s.sign_init(CKM_ECDSA, key), CKR_OK);
            assert_eq!(s.login(CKU_CONTEXT_SPECIFIC, ""), CKR_OK);
            assert!(s.sign(&[5; 32]).is_ok());
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

/// NSS sends neither class nor label nor id, and hints that mean nothing here; it names both
/// halves afterwards.
#[test]
fn a_key_is_made_from_the_templates_of_nss() {
    isolated(
        || World::new().token(LOCKED, &[]),
        || {
            let s = Stage::new(Module::load(), LOCKED);
            assert_eq!(s.login(CKU_USER, PIN), CKR_OK);
            let public = [
                bytes(CKA_EC_PARAMS, P256),
                flag(CKA_TOKEN, true),
                flag(CKA_DERIVE, true),
                flag(CKA_WRAP, true),
                flag(CKA_VERIFY, true),
                flag(CKA_VERIFY_RECOVER, false),
                flag(CKA_ENCRYPT, true),
                flag(CKA_MODIFIABLE, true),
            ];
            let private = [
                flag(CKA_SENSITIVE, true),
                flag(CKA_EXTRACTABLE, false),
                flag(CKA_TOKEN, true),
                flag(CKA_PRIVATE, true),
                flag(CKA_DERIVE, true),
                flag(CKA_UNWRAP, true),
                flag(CKA_SIGN, true),
                flag(CKA_SIGN_RECOVER, false),
                flag(CKA_DECRYPT, true),
            ];
            let (made, a, b) = s.key_pair(CKM_EC_KEY_PAIR_GEN, &public, &private);
            assert_eq!(made, CKR_OK);
            let id = Sha1::digest(s.get(a, CKA_EC_POINT).unwrap());
            for half in [a, b] {
                let mut id = [bytes(CKA_ID, &id)];
                done!(s, C_SetAttributeValue(s.session, half, id.as_mut_ptr(), 1));
                assert_eq!(s.find(&mut [bytes(CKA_ID, &[]), id[0]]).len(), 0);
            }
            let mut both = s.find(&mut [bytes(CKA_ID, &id)]);
            both.sort_unstable();
            let mut expected = [a, b];
            expected.sort_unstable();
            assert_eq!(both, expected);
            // What the key can do is granted, what it cannot is not.
            for (kind, expected) in [
                (CKA_SIGN, CK_TRUE),
                (CKA_DERIVE, CK_TRUE),
                (CKA_DECRYPT, CK_FALSE),
                (CKA_UNWRAP, CK_FALSE),
            ] {
                assert_eq!(s.get(b, kind), Ok(vec![expected]), "{kind:#x}");
            }
            sign(s, plain(CKM_ECDSA), b, &[1; 32]);
        },
    );
}

#[test]
fn session_keys_sign_and_are_gone_with_their_session() {
    isolated(
        || World::new().token(LOCKED, &[]),
        || {
            let s = Stage::new(Module::load(), LOCKED);
            let public = |params| [bytes(CKA_EC_PARAMS, params)];
            assert_eq!(
                s.generate(CKM_EC_KEY_PAIR_GEN, &public(P256), &[]),
                CKR_USER_NOT_LOGGED_IN
            );
            assert_eq!(s.login(CKU_USER, PIN), CKR_OK);
            let other = s.another(RW);
            for params in [P256, P384, P521] {
                let private = [bytes(CKA_LABEL, b"mine"), flag(CKA_TOKEN, false)];
                let (made, a, b) = s.key_pair(CKM_EC_KEY_PAIR_GEN, &public(params), &private);
                assert_eq!(made, CKR_OK);
                assert_eq!(other.get(b, CKA_TOKEN), Ok(vec![CK_FALSE]));
                assert_eq!(other.get(b, CKA_EXTRACTABLE), Ok(vec![CK_FALSE]));
                assert_eq!(other.get(b, CKA_LOCAL), Ok(vec![CK_TRUE]));
                // Session objects are seen by all sessions of the token.
                let signature = sign(other, plain(CKM_ECDSA), b, &[1; 32]);
                let verified = other.verify(plain(CKM_ECDSA), a, &[1; 32], &signature);
                assert_eq!(verified, CKR_OK);
            }
            assert_eq!(other.find(&mut [bytes(CKA_LABEL, b"mine")]).len(), 6);
            done!(s, C_CloseSession(s.session));
            assert_eq!(other.find(&mut [bytes(CKA_LABEL, b"mine")]), []);
        },
    );
}

/// What callers read of a private key, and what it has to be.
#[test]
fn a_private_key_says_what_it_is() {
    isolated(
        || World::new().token(LOCKED, &[(KeyType::EccP256, Usage::SIGN)]),
        || {
            let s = Stage::new(Module::load(), LOCKED);
            assert_eq!(s.login(CKU_USER, PIN), CKR_OK);
            let key = s.object(CKO_PRIVATE_KEY, "ecdsa-p256");
            let public = s.object(CKO_PUBLIC_KEY, "ecdsa-p256");
            let is = |kind, expected: &[u8]| {
                assert_eq!(s.get(key, kind).as_deref(), Ok(expected), "{kind:#x}");
            };
            for kind in [
                CKA_TOKEN,
                CKA_PRIVATE,
                CKA_SIGN,
                CKA_SENSITIVE,
                CKA_ALWAYS_SENSITIVE,
                CKA_NEVER_EXTRACTABLE,
                CKA_LOCAL,
                CKA_MODIFIABLE,
                CKA_DESTROYABLE,
            ] {
                is(kind, &[CK_TRUE]);
            }
            for kind in [
                CKA_EXTRACTABLE,
                CKA_DECRYPT,
                CKA_UNWRAP,
                CKA_DERIVE,
                CKA_SIGN_RECOVER,
                CKA_WRAP_WITH_TRUSTED,
                CKA_ALWAYS_AUTHENTICATE,
                CKA_COPYABLE,
            ] {
                is(kind, &[CK_FALSE]);
            }
            is(CKA_ID, &256_u16.to_be_bytes());
            is(CKA_LABEL, b"ecdsa-p256");
            is(CKA_SUBJECT, b"");
            is(CKA_EC_PARAMS, P256);
            is(CKA_KEY_TYPE, &CKK_EC.to_ne_bytes());
            is(CKA_KEY_GEN_MECHANISM, &CKM_EC_KEY_PAIR_GEN.to_ne_bytes());
            for kind in [CKA_EC_POINT, CKA_PUBLIC_KEY_INFO] {
                let value = s.get(public, kind).unwrap();
                is(kind, &value);
            }
            assert_ne!(s.get(key, CKA_UNIQUE_ID), s.get(public, CKA_UNIQUE_ID));
            let allowed = s.get(key, CKA_ALLOWED_MECHANISMS).unwrap();
            assert_eq!(allowed[..8], CKM_ECDSA.to_ne_bytes());
            for kind in [CKA_MODULUS, CKA_WRAP, CKA_TRUSTED, CKA_CERTIFICATE_CATEGORY] {
                assert_eq!(s.get(key, kind), Err(CKR_ATTRIBUTE_TYPE_INVALID));
            }
            // A search by every attribute at once, as a careful caller makes it.
            let mut class = CKO_PRIVATE_KEY;
            let found = s.find(&mut [
                number(CKA_CLASS, &mut class),
                bytes(CKA_ID, &256_u16.to_be_bytes()),
                flag(CKA_SIGN, true),
                flag(CKA_TOKEN, true),
            ]);
            assert_eq!(found, [key]);
        },
    );
}
