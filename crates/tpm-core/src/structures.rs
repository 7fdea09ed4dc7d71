//! The TPM's data structures (part 2 of the specification): kinds, Names, public areas, templates,
//! and their wire form. Nothing here sends a command.

pub(crate) mod attributes;
pub(crate) mod command_code;
pub(crate) mod ek_type;
pub(crate) mod entity;
pub(crate) mod hierarchy;
pub(crate) mod kinds;
pub(crate) mod name;
pub(crate) mod public_key;
pub(crate) mod response_code;
pub(crate) mod storage_key;
pub(crate) mod template;
