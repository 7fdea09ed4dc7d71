//! Showing text of other people and programs safely.
//!
//! Labels, names of hosts and users, comments and namespaces come from other programs and other
//! people. Shown unchanged, they could end a line, control a terminal, turn the writing direction,
//! close the quotation marks around them, hide characters, or push the rest of a message out of a
//! window. Each prompt, list, log and message shows them through these functions.

use std::borrow::Cow;

use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};

/// The most characters that [`shown`] and [`quoted`] return; all characters of an escape count.
pub const MAX_SHOWN: usize = 64;

/// The most marks (accents, vowel signs) on one letter that are shown. Living scripts use three.
const MAX_MARKS: usize = 3;

/// `text` as a part of a line: at most [`MAX_SHOWN`] characters, all of them visible.
///
/// Characters that are not [`is_visible`] are spelled as Rust spells them (`\n`, `\u{202e}`).
/// Backslashes and double quotation marks of any script are escaped, so that the result can
/// stand between quotation marks. A text that was cut ends in `…`.
///
/// ```
/// use ssh_format::text::shown;
///
/// assert_eq!(shown("clé d'été 鍵"), "clé d'été 鍵");
/// assert_eq!(shown("work\" for \u{202e}root"), r#"work\" for \u{202e}root"#);
/// assert_eq!(shown(&"x".repeat(100)).chars().count(), 64);
/// ```
#[must_use]
pub fn shown(text: &str) -> String {
    let mut out = String::new();
    // How many characters `out` has, and how much of it leaves room for the `…` of a cut.
    let (mut count, mut fits) = (0, 0);
    let mut marks = Marks::default();
    for c in text.chars() {
        if count < MAX_SHOWN {
            fits = out.len();
        }
        let end = out.len();
        if marks.is_seen(c) {
            match c {
                '"' | '\\' => out.extend(['\\', c]),
                c if is_double_quote(c) => out.extend(c.escape_unicode()),
                c => out.push(c),
            }
        } else {
            out.extend(c.escape_default());
        }
        count += out[end..].chars().count();
        if count > MAX_SHOWN {
            out.truncate(fits);
            out.push('…');
            break;
        }
    }
    out
}

/// [`shown`] between quotation marks, which nothing in `text` can close.
#[must_use]
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", shown(text))
}

/// A message of this program as one line, for error messages that quote other people's text.
/// Characters that are not [`is_visible`] are escaped. The others stay, quotation marks included.
#[must_use]
pub fn one_line(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut marks = Marks::default();
    for c in text.chars() {
        if marks.is_seen(c) {
            out.push(c);
        } else {
            out.extend(c.escape_default());
        }
    }
    Cow::Owned(out)
}

/// Makes `text` safe to stand at the end of an `authorized_keys` line.
///
/// A comment is often a label that another person chose. A line feed in it would start a second
/// line, which is a second key. Each character that is not [`is_visible`] becomes `?`, because this
/// format has no escapes. Spaces around the text are removed, because readers remove them as well.
pub(crate) fn sanitize(text: &str) -> String {
    text.trim()
        .chars()
        .map(|c| if is_visible(c) { c } else { '?' })
        .collect()
}

/// An error and its causes, outermost first, as one line that is safe to show. If an error only
/// repeats its cause, its text is there once.
///
/// ```
/// let cause = std::io::Error::other("disk\nfull");
/// assert_eq!(ssh_format::text::error_line(&cause), "disk\\nfull");
/// ```
#[must_use]
pub fn error_line(err: &dyn std::error::Error) -> String {
    let mut line = err.to_string();
    let mut next = err.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !line.ends_with(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        next = cause.source();
    }
    one_line(&line).into_owned()
}

/// Whether `c` is visible: a letter, mark, digit, symbol, or the ASCII space.
///
/// Control and format characters, all other separators and spaces, unassigned and private
/// characters, enclosing marks, which are drawn over their neighbours, and characters that are
/// drawn as nothing are not visible.
///
/// # Source
///
/// Unicode Standard Annex 44, `General_Category` and `Default_Ignorable_Code_Point`.
#[must_use]
pub fn is_visible(c: char) -> bool {
    use GeneralCategory as Category;
    if c.is_ascii() {
        return !c.is_ascii_control();
    }
    match c.general_category() {
        Category::Control
        | Category::Format
        | Category::LineSeparator
        | Category::ParagraphSeparator
        | Category::SpaceSeparator
        | Category::Surrogate
        | Category::PrivateUse
        | Category::Unassigned
        | Category::EnclosingMark => false,
        _ => !is_ignorable(c) && !is_blank(c),
    }
}

