//! Questions to a person: secrets and confirmations.

pub(crate) mod confirm;
pub(crate) mod hierarchy_auth;
pub(crate) mod pin_prompt;
pub(crate) mod token_pin;
