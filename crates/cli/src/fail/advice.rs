//! What an error type says of its exit code and its hint.

use token_store::Kind;

/// An error type that the program knows.
pub(crate) trait Advice {
    /// Its kind, which gives the exit code.
    fn kind(&self) -> Kind;

    /// What to try: a command that works as printed, or a sentence. `None` if there is nothing.
    fn hint(&self) -> Option<String> {
        None
    }
}
