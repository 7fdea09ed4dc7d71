//! Numbers of algorithms (`TPM_ALG_ID`).
//!
//! # Source
//!
//! Part 2, section 6.3 "TPM_ALG_ID".

pub(crate) const RSA: u16 = 0x0001;
pub(crate) const SHA1: u16 = 0x0004;
pub(crate) const AES: u16 = 0x0006;
pub(crate) const SHA256: u16 = 0x000b;
pub(crate) const SHA384: u16 = 0x000c;
pub(crate) const SHA512: u16 = 0x000d;
pub(crate) const NULL: u16 = 0x0010;
pub(crate) const RSASSA: u16 = 0x0014;
pub(crate) const RSAES: u16 = 0x0015;
pub(crate) const RSAPSS: u16 = 0x0016;
pub(crate) const ECDSA: u16 = 0x0018;
pub(crate) const ECC: u16 = 0x0023;
pub(crate) const CFB: u16 = 0x0043;
