//! Spans of time, such as `24h`.

/// The seconds in a span: a number and `s`, `m`, `h`, `d` or `w`.
///
/// # Errors
///
/// What is wrong, as a sentence.
pub fn seconds(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no span of time, such as 30m, 24h or 7d");
    let split = text.len().checked_sub(1).ok_or_else(wrong)?;
    let (number, unit) = text.split_at_checked(split).ok_or_else(wrong)?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        "w" => 7 * 24 * 60 * 60,
        _ => return Err(wrong()),
    };
    if !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(unit).ok_or_else(wrong)
}

/// A span in the largest unit that fits.
#[must_use]
pub fn in_words(span: u64) -> String {
    for (unit, letter) in [(24 * 60 * 60, 'd'), (60 * 60, 'h'), (60, 'm')] {
        if span >= unit && span.is_multiple_of(unit) {
            return format!("{}{letter}", span / unit);
        }
    }
    format!("{span}s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_back_and_anything_else_is_refused() {
        for (text, span) in [("90s", 90), ("30m", 1800), ("24h", 86400), ("7d", 604_800)] {
            assert_eq!(seconds(text), Ok(span));
        }
        assert_eq!(
            (in_words(86400), in_words(5400)),
            ("1d".into(), "90m".into())
        );
        for text in [
            "",
            "h",
            "1",
            "+1h",
            "-1h",
            "1.5h",
            "1é",
            "99999999999999999999h",
            "18446744073709551615w",
        ] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
