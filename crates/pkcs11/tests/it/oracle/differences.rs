//! Where the modules differ, and why ours does what it does.

mod keys;
mod objects;
mod operations;
mod sessions;

/// Cases in which the modules give different answers, for one reason.
pub(super) struct Difference {
    pub(super) reason: &'static str,
    /// The name of the case, our answer and SoftHSM's.
    pub(super) cases: &'static [(&'static str, &'static str, &'static str)],
}

/// All differences.
pub(super) fn all() -> impl Iterator<Item = &'static Difference> {
    [objects::ALL, keys::ALL, sessions::ALL, operations::ALL]
        .into_iter()
        .flatten()
}
