//! Spans of time, as a person writes and reads them.

use ssh_format::time::span;

const UNITS: [(u32, &str); 4] = [
    (86_400, "day"),
    (3_600, "hour"),
    (60, "minute"),
    (1, "second"),
];

/// `seconds` in words, in the largest unit that keeps it exact up to a 60th: `17 minutes`.
pub(crate) fn in_words(seconds: u32) -> String {
    let unit = UNITS
        .iter()
        .find(|(unit, _)| seconds >= 2 * unit || (seconds == *unit && *unit > 1));
    let (unit, name) = unit.unwrap_or(&UNITS[3]);
    let count = seconds.div_ceil(*unit);
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {name}{plural}")
}

/// Reads a span as sshd_config(5) has it: `90` (seconds), `10m`, `1h30m`, `1w`.
///
/// # Errors
///
/// A sentence for the command line.
pub(crate) fn parse(text: &str) -> Result<u32, String> {
    span(text).ok_or_else(|| "a time is seconds or parts with s, m, h, d, w: 90, 1h30m, 1w".into())
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
    fn a_span_is_read_as_sshd_config_has_it() {
        for (text, seconds) in [
            ("0", 0),
            ("90", 90),
            ("10m", 600),
            ("1h30m", 5400),
            ("1D", 86_400),
            ("52w1d", 31_536_000),
        ] {
            assert_eq!(parse(text), Ok(seconds), "{text}");
        }
        for wrong in [
            "",
            "m",
            "1.5h",
            "-1",
            "+1",
            "1y",
            "4294967296",
            "99999d",
            "1 h",
            "1é",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
