//! The validity of a certificate, as `ssh-keygen -V` takes it.

use ssh_format::time::local_or_utc;

use crate::show::date;
use crate::show::duration;

/// A span of time: both ends in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Validity {
    pub(crate) after: u64,
    pub(crate) before: u64,
}

impl Validity {
    /// From `now` on for `length` seconds.
    pub(crate) fn from_now(length: u64, now: u64) -> Self {
        let after = now.saturating_sub(LEEWAY);
        Self {
            after,
            before: after.saturating_add(length),
        }
    }
}

/// How many seconds before now a new certificate becomes valid, because clocks differ.
const LEEWAY: u64 = 60;

/// Reads `[FROM:]TO`. Each is `+` or `-` and a span, counted from now; or `YYYYMMDD[HHMM[SS]]` in
/// local time, with `Z` in UTC; or seconds since 1970 in hexadecimal after `0x`. FROM may be
/// `always`.
///
/// In summer a local time is what the clock shows then. `ssh-keygen` takes it for winter time, and
/// so is an hour late.
///
/// # Errors
///
/// A sentence for the command line. `forever` is refused: a certificate here has to end.
///
/// # Source
///
/// ssh-keygen(1), option `-V`; sshd_config(5), "TIME FORMATS".
pub(crate) fn parse(text: &str) -> Result<Validity, String> {
    at(text, date::now())
}

fn at(text: &str, now: u64) -> Result<Validity, String> {
    let (from, to) = match text.split_once(':') {
        Some((from, to)) => (Some(from), to),
        None => (None, text),
    };
    let after = match from {
        Some("always") => 0,
        Some(from) => point(from, now)?,
        None => now.saturating_sub(LEEWAY),
    };
    if to == "forever" {
        return Err("a certificate has to end: give a time such as +52w".into());
    }
    let before = point(to, now)?;
    if after >= before {
        return Err("it ends before it begins".into());
    }
    Ok(Validity { after, before })
}

fn point(text: &str, now: u64) -> Result<u64, String> {
    let wrong =
        || "it takes [FROM:]TO, each like +8h, +52w1d, -5m, 20270101 or 20270101120000Z".to_owned();
    if let Some(span) = text.strip_prefix('+') {
        Ok(now.saturating_add(duration::parse(span)?.into()))
    } else if let Some(span) = text.strip_prefix('-') {
        Ok(now.saturating_sub(duration::parse(span)?.into()))
    } else if let Some(digits) = text.strip_prefix("0x") {
        let plain = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u64::from_str_radix(digits, 16).ok();
        number.filter(|_| plain).ok_or_else(wrong)
    } else {
        local_or_utc(text).map(|at| at.earliest).ok_or_else(wrong)
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
            ("20270101Z:20280101Z", 1_798_761_600, 1_830_297_600),
            ("always:+52w1d", 0, NOW + 365 * 86_400),
            ("+1h30m", NOW - 60, NOW + 5400),
            ("0x6553f100:0x6553f10A", NOW, NOW + 10),
            ("-90:20270101120000Z", NOW - 90, 1_798_804_800),
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
            "0x",
            "0x+1",
            "0x1ffffffffffffffff",
            "forever:+1d",
        ] {
            assert!(at(wrong, NOW).is_err(), "{wrong}");
        }
    }
}
