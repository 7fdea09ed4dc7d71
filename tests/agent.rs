//! `tpmssh agent` with the real OpenSSH.

mod authority;
mod crowd;
mod daemon;
mod forwarding;
mod guard;
mod install;
mod log;
mod login;
mod managed;
mod process;
mod proxy;
pub(crate) mod served;
mod signing;
pub(crate) mod ssh_add;
mod status;
