//! `tpmssh token list`: the tokens of this user.

use std::fmt;

use serde::Serialize;
use token_store::{Token, Tries};

use crate::app::App;
use crate::show::output::{Table, tell};

/// List the tokens, without asking the TPM
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(app: &App, _args: &Args) -> anyhow::Result<()> {
    let report = Report(app.tokens()?.iter().map(Entry::from).collect());
    if report.0.is_empty() {
        tell("tpmssh: no tokens");
    }
    app.out.print(&report)
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Report(Vec<Entry>);

/// What there is to say about a token.
#[derive(Debug, Serialize)]
pub(crate) struct Entry {
    pub(crate) label: String,
    serial: String,
    pin_wall: &'static str,
    pin_set: bool,
    so_pin_set: bool,
    /// As last seen; absent where there is no PIN.
    tries_left: Option<u32>,
    max_tries: Option<u32>,
}

impl From<&Token> for Entry {
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

impl Entry {
    fn pin(&self) -> String {
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

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut table = Table::new(["LABEL", "SERIAL", "PIN WALL", "PIN"]);
        for token in &self.0 {
            table.row([&token.label, &token.serial, token.pin_wall, &token.pin()]);
        }
        table.fmt(f)
    }
}
