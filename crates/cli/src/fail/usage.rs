//! Wrong command lines, in the form of all other errors.

use clap::error::ErrorKind;

/// What clap's `--help` and `--version` print, or its complaint in one line with a hint.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Text for stdout, which was asked for.
    Text(String),
    /// Help for stderr, because there was no command at all.
    NoCommand(String),
    /// A complaint.
    Wrong {
        /// What is wrong.
        error: String,
        /// What would be right.
        hint: String,
    },
}

/// Reads clap's answer to the command line.
pub(crate) fn answer(err: &clap::Error) -> Answer {
    let text = err.render().to_string();
    match err.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Answer::Text(text),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => Answer::NoCommand(text),
        _ => complaint(&text),
    }
}

/// clap writes paragraphs: the error, perhaps tips, the usage, where to find more.
fn complaint(text: &str) -> Answer {
    let mut paragraphs = text.split("\n\n").map(str::trim);
    let error = paragraphs.next().unwrap_or_default();
    let error = error.strip_prefix("error: ").unwrap_or(error);
    let error = error.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut hint = String::from("see tpmssh --help");
    for paragraph in paragraphs {
        if let Some(tip) = paragraph.strip_prefix("tip: ") {
            hint = tip.lines().next().unwrap_or_default().to_owned();
            break;
        }
        if let Some(usage) = paragraph.strip_prefix("Usage: ") {
            let words = usage.split_whitespace();
            let command: Vec<&str> = words
                .take_while(|word| word.starts_with(|c: char| c.is_ascii_lowercase()))
                .collect();
            hint = format!("see {} --help", command.join(" "));
        }
    }
    if let Some(better) = better_hint(&error) {
        hint = better.to_owned();
    }
    Answer::Wrong { error, hint }
}

/// What to say where the likeness of words misleads.
fn better_hint(error: &str) -> Option<&'static str> {
    let is_pin = [
        "--pin'",
        "--pin=",
        "--so-pin'",
        "--new-pin'",
        "--new-so-pin'",
    ];
    if is_pin.iter().any(|option| error.contains(option)) {
        return Some(
            "every user of this machine can read a command line; leave the PIN out to be asked, or use --pin-file FILE or --pin-fd FD",
        );
    }
    if error.starts_with("invalid value 'ed25519'") || error.starts_with("invalid value 'dsa'") {
        return Some(
            "TPMs make no such keys; leave -t out for ecdsa, which every current server takes",
        );
    }
    None
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::Cli;

    fn wrong(line: &str) -> (String, String) {
        let err = Cli::try_parse_from(line.split(' ')).expect_err(line);
        match answer(&err) {
            Answer::Wrong { error, hint } => (error, hint),
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn a_wrong_command_line_gets_one_line_and_one_hint() {
        for (line, error, hint) in [
            (
                "tpmssh keygen -t dsa",
                "invalid value 'dsa' for '--type <ALGORITHM>' [possible values: ecdsa, rsa]",
                "TPMs make no such keys; leave -t out for ecdsa, which every current server takes",
            ),
            (
                "tpmssh keygen --pin 1234",
                "unexpected argument '--pin' found",
                "every user of this machine can read a command line; leave the PIN out to be asked, or use --pin-file FILE or --pin-fd FD",
            ),
            (
                "tpmssh keygem",
                "unrecognized subcommand 'keygem'",
                "a similar subcommand exists: 'keygen'",
            ),
            (
                "tpmssh keygen -b x",
                "invalid value 'x' for '--bits <BITS>': invalid digit found in string",
                "see tpmssh --help",
            ),
        ] {
            assert_eq!(wrong(line), (error.to_owned(), hint.to_owned()), "{line}");
        }
    }

    #[test]
    fn help_that_was_asked_for_is_data() {
        let err = Cli::try_parse_from(["tpmssh", "--help"]).expect_err("help");
        assert!(matches!(answer(&err), Answer::Text(_)));
        let err = Cli::try_parse_from(["tpmssh"]).expect_err("help");
        assert!(matches!(answer(&err), Answer::NoCommand(_)));
    }
}
