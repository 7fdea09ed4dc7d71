//! Colours: on terminals that show them, for the few words that matter.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::io::{self, IsTerminal};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use rustix::termios::tcgetwinsize;

/// Whether the output has colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum When {
    /// On a terminal, unless NO_COLOR is set or TERM is dumb.
    #[default]
    Auto,
    /// Also in files and pipes.
    Always,
    /// Nowhere.
    Never,
}

/// The meaning of a colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Nothing.
    Plain,
    /// The name of a column.
    Heading,
    /// All is well.
    Good,
    /// Something to look at.
    Warning,
    /// Something that does not work.
    Bad,
    /// What to do.
    Hint,
}

impl Tone {
    fn style(self) -> Style {
        match self {
            Self::Plain => Style::new(),
            Self::Heading => Style::new().bold(),
            Self::Good => AnsiColor::Green.on_default(),
            Self::Warning => AnsiColor::Yellow.on_default().bold(),
            Self::Bad => AnsiColor::Red.on_default().bold(),
            Self::Hint => AnsiColor::Cyan.on_default(),
        }
    }
}

/// Has the process use colours as `--color` says. `Auto` goes by what each stream is, and by
/// NO_COLOR, CLICOLOR, CLICOLOR_FORCE and TERM.
pub(crate) fn choose(when: When) {
    match when {
        When::Auto => ColorChoice::Auto,
        When::Always => ColorChoice::Always,
        When::Never => ColorChoice::Never,
    }
    .write_global();
}

/// The value of `--color` among the arguments of a command, for help and errors that come before
/// the arguments are understood.
pub(crate) fn asked_for(args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> When {
    let mut when = When::Auto;
    let mut is_next = false;
    for arg in args {
        let Some(arg) = arg.as_ref().to_str() else {
            continue;
        };
        let value = if is_next {
            Some(arg)
        } else {
            arg.strip_prefix("--color=")
        };
        if let Some(value) = value.and_then(|value| When::from_str(value, false).ok()) {
            when = value;
        }
        is_next = arg == "--color";
        if arg == "--" {
            break;
        }
    }
    when
}

/// `text` as it looks on stdout.
pub(crate) fn on_stdout(tone: Tone, text: &str) -> Cow<'_, str> {
    painted(tone, text, stdout_has_colours())
}

/// How many columns stdout has: those of the terminal, or 80.
pub(crate) fn stdout_width() -> usize {
    let columns = tcgetwinsize(io::stdout()).map_or(0, |size| size.ws_col);
    if columns == 0 { 80 } else { columns.into() }
}

/// `text` as it looks on stderr.
pub(crate) fn on_stderr(tone: Tone, text: &str) -> Cow<'_, str> {
    let colours = AutoStream::choice(&io::stderr()) != ColorChoice::Never;
    painted(tone, text, colours)
}

/// Whether stdout shows colours.
pub(crate) fn stdout_has_colours() -> bool {
    AutoStream::choice(&io::stdout()) != ColorChoice::Never
}

fn painted(tone: Tone, text: &str, colours: bool) -> Cow<'_, str> {
    if !colours || tone == Tone::Plain {
        return text.into();
    }
    let style = tone.style();
    format!("{style}{text}{style:#}").into()
}

/// Whether stderr is a terminal on which a line can be written over.
pub(crate) fn stderr_is_redrawn() -> bool {
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    !dumb && io::stderr().is_terminal()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_ends_where_its_text_ends() {
        assert_eq!(
            painted(Tone::Bad, "expired", true),
            "\u{1b}[1m\u{1b}[31mexpired\u{1b}[0m"
        );
        assert_eq!(painted(Tone::Bad, "expired", false), "expired");
        assert_eq!(painted(Tone::Plain, "valid", true), "valid");
    }

    #[test]
    fn the_option_is_found_before_the_rest_is_understood() {
        for (args, when) in [
            (&["tpmssh", "--color=never", "list"][..], When::Never),
            (&["tpmssh", "nonsense", "--color", "always"], When::Always),
            (&["tpmssh", "--color", "blue"], When::Auto),
            (&["tpmssh", "export", "--", "--color=never"], When::Auto),
            (&["tpmssh", "--color"], When::Auto),
        ] {
            assert_eq!(asked_for(args), when, "{args:?}");
        }
    }
}
