//! Signatures: from a device's numbers to SSH's wire format.

use ssh_encoding::Encode;
use ssh_key::{Algorithm, HashAlg, Mpint};

use crate::public_key::significant;
use crate::wire::put_string;
use crate::{Curve, Error, Result};

/// The hash of an RSA signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RsaHash {
    /// `ssh-rsa`, with SHA-1: for programs that know no other. OpenSSH's servers refuse it, and so
    /// do all checks of signatures in this crate.
    Sha1,
    /// `rsa-sha2-256`.
    Sha256,
    /// `rsa-sha2-512`.
    Sha512,
}

/// A signature, encoded for SSH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    algorithm: &'static str,
    blob: Vec<u8>,
}

impl Signature {
    /// An RSASSA-PKCS1-v1_5 signature.
    ///
    /// `signature` must be as long as the modulus, with leading zero bytes, as a TPM returns it. It
    /// goes into the blob unchanged.
    ///
    /// # Errors
    ///
    /// [`Error::SignatureSize`] if OpenSSH accepts no modulus of that length.
    ///
    /// # Source
    ///
    /// RFC 8332 section 3; for SHA-1, RFC 4253 section 6.6.
    pub fn rsa(hash: RsaHash, signature: &[u8]) -> Result<Self> {
        if !(128..=2048).contains(&signature.len()) {
            let len = signature.len();
            return Err(Error::SignatureSize { len });
        }
        let (name, hash) = match hash {
            RsaHash::Sha1 => return Ok(Self::rsa_sha1(signature)),
            RsaHash::Sha256 => ("rsa-sha2-256", HashAlg::Sha256),
            RsaHash::Sha512 => ("rsa-sha2-512", HashAlg::Sha512),
        };
        Self::encode(name, Algorithm::Rsa { hash: Some(hash) }, signature)
    }

    /// A signature with SHA-1, which `ssh-key` does not write.
    fn rsa_sha1(signature: &[u8]) -> Self {
        let algorithm = "ssh-rsa";
        let mut blob = Vec::new();
        put_string(&mut blob, algorithm.as_bytes());
        put_string(&mut blob, signature);
        Self { algorithm, blob }
    }

    /// An ECDSA signature from its two numbers.
    ///
    /// Both are unsigned, most significant byte first, with or without leading
    /// zero bytes. The hash is the one that belongs to the curve: SHA-256,
    /// SHA-384 or SHA-512.
    ///
    /// # Errors
    ///
    /// [`Error::SignatureNumber`] if one of them is zero or does not fit the field of the curve.
    ///
    /// # Source
    ///
    /// RFC 5656 section 3.1.2.
    pub fn ecdsa(curve: Curve, r: &[u8], s: &[u8]) -> Result<Self> {
        let mut numbers = Vec::with_capacity(2 * (4 + 1 + curve.field_size()));
        for number in [r, s] {
            let len = significant(number).len();
            if len == 0 || len > curve.field_size() {
                return Err(Error::SignatureNumber { curve, len });
            }
            let number = Mpint::from_positive_bytes(number)?;
            number.encode(&mut numbers).map_err(ssh_key::Error::from)?;
        }
        Self::encode(curve.algorithm(), curve.into(), &numbers)
    }

    fn encode(name: &'static str, algorithm: Algorithm, data: &[u8]) -> Result<Self> {
        let signature = ssh_key::Signature::new(algorithm, data)?;
        Ok(Self {
            algorithm: name,
            blob: signature.try_into()?,
        })
    }

    /// The name of the signature algorithm, such as `rsa-sha2-512`.
    #[must_use]
    pub fn algorithm(&self) -> &'static str {
        self.algorithm
    }

    /// The signature as the SSH protocol and the agent's protocol carry it:
    /// the name of the algorithm, then the numbers.
    #[must_use]
    pub fn blob(&self) -> &[u8] {
        &self.blob
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ssh_encoding::Decode;

    use super::*;
    use crate::hex;

    /// The numbers of RFC 4251 section 5, "mpint", in the blob of RFC 5656 section 3.1.2.
    #[test]
    fn rfc_4251_section_5_mpints() {
        let signature =
            Signature::ecdsa(Curve::NistP256, &hex("09a378f9b2e332a7"), &hex("0080")).unwrap();
        let mut blob = b"\0\0\0\x13ecdsa-sha2-nistp256\0\0\0\x12".to_vec();
        blob.extend(hex("00000008 09a378f9b2e332a7"));
        blob.extend(hex("00000002 0080"));
        assert_eq!(signature.blob(), blob);
    }

    /// RFC 8332 section 3: string "rsa-sha2-512", string of the modulus' length.
    #[test]
    fn rfc_8332_section_3_fields_of_the_blob() {
        let mut number = vec![0xa5; 256];
        number[0] = 0;
        let signature = Signature::rsa(RsaHash::Sha512, &number).unwrap();
        let mut blob = b"\0\0\0\x0crsa-sha2-512\0\0\x01\0".to_vec();
        blob.extend(number);
        assert_eq!(signature.blob(), blob);
        assert_eq!(signature.algorithm(), "rsa-sha2-512");
    }

    /// RFC 4253 section 6.6: string "ssh-rsa", string of the modulus' length.
    #[test]
    fn rfc_4253_section_6_6_fields_of_the_blob() {
        let number = vec![0xa5; 256];
        let signature = Signature::rsa(RsaHash::Sha1, &number).unwrap();
        let mut blob = b"\0\0\0\x07ssh-rsa\0\0\x01\0".to_vec();
        blob.extend(number);
        assert_eq!(signature.blob(), blob);
        assert_eq!(signature.algorithm(), "ssh-rsa");
    }

    #[test]
    fn numbers_that_no_signature_has_are_refused() {
        let text = |result: Result<Signature>| result.unwrap_err().to_string();
        assert_eq!(
            text(Signature::ecdsa(Curve::NistP256, &[0; 32], &[1])),
            "nistp256 signature holds a number of 0 bytes, not of 1 to 32 bytes"
        );
        assert_eq!(
            text(Signature::ecdsa(Curve::NistP521, &[1], &[1; 67])),
            "nistp521 signature holds a number of 67 bytes, not of 1 to 66 bytes"
        );
        assert_eq!(
            text(Signature::rsa(RsaHash::Sha256, &[1; 127])),
            "RSA signature of 127 bytes is not between 128 and 2048 bytes"
        );
    }

    proptest! {
        #[test]
        fn the_numbers_read_back(r in prop::collection::vec(any::<u8>(), 1..=66), s in prop::collection::vec(any::<u8>(), 1..=66)) {
            prop_assume!(!significant(&r).is_empty() && !significant(&s).is_empty());
            let signature = Signature::ecdsa(Curve::NistP521, &r, &s).unwrap();
            let read = ssh_key::Signature::try_from(signature.blob()).unwrap();
            let mut numbers = read.as_bytes();
            for number in [&r, &s] {
                let mpint = Mpint::decode(&mut numbers).unwrap();
                prop_assert_eq!(mpint.as_positive_bytes().unwrap(), significant(number));
            }
            prop_assert!(numbers.is_empty());
        }
    }
}
