//! From when until when a certificate is valid, as `ssh-keygen -V` takes it.

use crate::show::date;
use crate::show::duration;

/// A span of time: both ends in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Validity {
    pub(crate) after: u64,
    pub(crate) before: u64,
}

/// How far back a certificate begins that is to be valid from now on: clocks differ.
const LEEWAY: u64 = 60;

/// Reads `[FROM:]TO`; each is `+` or `-` and a duration, counted from now, or a date in UTC.
///
/// # Errors
///
/// A sentence for the command line.
pub(crate) fn parse(text: &str) -> Result<Validity, String> {
    at(text, date::now())
}

fn at(text: &str, now: u64) -> Result<Validity, String> {
    let (from, to) = match text.split_once(':') {
        Some((from, to)) => (Some(from), to),
        None => (None, text),
    };
    let after = match from {
        Some(from) => point(from, now)?,
        None => now.saturating_sub(LEEWAY),
    };
    let before = point(to, now)?;
    if after >= before {
        return Err("it ends before it begins".into());
    }
    Ok(Validity { after, before })
}

fn point(text: &str, now: u64) -> Result<u64, String> {
    let wrong = || {
        "it takes [FROM:]TO, each like +8h, +30d, -5m, 20270101 or 20270101120000 (UTC)".to_owned()
    };
    match text.split_at_checked(1) {
        Some(("+", span)) => Ok(now.saturating_add(seconds(span)?)),
        Some(("-", span)) => Ok(now.saturating_sub(seconds(span)?)),
        _ => date::parse(text).ok_or_else(wrong),
    }
}

/// A duration; weeks too, which `ssh-keygen` knows.
fn seconds(span: &str) -> Result<u64, String> {
    let weeks = span.strip_suffix('w').and_then(|n| n.parse::<u32>().ok());
    match weeks {
        Some(weeks) => Ok(u64::from(weeks) * 7 * 86_400),
        None => duration::parse(span)
            .map(u64::from)
            .map_err(|err| err.replace("with s, m, h or d", "with s, m, h, d or w")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000;

    #[test]
    fn spans_are_read_as_ssh_keygen_reads_them() {
        for (text, after, before) in [
            ("+8h", NOW - 60, NOW + 8 * 3600),
            ("-5m:+1w", NOW - 300, NOW + 7 * 86_400),
            ("+1d:+2d", NOW + 86_400, NOW + 2 * 86_400),
            ("20270101:20280101Z", 1_798_761_600, 1_830_297_600),
            ("-90:20270101120000", NOW - 90, 1_798_804_800),
        ] {
            assert_eq!(at(text, NOW), Ok(Validity { after, before }), "{text}");
        }
    }

    #[test]
    fn what_has_no_end_or_none_after_its_beginning_is_refused() {
        for wrong in [
            "",
            ":",
            "always:forever",
            "forever",
            "+",
            "8h",
            "+8y",
            "+1d:",
            "20270101:20270101",
            "+2d:+1d",
            "20200101",
            "é",
            "+8h:+9h:+10h",
        ] {
            assert!(at(wrong, NOW).is_err(), "{wrong}");
        }
    }
}
