//! One check, and its result.

use std::borrow::Cow;
use std::fmt::{self, Write};

use serde::{Serialize, Serializer};
use token_store::Kind;

use crate::fail::known;
use crate::show::output::{error_line, escape};
use crate::show::style::{self, Tone};

/// Where the details begin.
const INDENT: usize = 31;
/// The fewest columns that details get on a narrow terminal.
const MIN_DETAIL: usize = 20;

/// The severity of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Ok,
    /// It works, but something should be improved.
    Warning,
    /// Something does not work, or is not safe.
    Problem(Kind),
}

impl Status {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Problem(_) => "problem",
        }
    }

    fn tone(self) -> Tone {
        match self {
            Self::Ok => Tone::Good,
            Self::Warning => Tone::Warning,
            Self::Problem(_) => Tone::Bad,
        }
    }

    /// The sort of a problem.
    pub(super) fn kind(self) -> Option<Kind> {
        match self {
            Self::Problem(kind) => Some(kind),
            Self::Ok | Self::Warning => None,
        }
    }
}

impl Serialize for Status {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

/// One check with its result.
#[derive(Debug, Serialize)]
pub(super) struct Check {
    name: &'static str,
    pub(super) status: Status,
    detail: String,
    /// What fixes it: a command, or a sentence that ends in one.
    fix: Option<String>,
}

impl Check {
    fn new(name: &'static str, status: Status, detail: impl Into<String>) -> Self {
        Self {
            name,
            status,
            detail: detail.into(),
            fix: None,
        }
    }

    pub(super) fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self::new(name, Status::Ok, detail)
    }

    pub(super) fn warning(name: &'static str, detail: impl Into<String>) -> Self {
        Self::new(name, Status::Warning, detail)
    }

    pub(super) fn problem(name: &'static str, kind: Kind, detail: impl Into<String>) -> Self {
        Self::new(name, Status::Problem(kind), detail)
    }

    /// A problem with the text and hint of the error that stops another command.
    pub(super) fn failed(name: &'static str, err: impl Into<anyhow::Error>) -> Self {
        Self::known(name, &err.into())
    }

    /// As [`Check::failed`], for an error that the caller keeps.
    pub(super) fn known(name: &'static str, err: &anyhow::Error) -> Self {
        let check = Self::problem(name, known::kind(err), error_line(err));
        match known::hint(err) {
            Some(hint) => check.fixed_by(hint),
            None => check,
        }
    }

    /// The same as a warning.
    pub(super) fn only_a_warning(self) -> Self {
        Self {
            status: Status::Warning,
            ..self
        }
    }

    /// The same with what fixes it.
    pub(super) fn fixed_by(self, fix: impl Into<String>) -> Self {
        Self {
            fix: Some(fix.into()),
            ..self
        }
    }

    /// The same, about the thing that is called `name`.
    pub(super) fn about(self, name: &str) -> Self {
        Self {
            detail: format!("\"{name}\": {}", self.detail),
            ..self
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(style::stdout_width(), style::on_stdout)?)
    }
}

impl Check {
    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    /// The text for a terminal of `width` columns, with words as `paint` has them look.
    ///
    /// The command that fixes it is on one line of any length, so that it can be copied.
    fn text(
        &self,
        width: usize,
        paint: impl Fn(Tone, &str) -> Cow<'_, str>,
    ) -> Result<String, fmt::Error> {
        let detail = escape(&self.detail);
        let mut lines = wrap(&detail, width.saturating_sub(INDENT).max(MIN_DETAIL)).into_iter();
        let mut text = String::new();
        let word = self.status.word();
        writeln!(
            text,
            "{}{:pad$}  {:<20}  {}",
            paint(self.status.tone(), word),
            "",
            self.name,
            lines.next().unwrap_or_default(),
            pad = "problem".len() - word.len(),
        )?;
        for line in lines {
            writeln!(text, "{:INDENT$}{line}", "")?;
        }
        if let Some(fix) = &self.fix {
            writeln!(text, "{:9}{} {}", "", paint(Tone::Hint, "->"), escape(fix))?;
        }
        Ok(text)
    }
}

/// `text` in lines of at most `width` columns, broken between words if that is possible.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().map(|line| line.chars().count());
        let fits = line.is_some_and(|len| len == 0 || len + 1 + word.chars().count() <= width);
        match lines.last_mut() {
            Some(line) if fits => {
                if !line.is_empty() {
                    line.push(' ');
                }
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(check: &Check, width: usize) -> String {
        check.text(width, |_, text| text.into()).unwrap()
    }

    #[test]
    fn a_check_is_one_line_or_wrapped_below_its_detail() {
        let check = Check::warning("store", "a b").fixed_by("chmod 700 /home/a");
        assert_eq!(
            plain(&check, 80),
            "warning  store                 a b\n         -> chmod 700 /home/a\n"
        );
        let long = "word ".repeat(20) + &"x".repeat(60);
        let check = Check::ok("lockout password", long);
        for (width, lines) in [(0, 6), (80, 3), (120, 2), (200, 1)] {
            let text = plain(&check, width);
            assert_eq!(text.lines().count(), lines, "{text}");
            for line in text.lines() {
                let at_most = width.max(INDENT + MIN_DETAIL);
                assert!(
                    line.len() <= at_most || line.trim() == "x".repeat(60),
                    "{line}"
                );
                assert!(line.starts_with("ok ") || line.starts_with(&" ".repeat(INDENT)));
            }
        }
    }

    #[test]
    fn what_others_wrote_cannot_act_on_the_terminal() {
        let check = Check::ok("token", "fine").about("a\x1b[2J\nok");
        assert_eq!(
            plain(&check, 80),
            "ok       token                 \"a\\u{1b}[2J\\nok\": fine\n"
        );
    }
}
