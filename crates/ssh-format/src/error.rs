//! The errors of this crate: wrong numbers of a device, and malformed data of other programs.

use crate::Curve;

/// A number without an SSH encoding that OpenSSH accepts, or bytes that cannot be parsed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The modulus is shorter or longer than OpenSSH accepts.
    #[error("RSA modulus of {bits} bits is not between 1024 and 16384 bits")]
    ModulusSize {
        /// Its size, leading zeros not counted.
        bits: usize,
    },

    /// The public exponent is even or 1, so this is not an RSA key.
    #[error("RSA exponent {0} is not an odd number above 1")]
    Exponent(u32),

    /// A coordinate is longer than the field of its curve.
    #[error("{curve} coordinate of {len} bytes is longer than {} bytes", curve.field_size())]
    CoordinateSize {
        /// The curve.
        curve: Curve,
        /// The length of the coordinate, leading zeros not counted.
        len: usize,
    },

    /// Half of an ECDSA signature is zero or longer than the field of its curve.
    #[error("{curve} signature holds a number of {len} bytes, not of 1 to {} bytes", curve.field_size())]
    SignatureNumber {
        /// The curve.
        curve: Curve,
        /// The length of the number, leading zeros not counted.
        len: usize,
    },

    /// An RSA signature has a length that no modulus has that OpenSSH accepts.
    #[error("RSA signature of {len} bytes is not between 128 and 2048 bytes")]
    SignatureSize {
        /// Its length.
        len: usize,
    },

    /// The data ends too early.
    #[error("the {what} is cut short")]
    Cut {
        /// The kind of data, such as `certificate`.
        what: &'static str,
    },

    /// The data has a wrong format.
    #[error("the {what} is malformed: {why}")]
    Malformed {
        /// What was read, such as `certificate`.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },

    /// The data is a certificate and should be a plain key.
    #[error("it is a certificate and not a key")]
    NotAKey,

    /// The key has a type that OpenSSH does not have.
    #[error("keys of type {} are not known here", .0.escape_debug())]
    UnknownKeyType(String),

    /// The key has a type whose signatures are not accepted: DSA.
    #[error("signatures of {} keys cannot be checked", .0.escape_debug())]
    UnknownAlgorithm(String),

    /// The signature is over a SHA-1 hash, for which collisions can be found.
    #[error("the signature is made with SHA-1, which is not secure any more")]
    Sha1,

    /// The certificate has an unknown type.
    #[error("certificates of type {} cannot be read", .0.escape_debug())]
    UnknownCertificate(String),

    /// The signature is not valid for this key and this message.
    #[error("the signature does not match")]
    BadSignature,

    /// A certificate has an unknown critical option.
    #[error("the certificate has the critical option {}, which is not known", .0.escape_debug())]
    UnknownCriticalOption(String),

    /// A signature was made for another namespace.
    #[error("the signature is for the namespace \"{}\" and not \"{}\"", found.escape_debug(), wanted.escape_debug())]
    Namespace {
        /// The namespace of the signature.
        found: String,
        /// The namespace that was expected.
        wanted: String,
    },

    /// A namespace is empty or contains characters that cannot be written to a file.
    #[error("a namespace has at least one character, and no control characters")]
    NoNamespace,

    /// A principal or namespace cannot be written into a file of allowed signers.
    #[error("a principal or namespace is one word without wildcards")]
    NotAWord,

    /// A certificate without a number cannot be revoked by its number.
    #[error("a certificate without a serial number cannot be revoked by it")]
    SerialZero,

    /// The passphrase of a private key is another one.
    #[error("wrong passphrase")]
    WrongPassphrase,

    /// A private key is encrypted in a way that is not known here.
    #[error("private keys encrypted with {} cannot be read", .0.escape_debug())]
    UnknownCipher(String),

    /// A file of a private key has the public half of another one.
    #[error("its public half belongs to another private one")]
    HalvesDiffer,

    /// The requested certificate is invalid.
    #[error("a certificate {0}")]
    Request(&'static str),

    /// `ssh-key` could not encode the numbers.
    #[error("cannot encode for SSH")]
    Encode(#[from] ssh_key::Error),
}

impl Error {
    pub(crate) fn malformed(what: &'static str, why: impl Into<String>) -> Self {
        let why = why.into();
        Self::Malformed { what, why }
    }
}

/// The result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;
