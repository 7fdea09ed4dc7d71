//! A token as a person sees it.

use serde::Serialize;
use token_store::{Token, Tries};

use crate::show::style::Tone;

/// The properties of a token.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    pub(crate) label: String,
    pub(crate) serial: String,
    pub(crate) pin_wall: &'static str,
    pin_set: bool,
    so_pin_set: bool,
    /// As last seen; absent if there is no PIN.
    tries_left: Option<u32>,
    max_tries: Option<u32>,
}

impl From<&Token> for Summary {
    fn from(token: &Token) -> Self {
        Self {
            label: token.label.clone(),
            serial: token.serial.clone(),
            pin_wall: token.wall.as_str(),
            pin_set: token.pin_is_set,
            so_pin_set: token.so_pin_is_set,
            tries_left: token.tries.map(|tries| tries.left),
            max_tries: token.tries.map(|tries| tries.max),
        }
    }
}

impl Summary {
    /// The colour of the PIN's state: fewer than all tries left, or none.
    pub(crate) fn tone(&self) -> Tone {
        match self.tries_left.zip(self.max_tries) {
            _ if self.pin_wall == "none" || !self.pin_set => Tone::Plain,
            Some((0, _)) => Tone::Bad,
            Some((left, max)) if left < max => Tone::Warning,
            _ => Tone::Plain,
        }
    }

    /// The state of the PIN in words.
    pub(crate) fn pin(&self) -> String {
        let tries = self.tries_left.zip(self.max_tries);
        match (self.pin_set, tries.map(|(left, max)| Tries { left, max })) {
            _ if self.pin_wall == "none" => "none".into(),
            (false, _) => "not set".into(),
            (true, Some(Tries { left: 0, .. })) => "locked".into(),
            (true, Some(Tries { left, max })) => format!("{left} of {max} tries left"),
            (true, None) => "set".into(),
        }
    }
}
