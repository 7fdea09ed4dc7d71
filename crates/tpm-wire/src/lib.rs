//! The bytes of a TPM 2.0: integers, buffers and algorithm numbers, and the ROCA check of RSA keys.
//!
//! ```
//! use tpm_wire::{Malformed, Put, Reader, algorithm};
//!
//! // The number of a hash algorithm, and a digest in a buffer (TPM2B_DIGEST).
//! let mut bytes = Vec::new();
//! bytes.put_u16(algorithm::SHA256);
//! bytes.put_sized(&[0; 32]);
//!
//! let mut reader = Reader::new(&bytes, "digest");
//! assert_eq!(reader.u16()?, algorithm::SHA256);
//! assert_eq!(reader.sized()?, [0; 32]);
//! reader.finish()?;
//! # Ok::<(), Malformed>(())
//! ```
//!
//! Section numbers refer to the TCG's *Trusted Platform Module Library Specification*, revision 1.59, parts 1 to 3.
#![forbid(unsafe_code)]

pub mod algorithm;
mod marshal;
pub mod roca;

pub use marshal::{Malformed, Put, Reader, Result};
