//! Completion of command lines: what a shell offers when a person presses Tab.
//!
//! The scripts of the shells (`tpmssh completions SHELL`) ask the program itself, by the hidden
//! command `tpmssh complete`, so that it can offer the names of tokens, keys and certificates. It
//! reads the store for that, and asks neither the TPM nor a person.

pub(crate) mod bash;
mod names;

use std::ffi::{OsStr, OsString};

use clap::builder::ValueHint;
use clap::{Arg, Command};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate, complete};

/// The candidates for the last word of a command line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    /// The whole word.
    pub(crate) value: String,
    /// A description in a few words; may be empty.
    pub(crate) help: String,
}

/// The candidates for the last of `words`. The first word is the program's name; `program` has the
/// definitions of its commands.
pub(crate) fn offers(program: Command, words: Vec<OsString>) -> Vec<Offer> {
    let Some(last) = words.len().checked_sub(1) else {
        return Vec::new();
    };
    // Options are offered only after a `-`.
    let begins_option = words[last].to_string_lossy().starts_with('-');
    let cwd = std::env::current_dir().ok();
    let mut command = with_names(program);
    let candidates = complete(&mut command, words, last, cwd.as_deref()).unwrap_or_default();
    let shown = candidates.into_iter().filter(|it| !it.is_hide_set());
    let offers = shown.filter_map(|it| offer(&it));
    offers
        .filter(|offer| begins_option || !offer.value.starts_with('-'))
        .collect()
}

/// The candidate, if a person can type and see it: a name with a line feed would be two lines.
fn offer(candidate: &CompletionCandidate) -> Option<Offer> {
    let value = candidate.get_value().to_str()?.to_owned();
    let help = candidate.get_help().map(ToString::to_string);
    let help = help.unwrap_or_default();
    let help = help.lines().next().unwrap_or_default().to_owned();
    let unseen = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    (!value.contains(unseen) && !help.contains(unseen)).then_some(Offer { value, help })
}

/// Has each argument that takes a name offer the existing names. Files are offered only for
/// arguments that take a file.
fn with_names(command: Command) -> Command {
    command.mut_args(with_values).mut_subcommands(with_names)
}

fn with_values(arg: Arg) -> Arg {
    if !matches!(arg.get_value_hint(), ValueHint::Unknown) {
        return arg; // files
    }
    if !arg.get_action().takes_values() || !arg.get_possible_values().is_empty() {
        return arg;
    }
    let name = arg
        .get_value_names()
        .and_then(|names| names.first())
        .map_or_else(|| arg.get_id().as_str().to_uppercase(), ToString::to_string);
    let names: fn() -> Vec<Offer> = match (arg.get_id().as_str(), name.as_str()) {
        ("ca", _) => names::authorities,
        ("bits", _) => names::sizes,
        (_, "TOKEN") => names::tokens,
        (_, "KEY") => names::keys,
        (_, "CERTIFICATE") => names::certificates,
        _ => return arg.value_hint(ValueHint::Other),
    };
    arg.add(ArgValueCompleter::new(move |typed: &OsStr| {
        let typed = typed.to_string_lossy().into_owned();
        let names = names().into_iter();
        let fitting = names.filter(|offer| offer.value.starts_with(&typed));
        fitting
            .map(|offer| CompletionCandidate::new(offer.value).help(Some(offer.help.into())))
            .collect()
    }))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::args::Cli;

    fn values(line: &[&str]) -> Vec<String> {
        let words = line.iter().map(OsString::from).collect();
        let offers = offers(Cli::command(), words);
        offers.into_iter().map(|offer| offer.value).collect()
    }

    #[test]
    fn commands_options_and_fixed_values_are_offered() {
        assert_eq!(values(&["tpmssh", "key"]), ["keygen"]);
        assert_eq!(values(&["tpmssh", "token", "rem"]), ["remove-counter"]);
        assert_eq!(values(&["tpmssh", "keygen", "--ty"]), ["--type"]);
        assert_eq!(values(&["tpmssh", "keygen", "-t", ""]), ["ecdsa", "rsa"]);
        assert_eq!(values(&["tpmssh", "keygen", "-b", "3"]), ["384", "3072"]);
        let walls = ["counter", "lockout", "none"];
        assert_eq!(
            values(&["tpmssh", "token", "init", "--pin-wall", ""]),
            walls
        );
    }

    #[test]
    fn what_is_for_packagers_is_not_offered() {
        let all = values(&["tpmssh", ""]);
        for hidden in ["man", "completions", "complete"] {
            assert!(!all.iter().any(|it| it == hidden), "{all:?}");
        }
        assert!(all.iter().any(|it| it == "doctor"), "{all:?}");
    }

    #[test]
    fn no_file_is_offered_for_a_name() {
        assert_eq!(values(&["tpmssh", "keygen", "--label", ""]), [""; 0]);
        assert_eq!(values(&["tpmssh", "csr", "k", "--subject", ""]), [""; 0]);
    }
}
