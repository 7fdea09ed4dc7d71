//! Signatures: with every padding, over what others have padded, and of a digest in parts.

use cryptoki_sys::*;
use sha2::{Digest, Sha256};
use tpm_core::{KeyType, Usage};

use crate::{
    isolated::isolated,
    keys::sign,
    loaded::{Module, call, done},
    stage::{Stage, plain, with},
    world::{OPEN, World},
};

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
