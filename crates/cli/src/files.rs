//! Files that a user names, and files that the program writes for the system.

pub(crate) mod block;
pub(crate) mod changes;
pub(crate) mod input_file;
pub(crate) mod key_file;
pub(crate) mod output_file;
pub(crate) mod private_key_file;
pub(crate) mod unit_texts;
pub(crate) mod units;
pub(crate) mod x509_file;