/// Whether `c` has the property `Default_Ignorable_Code_Point` and is not of a category that
/// [`is_visible`] refuses: letters and marks that are drawn as nothing.
///
/// The ranges contain the code points that are reserved for this purpose, so later versions of
/// Unicode do not extend them.
fn is_ignorable(c: char) -> bool {
    matches!(c,
        '\u{34f}'                      // combining grapheme joiner
        | '\u{115f}' | '\u{1160}'      // Hangul fillers
        | '\u{17b4}' | '\u{17b5}'      // inherent vowels of Khmer
        | '\u{180b}'..='\u{180f}'      // variation selectors of Mongolian
        | '\u{3164}' | '\u{ffa0}'      // Hangul fillers
        | '\u{fe00}'..='\u{fe0f}'      // variation selectors
        | '\u{e0000}'..='\u{e0fff}') // tags, more variation selectors
}

/// Symbols that are drawn empty: the Braille pattern without dots, the musical null notehead, the
/// Khitan filler, the object replacement character.
fn is_blank(c: char) -> bool {
    matches!(c, '\u{2800}' | '\u{1d159}' | '\u{16fe4}' | '\u{fffc}')
}

/// Whether `c` could be taken for the quotation mark `"`.
///
/// # Source
///
/// Unicode's `PropList`, `Quotation_Mark`, those of them that are double and upright or curly;
/// Unicode Technical Standard 39, `confusables`, for U+0022.
fn is_double_quote(c: char) -> bool {
    matches!(c,
        '"' | '\u{2ba}' | '\u{2dd}' | '\u{2ee}' | '\u{2f6}' | '\u{5f2}' | '\u{5f4}' | '\u{1cd3}'
        | '\u{201c}'..='\u{201f}' | '\u{2033}' | '\u{2036}' | '\u{2e42}' | '\u{3003}'
        | '\u{301d}'..='\u{301f}' | '\u{ff02}')
}

/// Counts the marks in a row. A mark needs a visible character before it, and many marks on one
/// letter are drawn over the lines above and below.
#[derive(Default)]
struct Marks {
    /// How many marks the character before has; `None` if there is no visible character before.
    count: Option<usize>,
}

impl Marks {
    /// Whether `c`, the next character, can be shown as it is.
    fn is_seen(&mut self, c: char) -> bool {
        if !is_visible(c) {
            self.count = None;
            return false;
        }
        let is_mark = !c.is_ascii() && c.general_category_group() == GeneralCategoryGroup::Mark;
        self.count = match (is_mark, self.count) {
            (false, _) => Some(0),
            (true, Some(count)) if count < MAX_MARKS => Some(count + 1),
            (true, _) => return false,
        };
        true
    }
}

