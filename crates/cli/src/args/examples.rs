//! Examples for each help page and manual page: a command, and what it does.

use std::collections::HashMap;
use std::fmt::Write;

use clap::Command;

/// A command line that works as it stands, up to names, and what it is for.
pub(crate) type Example = (&'static str, &'static str);

/// Sections: the words of a command after `tpmssh`, and below them its examples.
const EXAMPLES: &str = include_str!("examples.txt");

/// All of them, by the words of their command after `tpmssh`.
fn sections() -> impl Iterator<Item = (&'static str, Vec<Example>)> {
    let sections = EXAMPLES.split("\n\n").skip(1);
    sections.filter_map(|section| {
        let (path, lines) = section.split_once('\n')?;
        let example = |line: &'static str| line.trim_start().split_once("  # ");
        Some((path, lines.lines().filter_map(example).collect()))
    })
}

/// The examples of a command, by the words after `tpmssh`.
pub(crate) fn of(path: &str) -> Vec<Example> {
    let found = sections().find(|(name, _)| *name == path);
    found.map(|(_, examples)| examples).unwrap_or_default()
}

/// `command` with the examples of it and its subcommands below their help.
pub(crate) fn added(command: Command) -> Command {
    // Every start of the program comes here, so the text is read once and not for each command.
    with_path(command, "", &sections().collect())
}

fn with_path(command: Command, path: &str, all: &HashMap<&'static str, Vec<Example>>) -> Command {
    let command = match all.get(path) {
        None => command,
        Some(examples) => command.after_help(text(examples)),
    };
    command.mut_subcommands(|sub| {
        let name = sub.get_name().to_owned();
        with_path(sub, format!("{path} {name}").trim_start(), all)
    })
}

/// A line each, with the comments below each other where both fit 80 columns.
fn text(examples: &[Example]) -> String {
    let width = examples
        .iter()
        .map(|(line, _)| line.len())
        .max()
        .unwrap_or(0);
    let fits = |(_, what): &Example| 2 + width + 4 + what.len() <= 80;
    let beside = examples.iter().all(fits);
    let mut text = String::from("Examples:");
    for (line, what) in examples {
        let _ = match beside {
            true => write!(text, "\n  {line:width$}  # {what}"),
            false => write!(text, "\n  # {what}\n  {line}"),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::{CommandFactory, Parser};

    use super::*;
    use crate::args::Cli;

    /// The commands that do something, by the words after `tpmssh`.
    fn leaves(command: &Command, path: &str, all: &mut BTreeSet<String>) {
        let shown = command.get_subcommands().filter(|sub| !sub.is_hide_set());
        let mut shown = shown.filter(|sub| sub.get_name() != "help").peekable();
        if shown.peek().is_none() || !command.is_subcommand_required_set() && !path.is_empty() {
            all.insert(path.to_owned());
        }
        for sub in shown {
            leaves(sub, format!("{path} {}", sub.get_name()).trim_start(), all);
        }
    }

    #[test]
    fn every_command_has_examples_and_no_other() {
        let mut all = BTreeSet::new();
        leaves(&Cli::command(), "", &mut all);
        all.remove("git program"); // what git runs, and nobody else
        let with: BTreeSet<_> = sections().map(|(path, _)| path.to_owned()).collect();
        assert_eq!(with, all);
    }

    #[test]
    fn every_example_is_a_command_line_and_fits_a_terminal() {
        for (path, examples) in sections() {
            for (line, _) in &examples {
                let words = line.rsplit("tpmssh ").next().unwrap();
                let words = words.trim_end_matches(")\"").split(" >").next().unwrap();
                let words = words.split(' ').map(|word| word.trim_matches('\''));
                let full = std::iter::once("tpmssh").chain(words);
                if let Err(err) = Cli::try_parse_from(full) {
                    panic!("{line}: {err}");
                }
                assert!(line.contains(path), "{line} is no example of {path}");
            }
            for line in text(&examples).lines() {
                assert!(line.chars().count() <= 80, "{line}");
            }
        }
    }
}
