//! What a token is made of: token key, PIN counter, SO object, change guard.

pub mod change_guard;
pub mod pin_counter;
pub mod so_object;
pub mod token_key;
