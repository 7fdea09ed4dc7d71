//! Asking before an action that cannot be undone.

use crate::ask::pin_prompt::Terminal;
use crate::fail::error::{Error, Result};

/// Asks `question` on the terminal; `yes` answers it beforehand.
///
/// # Errors
///
/// [`Error::NotConfirmed`] for any answer but `y` or `yes`, and
/// [`Error::NeedsYes`] if there is no terminal to ask on.
pub(crate) fn confirm(question: &str, yes: bool) -> Result<()> {
    if yes {
        return Ok(());
    }
    if ask(question)? {
        Ok(())
    } else {
        Err(Error::NotConfirmed)
    }
}

/// Asks on the terminal for `word`, typed in full; `yes` answers beforehand.
///
/// # Errors
///
/// As for [`confirm`].
pub(crate) fn confirm_by_word(word: &str, yes: bool) -> Result<()> {
    if yes {
        return Ok(());
    }
    let terminal = Terminal::open().map_err(|_| Error::NeedsYes)?;
    match terminal.ask(&format!("Type \"{word}\" to go on: ")) {
        Ok(answer) if answer.as_slice() == word.as_bytes() => Ok(()),
        Ok(_) | Err(Error::Declined) => Err(Error::NotConfirmed),
        Err(err) => Err(err),
    }
}

/// Asks `question` on the terminal and says whether the answer was `y` or `yes`.
///
/// # Errors
///
/// [`Error::NeedsYes`] if there is no terminal to ask on.
pub(crate) fn ask(question: &str) -> Result<bool> {
    let terminal = Terminal::open().map_err(|_| Error::NeedsYes)?;
    let answer = terminal.ask(&format!("{question} [y/N] "));
    match answer {
        Ok(answer) => Ok(matches!(answer.trim_ascii(), b"y" | b"Y" | b"yes")),
        Err(Error::Declined) => Ok(false),
        Err(err) => Err(err),
    }
}
