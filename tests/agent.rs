//! `tpmssh agent` with the real OpenSSH.

mod crowd;
mod forwarding;
mod guard;
mod install;
mod login;
mod process;
mod proxy;
mod served;
mod signing;
mod ssh_add;
