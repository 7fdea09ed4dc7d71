//! Points in time that a person names on the command line.

use ssh_format::time::{local_or_utc, span};

/// A point in time: seconds since 1970, or seconds before now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Past {
    /// Seconds since 1970.
    At(u64),
    /// Seconds before now.
    Ago(u32),
}

impl Past {
    /// The point in seconds since 1970, if it is `now` now.
    pub(crate) fn at(self, now: u64) -> u64 {
        match self {
            Self::At(time) => time,
            Self::Ago(seconds) => now.saturating_sub(seconds.into()),
        }
    }
}

/// Reads a span before now (`90m`, `1h30m`, `-1w`) or a point: `YYYYMMDD[HHMM[SS]]`, also with the
/// signs of RFC 3339 between. `Z` at its end stands for UTC; it is the local time without.
///
/// Eight, twelve or fourteen digits are a point in time if such a date exists.
///
/// # Errors
///
/// A sentence for the command line.
pub(crate) fn past(text: &str) -> Result<Past, String> {
    let digits: String = text
        .chars()
        .filter(|c| !['-', ':', ' ', 'T', 't'].contains(c))
        .collect();
    if !text.starts_with('-')
        && let Some(point) = local_or_utc(&digits)
    {
        return Ok(Past::At(point.earliest));
    }
    let ago = text.strip_prefix('-').unwrap_or(text);
    span(ago).map(Past::Ago).ok_or_else(|| {
        "a time is a span before now such as 90m, 1h30m, 1w, or a point such as 20261128, \
         202611281830 or 2026-11-28T18:30:00Z"
            .into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_read_as_ssh_and_as_the_log_write_it_and_a_span_as_time_before_now() {
        for (text, expected) in [
            ("20261128183000Z", Past::At(1_795_890_600)),
            ("2026-11-28T18:30:00Z", Past::At(1_795_890_600)),
            ("2026-11-28 18:30Z", Past::At(1_795_890_600)),
            ("20261128Z", Past::At(1_795_824_000)),
            ("90", Past::Ago(90)),
            ("1h30m", Past::Ago(5400)),
            ("-1w", Past::Ago(604_800)),
            ("12345678", Past::Ago(12_345_678)),
        ] {
            assert_eq!(past(text), Ok(expected), "{text}");
        }
        assert_eq!(Past::Ago(100).at(1000), 900);
        assert_eq!(Past::Ago(100).at(10), 0);
        for wrong in ["", "yesterday", "2026-13-01", "1y", "-", "--1h"] {
            assert!(past(wrong).is_err(), "{wrong}");
        }
    }
}
