//! Public keys: from a device's numbers to OpenSSH's formats.

use ssh_key::Mpint;
use ssh_key::public::{EcdsaPublicKey, KeyData, RsaPublicKey};

use crate::key_line::line_of_blob;
use crate::{Curve, Error, Fingerprint, Result};

/// The sizes of an RSA modulus that OpenSSH accepts, in bits: `SSH_RSA_MINIMUM_MODULUS_SIZE` and
/// `OPENSSL_RSA_MAX_MODULUS_BITS`.
pub(crate) const MODULUS_BITS: std::ops::RangeInclusive<usize> = 1024..=16384;

/// A public key, encoded for SSH.
///
/// Only lengths are checked here. Whether a point is on its curve is checked by the programs that
/// use the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    algorithm: &'static str,
    bits: usize,
    blob: Vec<u8>,
    fingerprint: Fingerprint,
}

impl PublicKey {
    /// An RSA key from its modulus and exponent.
    ///
    /// `modulus` is unsigned, most significant byte first; leading zero bytes
    /// are allowed. A TPM that returns exponent 0 means 65537: pass that.
    ///
    /// # Errors
    ///
    /// [`Error::ModulusSize`] outside 1024 to 16384 bits, which is what OpenSSH
    /// accepts; [`Error::Exponent`] if it is even or 1.
    ///
    /// # Source
    ///
    /// RFC 4253 section 6.6, `ssh-rsa`.
    pub fn rsa(modulus: &[u8], exponent: u32) -> Result<Self> {
        let bits = bit_length(modulus);
        if !MODULUS_BITS.contains(&bits) {
            return Err(Error::ModulusSize { bits });
        }
        if exponent.is_multiple_of(2) || exponent == 1 {
            return Err(Error::Exponent(exponent));
        }
        let key = RsaPublicKey {
            e: Mpint::from_positive_bytes(&exponent.to_be_bytes())?,
            n: Mpint::from_positive_bytes(modulus)?,
        };
        Self::encode("ssh-rsa", bits, key.into())
    }

    /// An ECDSA key from the coordinates of its point.
    ///
    /// `x` and `y` are unsigned, most significant byte first, with or without
    /// leading zero bytes: they are padded to the field of the curve.
    ///
    /// # Errors
    ///
    /// [`Error::CoordinateSize`] if one does not fit the field.
    ///
    /// # Source
    ///
    /// RFC 5656 section 3.1; the point is uncompressed (SEC 1 section 2.3.3).
    pub fn ecdsa(curve: Curve, x: &[u8], y: &[u8]) -> Result<Self> {
        let size = curve.field_size();
        let mut point = vec![0; 1 + 2 * size];
        point[0] = 0x04; // uncompressed
        for (coordinate, end) in [(x, 1 + size), (y, 1 + 2 * size)] {
            let digits = significant(coordinate);
            if digits.len() > size {
                let len = digits.len();
                return Err(Error::CoordinateSize { curve, len });
            }
            point[end - digits.len()..end].copy_from_slice(digits);
        }
        let key = EcdsaPublicKey::from_sec1_bytes(&point)?;
        Self::encode(curve.algorithm(), curve.bits(), key.into())
    }

    fn encode(algorithm: &'static str, bits: usize, key: KeyData) -> Result<Self> {
        let blob = ssh_key::PublicKey::from(key).to_bytes()?;
        Ok(Self {
            algorithm,
            bits,
            fingerprint: Fingerprint::of_blob(&blob),
            blob,
        })
    }

    /// The name of the key type, such as `ssh-rsa` or `ecdsa-sha2-nistp256`.
    #[must_use]
    pub fn algorithm(&self) -> &'static str {
        self.algorithm
    }

    /// The size of the modulus or curve in bits, as `ssh-keygen -l` shows it.
    #[must_use]
    pub fn bits(&self) -> usize {
        self.bits
    }

    /// The key as the SSH protocol and the agent's protocol carry it.
    #[must_use]
    pub fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// The SHA-256 of the blob.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The line for `authorized_keys` or a `.pub` file, without a line feed.
    ///
    /// In `comment`, characters that would end the line, control a terminal or turn the writing
    /// direction become `?`. Without a comment the line ends after the key.
    #[must_use]
    pub fn authorized_keys_line(&self, comment: &str) -> String {
        line_of_blob(self.algorithm, &self.blob, comment)
    }
}

/// `number` without its leading zero bytes.
pub(crate) fn significant(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|&&byte| byte == 0).count();
    &number[zeros..]
}

