//! What can be wrong with the numbers that a device returned, and with what others wrote.

use crate::Curve;

/// A number that has no SSH encoding, or none that OpenSSH would accept; or bytes that cannot
/// be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The modulus is shorter or longer than OpenSSH accepts.
    #[error("RSA modulus of {bits} bits is not between 1024 and 16384 bits")]
    ModulusSize {
        /// Its size, leading zeros not counted.
        bits: usize,
    },

    /// The public exponent is even or 1, so this is no RSA key.
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

    /// An RSA signature is not as long as any modulus that OpenSSH accepts.
    #[error("RSA signature of {len} bytes is not between 128 and 2048 bytes")]
    SignatureSize {
        /// Its length.
        len: usize,
    },

    /// What was read ends before it is complete.
    #[error("the {what} is cut short")]
    Cut {
        /// What was read, such as `certificate`.
        what: &'static str,
    },

    /// What was read is not what it should be.
    #[error("the {what} is malformed: {why}")]
    Malformed {
        /// What was read, such as `certificate`.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },

    /// There is a certificate where a plain key should be.
    #[error("it is a certificate and not a key")]
    NotAKey,

    /// A key of a type that is not one of OpenSSH's.
    #[error("keys of type {} are not known here", .0.escape_debug())]
    UnknownKeyType(String),

    /// A key of a type whose signatures nobody should believe: DSA.
    #[error("signatures of {} keys cannot be checked", .0.escape_debug())]
    UnknownAlgorithm(String),

    /// The signature is over a SHA-1 hash, for which anybody can find a second message.
    #[error("the signature is made with SHA-1, which is not secure any more")]
    Sha1,

    /// A certificate of a type of which nothing is known here.
    #[error("certificates of type {} cannot be read", .0.escape_debug())]
    UnknownCertificate(String),

    /// The signature is not the key's over what was signed.
    #[error("the signature does not match")]
    BadSignature,

    /// A certificate has a critical option that is not understood.
    #[error("the certificate has the critical option {}, which is not known", .0.escape_debug())]
    UnknownCriticalOption(String),

    /// A signature was made for something else than what it is shown for.
    #[error("the signature is for the namespace \"{}\" and not \"{}\"", found.escape_debug(), wanted.escape_debug())]
    Namespace {
        /// What it was made for.
        found: String,
        /// What it is shown for.
        wanted: String,
    },

    /// A namespace is empty, or nothing that could be written down.
    #[error("a namespace has at least one character, and no control characters")]
    NoNamespace,

    /// A principal or namespace cannot be written into a file of allowed signers.
    #[error("a principal or namespace is one word without wildcards")]
    NotAWord,

    /// A certificate without a number cannot be revoked by its number.
    #[error("a certificate without a serial number cannot be revoked by it")]
    SerialZero,

    /// What was asked for cannot be certified.
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
