//! `tpmssh tpm`: the chip itself.

pub(crate) mod info;
pub(crate) mod selftest;
