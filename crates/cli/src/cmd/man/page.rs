//! The manual page of a command.

use clap::Command;
use clap_mangen::Man;
use roff::{Inline, Roff, bold, italic, roman};

use super::parts::{entry, example, named, paragraphs, title};
use super::sections;
use crate::args::examples;

/// The subcommands that a person uses.
pub(super) fn shown(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|sub| !sub.is_hide_set())
}

/// The page `name`(1) of a command; `path` has its words after `tpmssh`.
///
/// # Errors
///
/// None in practice, because it writes to memory.
pub(super) fn of(command: &Command, name: &str, path: &str) -> std::io::Result<String> {
    let mut roff = Roff::new();
    title(&mut roff, name, "1");
    let about = command.get_about().map(ToString::to_string);
    let about = about.unwrap_or_default();
    let about = about.trim_end_matches('.');
    named(&mut roff, name, about);

    roff.control("SH", ["SYNOPSIS"]);
    synopsis(&mut roff, command);

    roff.control("SH", ["DESCRIPTION"]);
    let long = command.get_long_about().map(ToString::to_string);
    let long = long.unwrap_or_default();
    let rest = long.split_once("\n\n").map_or("", |(_, rest)| rest);
    paragraphs(&mut roff, &format!("{about}.\n\n{rest}"));

    let mut text = roff.to_roff();
    if shown(command).next().is_some() {
        let mut roff = Roff::new();
        roff.control("SH", ["COMMANDS"]);
        for sub in shown(command) {
            let about = sub.get_about().map(ToString::to_string);
            entry(
                &mut roff,
                [bold(format!("{name}-{}", sub.get_name())), roman("(1)")],
                &about.unwrap_or_default(),
            );
        }
        text += &roff.to_roff();
    }
    text += &options(command, path.is_empty())?;

    let mut roff = Roff::new();
    if !path.is_empty() {
        roff.control("PP", []);
        roff.text([
            roman("Besides, "),
            bold("--token"),
            roman(", "),
            bold("--json"),
            roman(", "),
            bold("--color"),
            roman(" and "),
            bold("--tcti"),
            roman(" are those of "),
            bold("tpmssh"),
            roman("(1)."),
        ]);
    }
    if !examples::of(path).is_empty() {
        roff.control("SH", ["EXAMPLES"]);
        for (line, what) in examples::of(path) {
            let mut what = what.to_owned();
            if let Some(first) = what.get_mut(..1) {
                first.make_ascii_uppercase();
            }
            example(&mut roff, &what, line);
        }
    }
    sections::add(&mut roff, path);
    text += &roff.to_roff();
    Ok(text)
}

/// The options of a command; those of every command only on the first page.
fn options(command: &Command, with_global: bool) -> std::io::Result<String> {
    let mut command = command.clone();
    if !with_global {
        command = command.mut_args(|arg| {
            let is_global = arg.is_global_set();
            arg.hide(is_global)
        });
    }
    let mut text = Vec::new();
    Man::new(command).render_options_section(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The forms of the command, as the help has them.
fn synopsis(roff: &mut Roff, command: &Command) {
    let usage = command.clone().render_usage().to_string();
    for (number, line) in usage.trim_start_matches("Usage: ").lines().enumerate() {
        if number > 0 {
            roff.control("br", []);
        }
        let inlines = line.trim().split(' ').map(|word| {
            let plain = word.starts_with(|c: char| c.is_ascii_lowercase());
            let word = format!("{word} ");
            if plain { bold(word) } else { italic(word) }
        });
        roff.text(inlines.collect::<Vec<Inline>>());
    }
}
