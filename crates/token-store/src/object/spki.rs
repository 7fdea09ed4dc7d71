//! SubjectPublicKeyInfo, the form of public keys in X.509 and PKCS#11.

use spki::{
    AlgorithmIdentifierRef, ObjectIdentifier, SubjectPublicKeyInfoRef,
    der::{
        Decode, Encode,
        asn1::{AnyRef, BitStringRef, UintRef},
    },
};
use tpm_core::{Curve, PublicKey};

use crate::{Error, Result};

/// rsaEncryption and id-ecPublicKey.
///
/// # Source
///
/// RFC 3279, section 2.3.1; RFC 5480, section 2.1.
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");

/// The object identifier of a curve.
///
/// # Source
///
/// RFC 5480, section 2.1.1.1.
const fn curve_oid(curve: Curve) -> ObjectIdentifier {
    match curve {
        Curve::P256 => ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7"),
        Curve::P384 => ObjectIdentifier::new_unwrap("1.3.132.0.34"),
        Curve::P521 => ObjectIdentifier::new_unwrap("1.3.132.0.35"),
    }
}

/// The SubjectPublicKeyInfo of `key`, DER.
pub(crate) fn encode(key: &PublicKey) -> Vec<u8> {
    let bits = subject_public_key(key);
    let encoded = match key {
        PublicKey::Rsa { .. } => info(RSA, AnyRef::NULL, &bits),
        PublicKey::Ecc { curve, .. } => info(EC, AnyRef::from(&curve_oid(*curve)), &bits),
    };
    encoded.expect(SHORT)
}

/// The subjectPublicKey in it: the RSAPublicKey, DER, or the uncompressed point.
///
/// # Source
///
/// RFC 3279, section 2.3.1; RFC 5480, section 2.2.
pub(crate) fn subject_public_key(key: &PublicKey) -> Vec<u8> {
    match key {
        PublicKey::Rsa { n, e } => rsa_public_key(n, *e).expect(SHORT),
        PublicKey::Ecc { x, y, .. } => [&[4], &x[..], y].concat(),
    }
}

/// Why keys can be encoded.
const SHORT: &str = "DER takes 256 MiB, and a TPM's key has some hundred bytes";

fn rsa_public_key(n: &[u8], e: u32) -> spki::der::Result<Vec<u8>> {
    let e = e.to_be_bytes();
    pkcs1::RsaPublicKey {
        modulus: UintRef::new(n)?,
        public_exponent: UintRef::new(&e)?,
    }
    .to_der()
}

fn info(oid: ObjectIdentifier, parameters: AnyRef<'_>, key: &[u8]) -> spki::der::Result<Vec<u8>> {
    SubjectPublicKeyInfoRef {
        algorithm: AlgorithmIdentifierRef {
            oid,
            parameters: Some(parameters),
        },
        subject_public_key: BitStringRef::from_bytes(key)?,
    }
    .to_der()
}

/// The key in a SubjectPublicKeyInfo. Only the exact output of [`encode`] is accepted.
pub(crate) fn decode(der: &[u8]) -> Result<PublicKey> {
    read(der)
        .filter(|key| encode(key) == der)
        .ok_or_else(|| Error::corrupt("a public key cannot be read"))
}

fn read(der: &[u8]) -> Option<PublicKey> {
    let info = SubjectPublicKeyInfoRef::from_der(der).ok()?;
    let bytes = info.subject_public_key.as_bytes()?;
    if info.algorithm.oid == RSA {
        let key = pkcs1::RsaPublicKey::from_der(bytes).ok()?;
        let e = key.public_exponent.as_bytes();
        let e = e.iter().try_fold(0_u32, |sum, &byte| {
            sum.checked_mul(256).map(|sum| sum + u32::from(byte))
        })?;
        return Some(PublicKey::Rsa {
            n: key.modulus.as_bytes().to_vec(),
            e,
        });
    }
    let oid = info.algorithm.parameters_oid().ok()?;
    let curve = [Curve::P256, Curve::P384, Curve::P521]
        .into_iter()
        .find(|&curve| info.algorithm.oid == EC && oid == curve_oid(curve))?;
    let point = bytes
        .strip_prefix(&[4])
        .filter(|xy| xy.len() == 2 * curve.field_size())?;
    let (x, y) = point.split_at(curve.field_size());
    Some(PublicKey::Ecc {
        curve,
        x: x.to_vec(),
        y: y.to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        base16ct::lower::decode_vec(text).unwrap()
    }

    /// Made with `openssl ecparam -name prime256v1 -genkey | openssl ec -pubout -outform DER`.
    #[test]
    fn a_p256_key_is_written_as_openssl_does() {
        let der = hex(concat!(
            "3059301306072a8648ce3d020106082a8648ce3d03010703420004b3942648794b8c6d2390d505c5891e7fe4",
            "25ee727d3460be51b3c11b084746deba8dc8d59e8a0d08968a8305559155d0f580741da390269ac77c32c19b",
            "416f8f"
        ));
        let key = decode(&der).unwrap();
        assert!(key.check().is_ok());
        let PublicKey::Ecc {
            curve: Curve::P256,
            x,
            y,
        } = &key
        else {
            panic!("it is a P-256 key");
        };
        assert_eq!([&x[..], y].concat(), der[27..]);
        assert_eq!(encode(&key), der);
        // As `openssl req -x509 -addext subjectKeyIdentifier=hash` writes for it.
        let id = hex("0625b2b60cd18f0415d5d9f7bdcfab71c95ca6ad");
        assert_eq!(crate::object::default_id(&key), id);
    }

    #[test]
    fn an_rsa_modulus_with_its_top_bit_set_gets_a_zero_in_front() {
        let key = PublicKey::Rsa {
            n: vec![0xc1; 256],
            e: 65_537,
        };
        let der = encode(&key);
        assert_eq!(der.len(), 294);
        assert_eq!(
            der[..33],
            hex("30820122300d06092a864886f70d01010105000382010f003082010a0282010100")
        );
        assert_eq!(der[289..], [0x02, 0x03, 0x01, 0x00, 0x01]);
        assert_eq!(decode(&der).unwrap(), key);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(der: Vec<u8>) {
            let _ = decode(&der);
        }

        #[test]
        fn a_changed_byte_never_gives_the_same_key(at in 0..91_usize, bit in 0..8_u32) {
            let key = PublicKey::Ecc { curve: Curve::P256, x: vec![1; 32], y: vec![2; 32] };
            let mut der = encode(&key);
            der[at] ^= 1 << bit;
            prop_assert_ne!(decode(&der).ok(), Some(key));
        }

        #[test]
        fn what_is_written_is_read(n in proptest::collection::vec(any::<u8>(), 255), e in 3_u32.., p521: [u8; 32]) {
            let rsa = PublicKey::Rsa { n: [&[0x80], &n[..]].concat(), e };
            prop_assert_eq!(decode(&encode(&rsa)).unwrap(), rsa);
            let mut x = vec![0; 66];
            x[34..].copy_from_slice(&p521);
            let ecc = PublicKey::Ecc { curve: Curve::P521, y: x.clone(), x };
            prop_assert_eq!(decode(&encode(&ecc)).unwrap(), ecc);
        }
    }
}
