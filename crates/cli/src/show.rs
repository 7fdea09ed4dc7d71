//! Output: tables, colours, and the formats of times, spans and certificates.

pub(crate) mod chip;
pub(crate) mod date;
pub(crate) mod duration;
pub(crate) mod output;
pub(crate) mod path;
pub(crate) mod pem;
pub(crate) mod progress;
pub(crate) mod style;
pub(crate) mod table;
pub(crate) mod time;
pub(crate) mod token;
pub(crate) mod words;
