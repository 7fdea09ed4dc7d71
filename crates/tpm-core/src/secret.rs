//! Authorization values, and the memory that holds them.

pub(crate) mod auth;
pub(crate) mod auth_kinds;

/// Memory for a short secret: one page, which is the least that the kernel locks. It is wiped when dropped.
pub type Locked = locked_memory::Locked<4096>;
