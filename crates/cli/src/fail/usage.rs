//! Wrong command lines, in the form of all other errors.

use std::ffi::OsString;

use clap::CommandFactory;
use clap::error::ErrorKind;

use crate::args::Cli;
use crate::show::style;

/// What clap's `--help` and `--version` print, or its complaint in one line with a hint.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Text for stdout, which was asked for.
    Text(String),
    /// Help for stderr, because there was no command at all.
    NoCommand(String),
    /// A complaint.
    Wrong {
        /// The error.
        error: String,
        /// The hint.
        hint: String,
    },
}

/// Reads clap's answer to the command line `args`, of which the program's name is the first.
pub(crate) fn answer(err: &clap::Error, args: &[OsString]) -> Answer {
    let text = err.render().to_string();
    match err.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion if style::stdout_has_colours() => {
            Answer::Text(err.render().ansi().to_string())
        }
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Answer::Text(text),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => Answer::NoCommand(text),
        _ => complaint(&text, &page(args)),
    }
}

/// clap writes paragraphs: the error, perhaps tips, the usage, where to find more.
fn complaint(text: &str, page: &str) -> Answer {
    let mut paragraphs = text.split("\n\n").map(str::trim);
    let error = paragraphs.next().unwrap_or_default();
    let error = error.strip_prefix("error: ").unwrap_or(error);
    let error = error.split_whitespace().collect::<Vec<_>>().join(" ");
    let tip = paragraphs.find_map(|paragraph| paragraph.strip_prefix("tip: "));
    let tip = tip.and_then(|tip| tip.lines().next()).map(str::to_owned);
    let hint = better_hint(&error, page).map(str::to_owned).or(tip);
    Answer::Wrong {
        error,
        hint: hint.unwrap_or_else(|| format!("see {page} --help")),
    }
}

/// The command whose help page says what is right, such as `tpmssh ca sign-user`.
fn page(args: &[OsString]) -> String {
    let program = Cli::command();
    let mut command = &program;
    let mut page = command.get_name().to_owned();
    let mut words = args.iter().skip(1).filter_map(|arg| arg.to_str());
    while let Some(word) = words.next() {
        if ["--token", "--tcti", "--color"].contains(&word) {
            words.next();
        } else if let Some(sub) = command.find_subcommand(word) {
            page = format!("{page} {}", sub.get_name());
            command = sub;
        } else if !word.starts_with('-') {
            break;
        }
    }
    page
}

/// A better hint than clap's similar word, if that would mislead.
fn better_hint(error: &str, page: &str) -> Option<&'static str> {
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
    let unknown = error.strip_prefix("unrecognized subcommand '");
    if let Some(word) = unknown.and_then(|rest| rest.strip_suffix('\'')) {
        // Below a group of commands the word means a command of the group.
        return meant(word).filter(|_| page == "tpmssh");
    }
    if error.starts_with("invalid value 'ed25519'") || error.starts_with("invalid value 'dsa'") {
        return Some(
            "TPMs make no such keys; leave -t out for ecdsa, which every current server takes",
        );
    }
    None
}

