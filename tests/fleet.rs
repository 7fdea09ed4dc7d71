//! `tpmssh enroll`, `renew` and `host setup --enroll` with a real `tpmssh-ca`, TPMs, and OpenSSH on both sides.

mod authority;
mod between;
mod cluster;
mod hosts;
mod identities;
mod made;
mod node;
mod people;
mod refused;
mod rotation;
mod sealed;
mod tls;
mod token;

pub(crate) use authority::{AUDIENCE, Authority};
