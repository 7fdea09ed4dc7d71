//! Secrets and answers from the terminal.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::sync::Arc;

use rustix::io::retry_on_intr;
use rustix::termios::{
    LocalModes, OptionalActions, QueueSelector, Termios, tcdrain, tcflush, tcgetattr, tcgetpgrp,
    tcsetattr,
};
use zeroize::Zeroizing;

use super::{Secret, input};
use crate::fail::error::{Error, Result};
use crate::machine::interrupt;
use crate::machine::jobs::{Event, Question, own_group};

/// The terminal that this process is controlled from, whatever stdin and stdout are.
#[derive(Debug)]
pub(crate) struct Terminal(Arc<File>);

/// The result of reading a line.
enum Line {
    Read(Secret),
    /// The question has to be asked again: the program was stopped, or continued.
    Broken,
}

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
    /// What was typed before the question is thrown away. The terminal shows typing again
    /// afterwards, also if a signal ends or stops the program; when it goes on, it asks again.
    ///
    /// # Errors
    ///
    /// [`Error::Declined`] at the end of the input (Ctrl-D).
    pub(crate) fn ask_hidden(&self, prompt: &str) -> Result<Secret> {
        let answer = self.asked(prompt, true);
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
        self.asked(prompt, false)
    }

    fn asked(&self, prompt: &str, hidden: bool) -> Result<Secret> {
        let question = Question::new().map_err(Error::Terminal)?;
        loop {
            // In the background the first call stops the process until it is in the foreground. Only
            // then are the modes read: before that they are those of the shell. tcflush stops it as
            // well, but on Linux it may throw away first what is typed for the shell.
            if hidden {
                retry_on_intr(|| tcdrain(&self.0)).map_err(terminal)?;
                tcflush(&self.0, QueueSelector::IFlush).map_err(terminal)?;
            }
            let mode = hidden.then(|| Hidden::new(&self.0)).transpose();
            let mode = mode.map_err(Error::Terminal)?;
            // The question is not yet shown, so it need not be asked again because the process was
            // stopped before.
            question.is_in_order();
            self.write(prompt)?;
            let line = self.line(&question, mode)?;
            match line {
                Line::Read(secret) => return Ok(secret),
                Line::Broken => {}
            }
        }
    }

    /// Reads a line in the mode `mode`, which is dropped at its end.
    fn line(&self, question: &Question, mode: Option<Hidden>) -> Result<Line> {
        let mut line = Zeroizing::new(Vec::with_capacity(input::MAX_LEN));
        loop {
            match question.wait(&*self.0).map_err(Error::Terminal)? {
                Event::Input => {}
                Event::Stop => {
                    drop(mode);
                    question.stop().map_err(Error::Terminal)?;
                    return Ok(Line::Broken);
                }
                Event::Continued => {
                    // The modes are those of the shell by now, or what they were here.
                    drop(mode);
                    return Ok(Line::Broken);
                }
            }
            match input::push_byte(&*self.0, "the terminal", &mut line) {
                Ok(true) => return Ok(Line::Read(line)),
                Ok(false) => {}
                Err(Error::NothingRead { .. }) => return Err(Error::Declined),
                Err(err) => return Err(err),
            }
        }
    }

    fn write(&self, text: &str) -> Result<()> {
        (&*self.0)
            .write_all(text.as_bytes())
            .map_err(Error::Terminal)
    }
}

fn terminal(err: rustix::io::Errno) -> Error {
    Error::Terminal(err.into())
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
                // In the background the terminal is in use by another program, and changing it would
                // stop this process instead of ending it.
                // A group outside of this PID namespace has no number, and comes as an error.
                let foreground = tcgetpgrp(&tty).map_or(0, |group| group.as_raw_pid());
                if own_group() == Some(foreground) {
                    restore(&tty, &before);
                    let _ = (&*tty).write_all(b"\n"); // the prompt of the shell gets a line of its own
                }
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