/// A text as one word of a shell: quoted if it needs that.
///
/// # Source
///
/// POSIX.1-2017, Shell Command Language, section 2.2.
#[must_use]
pub fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ordinary_text_of_any_script_stays() {
        for text in ["anna@laptop key", "clé d'été", "ключ №1", "鍵 🔑"] {
            assert_eq!(sanitize(text), text);
        }
    }

    #[test]
    fn a_line_feed_cannot_add_a_second_key() {
        assert_eq!(sanitize("a\nssh-rsa AAAA evil"), "a?ssh-rsa AAAA evil");
        assert_eq!(sanitize("a\r\u{2028}b\u{85}c\0"), "a??b?c?");
    }

    #[test]
    fn a_terminal_is_not_reached_and_direction_is_not_turned() {
        assert_eq!(sanitize("\x1b[2Jx\u{9b}y\u{7f}"), "?[2Jx?y?");
        assert_eq!(sanitize("\u{202e}gol.exe\u{2069}"), "?gol.exe?");
    }

    #[test]
    fn spaces_around_are_dropped() {
        assert_eq!(sanitize("  a b \n"), "a b");
        assert_eq!(sanitize(" \t "), "");
    }

    /// One of each kind: controls, formats, separators, blanks, tags, unassigned, private.
    #[test]
    fn what_is_not_seen_is_spelled() {
        for hidden in [
            '\0',
            '\u{7f}',
            '\u{9b}',
            '\u{a0}',
            '\u{ad}',
            '\u{34f}',
            '\u{488}',
            '\u{61c}',
            '\u{115f}',
            '\u{1160}',
            '\u{17b4}',
            '\u{180e}',
            '\u{2003}',
            '\u{200b}',
            '\u{200d}',
            '\u{2028}',
            '\u{202e}',
            '\u{2064}',
            '\u{2066}',
            '\u{206f}',
            '\u{2800}',
            '\u{3000}',
            '\u{3164}',
            '\u{e000}',
            '\u{fe0f}',
            '\u{feff}',
            '\u{ffa0}',
            '\u{fff9}',
            '\u{fffc}',
            '\u{ffff}',
            '\u{1bca0}',
            '\u{1d159}',
            '\u{1d173}',
            '\u{e0001}',
            '\u{e0041}',
            '\u{e01ef}',
            '\u{e0fff}',
            '\u{10ffff}',
        ] {
            assert!(!is_visible(hidden), "{:x}", u32::from(hidden));
            let spelled: String = hidden.escape_default().collect();
            assert_eq!(shown(&format!("a{hidden}b")), format!("a{spelled}b"));
            assert_eq!(one_line(&format!("a{hidden}b")), format!("a{spelled}b"));
            assert_eq!(sanitize(&format!("a{hidden}b")), "a?b");
        }
        assert_eq!(shown("a\tb\r\nc"), r"a\tb\r\nc");
    }

    #[test]
    fn quotation_marks_and_backslashes_are_escaped_between_quotation_marks() {
        assert_eq!(quoted(r#"a", key "b"#), r#""a\", key \"b""#);
        assert_eq!(quoted(r"a\"), r#""a\\""#);
        assert_eq!(quoted("a\u{201d}b\u{ff02}"), r#""a\u{201d}b\u{ff02}""#);
        assert_eq!(quoted("d\u{2019}été"), "\"d\u{2019}été\"");
        assert_eq!(one_line(r#"no token "a" at C:\"#), r#"no token "a" at C:\"#);
    }

    #[test]
    fn long_text_is_cut_between_characters_and_never_within_an_escape() {
        for (text, expected) in [
            ("x".repeat(64), "x".repeat(64)),
            ("x".repeat(65), "x".repeat(63) + "…"),
            ("鍵".repeat(100_000), "鍵".repeat(63) + "…"),
            ("x".repeat(63) + "\n", "x".repeat(63) + "…"),
            ("x".repeat(62) + "\n", "x".repeat(62) + "\\n"),
            ("x".repeat(62) + "\na", "x".repeat(62) + "…"),
            ("\u{e0041}".repeat(9), "\\u{e0041}".repeat(7) + "…"),
        ] {
            assert_eq!(shown(&text), expected);
        }
    }

    /// A mark combines with the character before it, which may be our own quotation mark.
    #[test]
    fn marks_without_a_letter_and_heaps_of_them_are_spelled() {
        assert_eq!(shown("\u{338}a"), r"\u{338}a");
        assert_eq!(shown("-\u{338}"), "-\u{338}");
        assert_eq!(
            shown(&format!("a{}", "\u{301}".repeat(5))),
            "a\u{301}\u{301}\u{301}\\u{301}\\u{301}"
        );
        assert_eq!(shown("a\n\u{301}"), r"a\n\u{301}");
    }

    proptest! {
        #[test]
        fn whatever_comes_in_one_line_comes_out(text in any::<String>()) {
            let comment = sanitize(&text);
            prop_assert!(comment.chars().all(is_visible));
            prop_assert_eq!(sanitize(&comment), comment);
            let line = one_line(&text);
            prop_assert!(line.chars().all(is_visible));
            prop_assert_eq!(one_line(&line), &*line);
            let shown = shown(&text);
            prop_assert!(shown.chars().all(is_visible));
            prop_assert!(shown.chars().count() <= MAX_SHOWN);
        }

        #[test]
        fn nothing_ends_a_quotation(text in any::<String>()) {
            let quoted = quoted(&text);
            let inner = quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap();
            let mut chars = inner.chars();
            while let Some(c) = chars.next() {
                prop_assert!(!is_double_quote(c), "{quoted}");
                if c == '\\' {
                    prop_assert!(chars.next().is_some(), "{quoted}");
                }
            }
        }
    }

    #[test]
    fn a_word_of_a_shell_is_quoted_if_it_needs_that() {
        for (text, word) in [
            (
                "https://ca.example.com:8700/",
                "https://ca.example.com:8700/",
            ),
            ("", "''"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("$HOME", "'$HOME'"),
        ] {
            assert_eq!(shell_word(text), word);
        }
    }
}
