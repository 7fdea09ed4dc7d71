//! `tpmssh token`: tokens and their PINs.

pub(crate) mod change_pin;
pub(crate) mod change_so_pin;
pub(crate) mod delete;
pub(crate) mod info;
pub(crate) mod init;
pub(crate) mod list;
pub(crate) mod remove_counter;
pub(crate) mod rename;
pub(crate) mod repair;
pub(crate) mod reset_pin;
