//! Patterns with `*` and `?`, as OpenSSH matches them.

/// The longest pattern in a list, in bytes. With a longer one, OpenSSH's `match_pattern_list`
/// matches nothing.
const MAX_IN_LIST: usize = 1022;

/// Whether `text` matches a pattern in which `*` stands for any bytes and `?` for one byte.
///
/// The time is at most the product of the lengths for each pattern, because it backtracks only to
/// the last star.
///
/// ```
/// use ssh_format::pattern::matches;
///
/// assert!(matches(b"*.example.org", b"www.example.org"));
/// assert!(!matches(b"an?", b"anna"));
/// ```
///
/// # Source
///
/// ssh_config(5), "PATTERNS"; `match_pattern` of OpenSSH.
#[must_use]
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&c) if c == b'?' || c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((at, from)) = star else {
                    return false;
                };
                star = Some((at, from + 1));
                p = at + 1;
                t = from + 1;
            }
        }
    }
    pattern[p..].iter().all(|&c| c == b'*')
}

/// Whether `text` matches a list of patterns, separated by commas. A pattern with `!` in front
/// excludes.
///
/// # Source
///
/// ssh_config(5), "PATTERNS"; `match_pattern_list` of OpenSSH.
#[must_use]
pub fn matches_list(list: &[u8], text: &[u8]) -> bool {
    let mut found = false;
    // After a comma at the end there is no further pattern. An empty list has no pattern.
    if list.is_empty() {
        return false;
    }
    let list = list.strip_suffix(b",").unwrap_or(list);
    for pattern in list.split(|&c| c == b',') {
        let (excludes, pattern) = match pattern.strip_prefix(b"!") {
            Some(pattern) => (true, pattern),
            None => (false, pattern),
        };
        if pattern.len() > MAX_IN_LIST {
            return false;
        }
        if matches(pattern, text) {
            if excludes {
                return false;
            }
            found = true;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_pattern_has_stars_and_question_marks() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("**", "x", true),
            ("?", "", false),
            ("a*c", "abbc", true),
            ("a*c", "abb", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b-d", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("?", "é", false),
            ("??", "é", true),
        ] {
            let found = matches(pattern.as_bytes(), text.as_bytes());
            assert_eq!(found, expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_list_has_exceptions() {
        let long = "x".repeat(1023);
        for (list, text, expected) in [
            ("*@example.org,!bert@example.org", "anna@example.org", true),
            ("*@example.org,!bert@example.org", "bert@example.org", false),
            ("!bert", "anna", false),
            ("", "", false),
            ("anna,", "", false),
            (",", "", true),
            (",anna", "", true),
            ("a,,b", "", true),
            ("!!a", "!a", false),
            (&format!("anna,{}", &long[1..]), "anna", true),
            (&format!("anna,{long}"), "anna", false),
        ] {
            let found = matches_list(list.as_bytes(), text.as_bytes());
            assert_eq!(found, expected, "{list} {text}");
        }
    }

    #[test]
    fn a_pattern_of_stars_is_quick() {
        let start = Instant::now();
        assert!(!matches(
            "*a".repeat(128).as_bytes(),
            "a".repeat(120).as_bytes()
        ));
        let stars = format!("{}b", "*".repeat(255));
        assert!(!matches(stars.as_bytes(), "a".repeat(256).as_bytes()));
        assert!(start.elapsed() < Duration::from_secs(1));
    }

    proptest! {
        #[test]
        fn a_text_matches_itself_and_a_star(text in "[a-z@.]{0,20}") {
            prop_assert!(matches(text.as_bytes(), text.as_bytes()));
            prop_assert!(matches(b"*", text.as_bytes()));
        }
    }
}
