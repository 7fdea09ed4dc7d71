//! The free text at the end of an `authorized_keys` line.

/// Makes `text` safe to stand at the end of a line.
///
/// A comment often is a label that somebody else chose. A line feed in it would
/// start a second line, that is a second key; an escape sequence would act on
/// the terminal that shows it; a mark that reverses the writing direction would
/// show a line other than the one that is there. Each such character becomes
/// `?`. Spaces around the text are dropped, since readers drop them as well.
pub(crate) fn sanitize(text: &str) -> String {
    text.trim()
        .chars()
        .map(|c| if is_unsafe(c) { '?' } else { c })
        .collect()
}

/// Whether `c` ends a line, controls a terminal or changes the writing direction.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{200e}' | '\u{200f}'      // left-to-right and right-to-left mark
            | '\u{2028}'..='\u{202e}'    // line and paragraph separator, embeddings, overrides
            | '\u{2066}'..='\u{2069}'    // isolates
            | '\u{061c}' | '\u{feff}')
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

    proptest! {
        #[test]
        fn whatever_comes_in_one_line_comes_out(text in any::<String>()) {
            let comment = sanitize(&text);
            prop_assert!(!comment.chars().any(is_unsafe));
            prop_assert_eq!(sanitize(&comment), comment);
        }
    }
}
