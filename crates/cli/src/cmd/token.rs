//! `tpmssh token`: tokens and their PINs.

pub(crate) mod change_pin;
pub(crate) mod init;
pub(crate) mod list;
pub(crate) mod reset_pin;
