//! What can be wrong with the numbers that a device returned.

use crate::Curve;

/// A number that has no SSH encoding, or none that OpenSSH would accept.
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

    /// `ssh-key` could not encode the numbers.
    #[error("cannot encode for SSH")]
    Encode(#[from] ssh_key::Error),
}

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;
