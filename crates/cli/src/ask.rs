//! What a person is asked: secrets, and whether to go on.

pub(crate) mod confirm;
pub(crate) mod hierarchy_auth;
pub(crate) mod pin_prompt;
pub(crate) mod token_pin;
