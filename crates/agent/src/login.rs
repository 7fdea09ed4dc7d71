//! What the chip does for the agent, which tokens are open, and whether the agent is locked.

pub(crate) mod chip;
pub(crate) mod lock;
pub(crate) mod logins;
