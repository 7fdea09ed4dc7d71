//! What a token is made of: token key, PIN counter, SO object, change guard.

pub(crate) mod arrival_key;
pub(crate) mod change_guard;
pub(crate) mod pin_counter;
pub(crate) mod so_object;
pub(crate) mod token_key;
pub(crate) mod wall;
