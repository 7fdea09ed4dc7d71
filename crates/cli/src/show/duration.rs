//! Spans of time, as a person writes and reads them.

const UNITS: [(u32, &str, char); 4] = [
    (86_400, "day", 'd'),
    (3_600, "hour", 'h'),
    (60, "minute", 'm'),
    (1, "second", 's'),
];

/// `seconds` in words, in the largest unit that keeps it exact up to a 60th: `17 minutes`.
pub(crate) fn in_words(seconds: u32) -> String {
    let unit = UNITS
        .iter()
        .find(|(unit, ..)| seconds >= 2 * unit || (seconds == *unit && *unit > 1));
    let (unit, name, _) = unit.unwrap_or(&UNITS[3]);
    let count = seconds.div_ceil(*unit);
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {name}{plural}")
}

/// Reads seconds (`90`), or a number with a unit: `90s`, `10m`, `2h`, `1d`.
///
/// # Errors
///
/// A sentence for the command line.
pub(crate) fn parse(text: &str) -> Result<u32, String> {
    let (number, unit) = match text.char_indices().last() {
        Some((end, letter)) if !letter.is_ascii_digit() => (&text[..end], Some(letter)),
        _ => (text, None),
    };
    let factor = match unit {
        None => Some(1),
        Some(unit) => UNITS
            .iter()
            .find(|(.., letter)| *letter == unit)
            .map(|(factor, ..)| *factor),
    };
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    factor
        .filter(|_| digits)
        .and_then(|factor| number.parse::<u32>().ok()?.checked_mul(factor))
        .ok_or_else(|| "it takes seconds, or a number with s, m, h or d".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_told_in_the_unit_that_fits() {
        for (seconds, words) in [
            (0, "0 seconds"),
            (1, "1 second"),
            (60, "1 minute"),
            (90, "90 seconds"),
            (1000, "17 minutes"),
            (3600, "1 hour"),
            (7200, "2 hours"),
            (86_400, "1 day"),
            (u32::MAX, "49711 days"),
        ] {
            assert_eq!(in_words(seconds), words);
        }
    }

    #[test]
    fn a_span_is_read_with_or_without_a_unit() {
        for (text, seconds) in [
            ("0", 0),
            ("90", 90),
            ("90s", 90),
            ("10m", 600),
            ("2h", 7200),
            ("1d", 86_400),
        ] {
            assert_eq!(parse(text), Ok(seconds), "{text}");
        }
        for wrong in [
            "",
            "m",
            "1.5h",
            "-1",
            "+1",
            "1w",
            "4294967296",
            "99999d",
            "1 h",
            "1é",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
