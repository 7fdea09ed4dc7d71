//! The parts that manual pages are made of.

use roff::{Inline, Roff, roman};

/// When the pages were last changed.
pub(super) const DATE: &str = "2026-11-28";

/// The lines with which a page begins.
pub(super) fn title(roff: &mut Roff, name: &str, section: &str) {
    let source = concat!("tpmssh ", env!("CARGO_PKG_VERSION"));
    let manual = match section {
        "1" => "User Commands",
        _ => "File Formats",
    };
    roff.control("TH", [&name.to_uppercase(), section, DATE, source, manual]);
}

/// The section NAME.
pub(super) fn named(roff: &mut Roff, name: &str, about: &str) {
    let mut about = about.to_owned();
    // A word with which a sentence begins, unless it is an acronym.
    let is_acronym = about.starts_with("SSH");
    if let Some(first) = about.get_mut(..1).filter(|_| !is_acronym) {
        first.make_ascii_lowercase();
    }
    roff.control("SH", ["NAME"]);
    roff.text([roman(format!("{name} - {about}"))]);
}

/// Text whose paragraphs are between empty lines.
pub(super) fn paragraphs(roff: &mut Roff, text: &str) {
    let paragraphs = text.split("\n\n").filter(|it| !it.is_empty());
    for (number, paragraph) in paragraphs.enumerate() {
        if number > 0 {
            roff.control("PP", []);
        }
        roff.text([roman(paragraph.replace('\n', " "))]);
    }
}

/// A term and what it means.
pub(super) fn entry<const N: usize>(roff: &mut Roff, term: [Inline; N], meaning: &str) {
    roff.control("TP", []);
    roff.text(term.to_vec());
    roff.text([roman(meaning)]);
}

/// What a command line does, and the line itself.
pub(super) fn example(roff: &mut Roff, what: &str, lines: &str) {
    roff.control("PP", []);
    roff.text([roman(format!("{}:", what.trim_end_matches('.')))]);
    roff.control("PP", []);
    roff.control("RS", ["4"]);
    roff.control("nf", []);
    for line in lines.lines() {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
    roff.control("RE", []);
}
