//! OpenSSH certificates: kept beside keys, made by our own authority, believed by OpenSSH.

mod authority;
mod kept;
mod keygen;
