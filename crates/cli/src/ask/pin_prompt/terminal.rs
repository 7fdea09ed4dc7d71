//! Secrets and answers from the terminal.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::sync::Arc;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::{Secret, input};
use crate::fail::error::{Error, Result};
use crate::machine::interrupt;

/// The terminal that this process is controlled from, whatever stdin and stdout are.
#[derive(Debug)]
pub(crate) struct Terminal(Arc<File>);

impl Terminal {
    /// Whether there is one.
    pub(crate) fn is_there() -> bool {
        Self::open().is_ok()
    }

    /// Opens it.
    ///
    /// # Errors
    ///
    /// If the process has no controlling terminal.
    pub(crate) fn open() -> Result<Self> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/tty")
            .map(|tty| Self(Arc::new(tty)))
            .map_err(Error::Terminal)
    }

    /// Asks for a line that is not shown while it is typed.
    ///
    /// What was typed before the question is thrown away. The terminal shows
    /// typing again afterwards, also if a signal ends the program.
    ///
    /// # Errors
    ///
    /// [`Error::Declined`] at the end of the input (Ctrl-D).
    pub(crate) fn ask_hidden(&self, prompt: &str) -> Result<Secret> {
        let hidden = Hidden::new(&self.0).map_err(Error::Terminal)?;
        let answer = self.ask(prompt);
        drop(hidden);
        // The line feed that ended the answer was not shown either.
        self.write("\n")?;
        answer
    }

    /// Asks for a line.
    ///
    /// # Errors
    ///
    /// [`Error::Declined`] at the end of the input (Ctrl-D).
    pub(crate) fn ask(&self, prompt: &str) -> Result<Secret> {
        self.write(prompt)?;
        match input::first_line(&*self.0, "the terminal") {
            Err(Error::NothingRead { .. }) => Err(Error::Declined),
            answer => answer,
        }
    }

    fn write(&self, text: &str) -> Result<()> {
        (&*self.0)
            .write_all(text.as_bytes())
            .map_err(Error::Terminal)
    }
}

/// A terminal that shows nothing of what is typed, until this is dropped.
struct Hidden {
    tty: Arc<File>,
    before: Termios,
    _guard: interrupt::Guard,
}

impl Hidden {
    fn new(tty: &Arc<File>) -> io::Result<Self> {
        let before = tcgetattr(tty)?;
        let guard = interrupt::guard({
            let (tty, before) = (tty.clone(), before.clone());
            move || {
                restore(&tty, &before);
                let _ = (&*tty).write_all(b"\n"); // the prompt of the shell gets a line of its own
            }
        })?;
        let mut hidden = before.clone();
        hidden
            .local_modes
            .remove(LocalModes::ECHO | LocalModes::ECHONL);
        hidden
            .local_modes
            .insert(LocalModes::ICANON | LocalModes::ISIG);
        tcsetattr(tty, OptionalActions::Flush, &hidden)?;
        Ok(Self {
            tty: tty.clone(),
            before,
            _guard: guard,
        })
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        restore(&self.tty, &self.before);
    }
}

fn restore(tty: &File, before: &Termios) {
    if let Err(err) = tcsetattr(tty, OptionalActions::Flush, before) {
        log::warn!("the terminal stays without echo: {err}");
    }
}
