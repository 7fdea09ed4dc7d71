//! The kind of key to make.

use clap::ValueEnum;
use tpm_core::KeyType;

use crate::fail::error::Error;

/// The kind of key to make.
#[derive(Debug, clap::Args)]
pub(crate) struct KeyTypeArgs {
    /// The kind of key
    #[arg(short = 't', long = "type", value_enum, default_value_t = Algorithm::Ecdsa)]
    algorithm: Algorithm,

    /// Key size: 256 (default), 384 or 521 for ecdsa; 2048 (default) or 3072 for rsa
    #[arg(short, long)]
    bits: Option<u16>,
}

impl KeyTypeArgs {
    /// Whether the kind is another one than the default.
    pub(crate) fn is_chosen(&self) -> bool {
        self.algorithm != Algorithm::Ecdsa || self.bits.is_some()
    }

    /// The kind and size.
    ///
    /// # Errors
    ///
    /// For a size that no such key has.
    pub(crate) fn key_type(&self) -> Result<KeyType, Error> {
        key_type(self.algorithm, self.bits)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Algorithm {
    /// ECDSA on a NIST curve: quick, in nearly every TPM.
    Ecdsa,
    /// RSA: for servers that know nothing newer; takes a TPM seconds to minutes to make.
    Rsa,
}

fn key_type(algorithm: Algorithm, bits: Option<u16>) -> Result<KeyType, Error> {
    let wrong = |sizes, bits| Error::Usage(format!("{sizes} bits, not {bits}"));
    match (algorithm, bits) {
        (Algorithm::Ecdsa, None | Some(256)) => Ok(KeyType::EccP256),
        (Algorithm::Ecdsa, Some(384)) => Ok(KeyType::EccP384),
        (Algorithm::Ecdsa, Some(521)) => Ok(KeyType::EccP521),
        (Algorithm::Ecdsa, Some(bits)) => Err(wrong("an ecdsa key has 256, 384 or 521", bits)),
        (Algorithm::Rsa, None | Some(2048)) => Ok(KeyType::Rsa2048),
        (Algorithm::Rsa, Some(3072)) => Ok(KeyType::Rsa3072),
        (Algorithm::Rsa, Some(bits)) => Err(wrong("an rsa key has 2048 or 3072", bits)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_belong_to_an_algorithm() {
        assert_eq!(key_type(Algorithm::Ecdsa, None).unwrap(), KeyType::EccP256);
        assert_eq!(key_type(Algorithm::Rsa, None).unwrap(), KeyType::Rsa2048);
        assert_eq!(
            key_type(Algorithm::Rsa, Some(1024))
                .unwrap_err()
                .to_string(),
            "an rsa key has 2048 or 3072 bits, not 1024"
        );
        assert_eq!(
            key_type(Algorithm::Ecdsa, Some(2048))
                .unwrap_err()
                .to_string(),
            "an ecdsa key has 256, 384 or 521 bits, not 2048"
        );
    }
}
