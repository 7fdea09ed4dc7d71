//! OpenSSH certificates: kept beside keys, made by our own authority, believed by OpenSSH.

mod again;
mod authority;
mod kept;
mod keygen;
mod refusals;
mod revoking;

pub(crate) use authority::{key_file, sign, with_authority};
pub(crate) use keygen::Keygen;
