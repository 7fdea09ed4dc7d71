//! `tpmssh tpm`: the chip itself.

pub(crate) mod change_auth;
pub(crate) mod clear;
pub(crate) mod create_ek;
pub(crate) mod info;
pub(crate) mod lockout;
pub(crate) mod random;
pub(crate) mod selftest;
pub(crate) mod take_ownership;
