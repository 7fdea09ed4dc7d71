//! Which keys there are, and what may be done with each.

pub mod bind;
pub(crate) mod certificate;
pub mod destination;
pub(crate) mod identity;
pub(crate) mod standing;
pub(crate) mod store;
