//! Numbers of algorithms (`TPM_ALG_ID`).
//!
//! # Source
//!
//! Part 2, section 6.3 "TPM_ALG_ID".

/// RSA.
pub const RSA: u16 = 0x0001;
/// SHA-1.
pub const SHA1: u16 = 0x0004;
/// AES.
pub const AES: u16 = 0x0006;
/// SHA-256.
pub const SHA256: u16 = 0x000b;
/// SHA-384.
pub const SHA384: u16 = 0x000c;
/// SHA-512.
pub const SHA512: u16 = 0x000d;
/// None.
pub const NULL: u16 = 0x0010;
/// Signatures of RSA, PKCS#1 v1.5.
pub const RSASSA: u16 = 0x0014;
/// Encryption by RSA, PKCS#1 v1.5.
pub const RSAES: u16 = 0x0015;
/// Signatures of RSA, PSS.
pub const RSAPSS: u16 = 0x0016;
/// ECDSA.
pub const ECDSA: u16 = 0x0018;
/// Elliptic curves.
pub const ECC: u16 = 0x0023;
/// Cipher feedback mode.
pub const CFB: u16 = 0x0043;
