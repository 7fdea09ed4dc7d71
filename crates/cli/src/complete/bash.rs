//! Completion for bash: splits the line that was typed, and quotes the candidates for it.
//!
//! Bash itself splits a line at `@`, `:` and `=` (`COMP_WORDBREAKS`), which are in many labels,
//! and leaves quotes in the words. So the program splits the line.

use std::ffi::OsString;

use clap::Command;

use super::{Offer, offers};

/// The candidates for `word`, which is what bash takes for the last word of `line`.
///
/// `line` is all that was typed up to the cursor.
pub(crate) fn words(program: Command, line: &str, word: &str) -> Vec<String> {
    let typed = Typed::of(line);
    let offers = offers(program, typed.words.iter().map(OsString::from).collect());
    // The part of the last word that bash takes for words of their own, and leaves alone.
    let kept = typed.last.strip_suffix(word).unwrap_or_default();
    let kept = Typed::of(kept).words.pop().unwrap_or_default();
    let put = |offer: Offer| {
        let rest = offer.value.strip_prefix(&kept)?;
        put_in(typed.quote, rest)
    };
    offers.into_iter().filter_map(put).collect()
}

/// A line as a shell splits it, without what expands.
struct Typed<'a> {
    /// Without quotes; the last one is being typed, and may be empty.
    words: Vec<String>,
    /// The last word with its quotes. A quote that is still open is left out.
    last: &'a str,
    /// A quote that is still open.
    quote: Option<char>,
}

impl<'a> Typed<'a> {
    fn of(line: &'a str) -> Self {
        let mut words = vec![String::new()];
        let (mut start, mut quote) = (0, None);
        let mut chars = line.char_indices();
        while let Some((at, c)) = chars.next() {
            let word = words.last_mut().expect("there is always one");
            match (quote, c) {
                (None, ' ' | '\t' | '\n') => {
                    if !word.is_empty() || at > start {
                        words.push(String::new());
                    }
                    start = at + c.len_utf8();
                }
                // Another command begins.
                (None, ';' | '|' | '&' | '(') => {
                    words = vec![String::new()];
                    start = at + c.len_utf8();
                }
                (None, '\'' | '"') => {
                    quote = Some(c);
                    if word.is_empty() {
                        start = at + c.len_utf8();
                    }
                }
                (Some(open), c) if c == open => quote = None,
                (None | Some('"'), '\\') => word.extend(chars.next().map(|(_, c)| c)),
                (_, c) => word.push(c),
            }
        }
        Self {
            words,
            last: &line[start..],
            quote,
        }
    }
}

/// `text` as it is typed behind an open quote, or behind none; `None` if it would end the quote or
/// something in it would be expanded. Labels come from other people as well.
fn put_in(quote: Option<char>, text: &str) -> Option<String> {
    let means_itself = match quote {
        None => return Some(quoted(text)),
        Some('"') => !text.contains(['"', '$', '`', '\\', '!']),
        Some(_) => !text.contains('\''),
    };
    means_itself.then(|| text.to_owned())
}

/// `text` as bash reads it outside of quotes.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for c in text.chars() {
        let plain = c.is_alphanumeric() || "/._-+,:@%=^".contains(c) || !c.is_ascii();
        if !plain {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::args::Cli;

    fn words(line: &str, word: &str) -> Vec<String> {
        super::words(Cli::command(), line, word)
    }

    fn split(line: &str) -> Vec<String> {
        Typed::of(line).words
    }

    #[test]
    fn a_line_is_split_as_a_shell_splits_it() {
        for (line, words) in [
            ("tpmssh ", &["tpmssh", ""][..]),
            ("tpmssh  export", &["tpmssh", "export"]),
            (
                "tpmssh export anna@laptop\\ ke",
                &["tpmssh", "export", "anna@laptop ke"],
            ),
            (
                "tpmssh export 'anna@laptop k",
                &["tpmssh", "export", "anna@laptop k"],
            ),
            ("tpmssh export \"a\\\"b", &["tpmssh", "export", "a\"b"]),
            ("tpmssh export 'a\\", &["tpmssh", "export", "a\\"]),
            ("tpmssh sign -k '' ", &["tpmssh", "sign", "-k", "", ""]),
            ("cd /tmp; tpmssh li", &["tpmssh", "li"]),
            ("true && tpmssh li", &["tpmssh", "li"]),
            ("", &[""]),
            ("tpmssh a\\", &["tpmssh", "a"]),
        ] {
            assert_eq!(split(line), words, "{line}");
        }
    }

    /// bash has `laptop` for the word after `anna@`.
    #[test]
    fn only_the_part_that_bash_calls_a_word_is_replaced() {
        assert_eq!(words("tpmssh key", "key"), ["keygen"]);
        assert_eq!(words("tpmssh keygen --type=r", "r"), ["rsa"]);
        assert_eq!(words("tpmssh keygen --type=", ""), ["ecdsa", "rsa"]);
        assert_eq!(words("tpmssh 'key", "key"), ["keygen"]);
    }

    #[test]
    fn a_name_cannot_be_a_command() {
        assert_eq!(quoted("anna@laptop key"), "anna@laptop\\ key");
        assert_eq!(quoted("$(rm x)`y`;\"'"), "\\$\\(rm\\ x\\)\\`y\\`\\;\\\"\\'");
        assert_eq!(quoted("~*?[!#"), "\\~\\*\\?\\[\\!\\#");
        assert_eq!(quoted("clé 鍵"), "clé\\ 鍵");
        // Behind an open quote nothing can be quoted.
        for (quote, text, put) in [
            ('"', "anna's key", true),
            ('"', "$(touch x)", false),
            ('"', "`touch x`", false),
            ('"', "a\"; touch x", false),
            ('"', "a\\", false),
            ('"', "!!", false),
            ('\'', "$(touch x)!", true),
            ('\'', "a'; touch x", false),
        ] {
            let expected = put.then(|| text.to_owned());
            assert_eq!(put_in(Some(quote), text), expected, "{quote}{text}");
        }
    }
}