pub(crate) fn bit_length(number: &[u8]) -> usize {
    match significant(number) {
        [] => 0,
        digits @ [first, ..] => digits.len() * 8 - first.leading_zeros() as usize,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::hex;

    /// RFC 4716 section 3.6, the first example.
    const RFC4716_RSA: &str = "ssh-rsa \
        AAAAB3NzaC1yc2EAAAABIwAAAIEA1on8gxCGJJWSRT4uOrR13mUaUk0hRf4RzxSZ1zRb\
        YYFw8pfGesIFoEuVth4HKyF8k1y4mRUnYHP1XNMNMJl1JcEArC2asV8sHf6zSPVffozZ\
        5TT4SfsUu/iKy9lUcCfXzwre4WWZSXXcPff+EHtWshahu3WzBdnGxm5Xoi89zcE=";

    #[test]
    fn rfc_4716_section_3_6_rsa_key() {
        let modulus = hex(
            "d689fc831086249592453e2e3ab475de651a524d2145fe11cf1499d7345b
            618170f297c67ac205a04b95b61e072b217c935cb899152760 73f55cd30d30997525c100ac2d9ab1
            5f2c1dfeb348f55f7e8cd9e534f849fb14bbf88acbd9547027d7cf0adee165994975dc3df7fe107b56
            b216a1bb75b305d9c6c66e57a22f3dcdc1",
        );
        let key = PublicKey::rsa(&modulus, 35).unwrap();
        assert_eq!(key.authorized_keys_line(""), RFC4716_RSA);
        assert_eq!((key.algorithm(), key.bits()), ("ssh-rsa", 1024));
    }

    /// The example key of RFC 6594 section 5.3 and its SHA-256 in 5.3.2.
    #[test]
    fn rfc_6594_section_5_3_ecdsa_key_and_fingerprint() {
        let x = hex("00fef42394897ed662072f20e748f3e7637681435544f136b72883cb1261d6c8");
        let y = hex("cde1be6d876cb2cbdccb2fe745f5615c2e5004293c21386ab3b0f8fe51715f98");
        let key = PublicKey::ecdsa(Curve::NistP256, &x, &y).unwrap();
        assert_eq!(
            key.authorized_keys_line("server"),
            "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBAD+9COUiX7W\
             YgcvIOdI8+djdoFDVUTxNrcog8sSYdbIzeG+bYdsssvcyy/nRfVhXC5QBCk8IThqs7D4/lFxX5g= server"
        );
        assert_eq!(
            key.fingerprint().as_bytes().as_slice(),
            hex("821eb6c1c98d9cc827ab7f456304c0f14785b7008d9e8646a8519de80849afc7")
        );
        assert_eq!(
            key.fingerprint().to_string(),
            "SHA256:gh62wcmNnMgnq39FYwTA8UeFtwCNnoZGqFGd6AhJr8c"
        );
    }

    /// RFC 5656 section 3.1: string "ecdsa-sha2-[identifier]", string identifier, string Q.
    #[test]
    fn rfc_5656_section_3_1_fields_of_the_blob() {
        let key = PublicKey::ecdsa(Curve::NistP521, &[1], &[2]).unwrap();
        let mut blob = b"\0\0\0\x13ecdsa-sha2-nistp521\0\0\0\x08nistp521\0\0\0\x85\x04".to_vec();
        blob.extend([0; 65]);
        blob.push(1);
        blob.extend([0; 65]);
        blob.push(2);
        assert_eq!(key.blob(), blob);
    }

    #[test]
    fn what_openssh_refuses_is_refused() {
        let text = |result: Result<PublicKey>| result.unwrap_err().to_string();
        assert_eq!(
            text(PublicKey::rsa(&[0xff; 127], 65537)),
            "RSA modulus of 1016 bits is not between 1024 and 16384 bits"
        );
        assert_eq!(
            text(PublicKey::rsa(&[], 3)),
            "RSA modulus of 0 bits is not between 1024 and 16384 bits"
        );
        for exponent in [0, 1, 65536] {
            assert_eq!(
                text(PublicKey::rsa(&[0xff; 256], exponent)),
                format!("RSA exponent {exponent} is not an odd number above 1")
            );
        }
        assert_eq!(
            text(PublicKey::ecdsa(Curve::NistP384, &[1; 49], &[1])),
            "nistp384 coordinate of 49 bytes is longer than 48 bytes"
        );
    }

    fn curves() -> impl Strategy<Value = Curve> {
        prop_oneof![
            Just(Curve::NistP256),
            Just(Curve::NistP384),
            Just(Curve::NistP521)
        ]
    }

    proptest! {
        #[test]
        fn an_rsa_key_reads_back_as_it_was(
            modulus in prop::collection::vec(any::<u8>(), 129..520), exponent in 1..u32::MAX / 2, zeros in 0..3usize,
        ) {
            prop_assume!(modulus[0] != 0);
            let exponent: u32 = 2 * exponent + 1;
            let exponent_bytes = exponent.to_be_bytes();
            let padded = [vec![0; zeros], modulus.clone()].concat();
            let key = PublicKey::rsa(&padded, exponent).unwrap();

            let read = ssh_key::PublicKey::from_bytes(key.blob()).unwrap();
            let rsa = read.key_data().rsa().unwrap();
            prop_assert_eq!(rsa.n.as_positive_bytes().unwrap(), modulus);
            prop_assert_eq!(rsa.e.as_positive_bytes().unwrap(), significant(&exponent_bytes));
        }

        #[test]
        fn a_point_is_padded_to_its_field_and_reads_back(
            curve in curves(), x in prop::collection::vec(any::<u8>(), 0..=32), y in prop::collection::vec(any::<u8>(), 0..=32),
        ) {
            let key = PublicKey::ecdsa(curve, &x, &y).unwrap();
            let read = ssh_key::PublicKey::from_bytes(key.blob()).unwrap();
            let point = read.key_data().ecdsa().unwrap().as_sec1_bytes();
            let (left, right) = point[1..].split_at(curve.field_size());
            prop_assert_eq!(point[0], 4);
            prop_assert_eq!(significant(left), significant(&x));
            prop_assert_eq!(significant(right), significant(&y));
        }

        #[test]
        fn the_line_reads_back_whatever_the_comment(curve in curves(), comment in any::<String>()) {
            let key = PublicKey::ecdsa(curve, &[1], &[2]).unwrap();
            let line = key.authorized_keys_line(&comment);
            let read = ssh_key::PublicKey::from_openssh(&line).unwrap();
            prop_assert_eq!(line.lines().count(), 1);
            prop_assert_eq!(read.to_bytes().unwrap(), key.blob());
        }
    }
}