/// What people mean by a word that is no command here, but one of other programs.
fn meant(word: &str) -> Option<&'static str> {
    Some(match word {
        "gen" | "generate" | "create" | "new" | "make" => "a key is made by tpmssh keygen",
        "init" | "start" | "begin" => "begin with tpmssh setup",
        "status" | "check" | "health" => {
            "tpmssh doctor looks at everything, tpmssh agent status at the agent"
        }
        "version" => "tpmssh --version shows the version",
        "show" | "keys" | "key" => "tpmssh list shows the keys",
        "rm" | "remove" | "del" => "tpmssh delete KEY deletes a key",
        "mv" => "tpmssh rename KEY LABEL renames a key",
        "add" => "the agent serves all keys; tpmssh cert add keeps a certificate",
        "login" | "ssh" | "connect" => "tpmssh agent install has ssh use the keys",
        "passwd" | "change-pin" | "pin" => "tpmssh token change-pin changes the PIN",
        "uninstall" => {
            "tpmssh agent uninstall, tpmssh host remove and tpmssh git setup --unset undo what was set up"
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use testing::assert_matches;

    use super::*;

    fn wrong(line: &str) -> (String, String) {
        let err = Cli::try_parse_from(line.split(' ')).expect_err(line);
        let args: Vec<_> = line.split(' ').map(OsString::from).collect();
        match answer(&err, &args) {
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
                "tpmssh gen",
                "unrecognized subcommand 'gen'",
                "a key is made by tpmssh keygen",
            ),
            (
                "tpmssh version",
                "unrecognized subcommand 'version'",
                "tpmssh --version shows the version",
            ),
            (
                "tpmssh cert rm 1",
                "unrecognized subcommand 'rm'",
                "a similar subcommand exists: 'remove'",
            ),
            (
                "tpmssh keygem",
                "unrecognized subcommand 'keygem'",
                "a similar subcommand exists: 'keygen'",
            ),
            (
                "tpmssh keygen -b x",
                "invalid value 'x' for '--bits <BITS>': invalid digit found in string",
                "see tpmssh keygen --help",
            ),
            (
                "tpmssh --token ca ca sign-user key -I i -n n -V 1d",
                "invalid value '1d' for '--validity <SPAN>': it takes [FROM:]TO, each like +8h, \
                 +52w1d, -5m, 20270101 or 20270101120000Z",
                "see tpmssh ca sign-user --help",
            ),
            (
                "tpmssh tpm lockout set --recovery x",
                "invalid value 'x' for '--recovery <TIME>': a time is seconds or parts with s, m, \
                 h, d, w: 90, 1h30m, 1w",
                "see tpmssh tpm lockout set --help",
            ),
            (
                "tpmssh token rename",
                "the following required arguments were not provided: <LABEL>",
                "see tpmssh token rename --help",
            ),
        ] {
            assert_eq!(wrong(line), (error.to_owned(), hint.to_owned()), "{line}");
        }
    }

    #[test]
    fn words_of_other_programs_are_answered_with_the_command_here() {
        let mut hints = std::collections::BTreeSet::new();
        for (words, hint) in [
            (
                "gen generate create new make",
                "a key is made by tpmssh keygen",
            ),
            ("init start begin", "begin with tpmssh setup"),
            (
                "status check health",
                "tpmssh doctor looks at everything, tpmssh agent status at the agent",
            ),
            ("show keys key", "tpmssh list shows the keys"),
            ("rm remove del", "tpmssh delete KEY deletes a key"),
            ("mv", "tpmssh rename KEY LABEL renames a key"),
            (
                "add",
                "the agent serves all keys; tpmssh cert add keeps a certificate",
            ),
            (
                "login ssh connect",
                "tpmssh agent install has ssh use the keys",
            ),
            (
                "passwd change-pin pin",
                "tpmssh token change-pin changes the PIN",
            ),
            (
                "uninstall",
                "tpmssh agent uninstall, tpmssh host remove and tpmssh git setup --unset undo what was set up",
            ),
        ] {
            for word in words.split(' ') {
                let error = format!("unrecognized subcommand '{word}'");
                assert_eq!(wrong(&format!("tpmssh {word}")), (error, hint.to_owned()));
            }
            hints.insert(hint);
        }
        // What a hint names is there.
        let program = Cli::command();
        for hint in hints {
            for name in hint.split("tpmssh ").skip(1) {
                let mut command = &program;
                for word in name.split([' ', ',']).take(2) {
                    let sub = command.find_subcommand(word);
                    let is_group = command.has_subcommands();
                    command = sub.unwrap_or(command);
                    assert!(sub.is_some() || !is_group, "{hint}: {word}");
                }
            }
        }
    }

    /// `delete KEY` would delete the key, and not its certificate or token.
    #[test]
    fn a_word_below_a_group_is_not_taken_for_one_of_the_first_level() {
        for line in ["tpmssh token rm", "tpmssh agent start", "tpmssh ca new"] {
            let (_, hint) = wrong(line);
            let misled = ["tpmssh delete", "tpmssh setup", "tpmssh keygen"];
            assert!(!misled.iter().any(|it| hint.contains(it)), "{line}: {hint}");
        }
    }

    #[test]
    fn help_that_was_asked_for_is_data() {
        let err = Cli::try_parse_from(["tpmssh", "--help"]).expect_err("help");
        assert_matches!(answer(&err, &[]), Answer::Text(_));
        let err = Cli::try_parse_from(["tpmssh"]).expect_err("help");
        assert_matches!(answer(&err, &[]), Answer::NoCommand(_));
    }
}
