//! Times and spans: in OpenSSH's formats, and in a form for people.

use jiff::civil::DateTime;
use jiff::tz::{Dst, TimeZone};
use jiff::{SignedDuration, Timestamp};

const DAY: u64 = 86_400;
const WEEK: u64 = 7 * DAY;

/// The units of [`span`], in seconds.
const UNITS: [(u8, u64); 5] = [
    (b's', 1),
    (b'm', 60),
    (b'h', 3600),
    (b'd', DAY),
    (b'w', WEEK),
];
/// The longest span that OpenSSH reads, in seconds (`INT_MAX`).
const MAX_SPAN: u64 = 0x7fff_ffff;

/// `2026-11-25 18:34:01 UTC` for seconds since 1970, however many.
#[must_use]
pub fn in_words(seconds: u64) -> String {
    let (date, time) = in_digits(seconds);
    format!("{date} {time} UTC")
}

/// `2026-11-25T18:34:01Z` for seconds since 1970 (RFC 3339).
#[must_use]
pub fn rfc_3339(seconds: u64) -> String {
    let (date, time) = in_digits(seconds);
    format!("{date}T{time}Z")
}

fn in_digits(seconds: u64) -> (String, String) {
    let (year, month, day) = date_of(seconds / DAY);
    let rest = seconds % DAY;
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    (
        format!("{year:04}-{month:02}-{day:02}"),
        format!("{hour:02}:{minute:02}:{second:02}"),
    )
}

/// The year, month and day of the day that is `days` after 1970-01-01.
///
/// # Source
///
/// Hinnant, "chrono-compatible low-level date algorithms", `civil_from_days`.
fn date_of(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468; // from 0000-03-01
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = match month_from_march {
        0..=9 => month_from_march + 3,
        _ => month_from_march - 9,
    };
    let year = 400 * era + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

/// Seconds since 1970 for a date of the years 1970 to 9999; `None` for one that does not exist.
fn seconds_at(year: u64, month: u64, day: u64) -> Option<u64> {
    let in_range = (1970..=9999).contains(&year) && (1..=12).contains(&month) && day >= 1;
    if !in_range {
        return None;
    }
    let march_year = year - u64::from(month <= 2);
    let (era, year_of_era) = (march_year / 400, march_year % 400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = 365 * year_of_era + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = 146_097 * era + day_of_era - 719_468;
    (date_of(days) == (year, month, day)).then_some(days * DAY)
}

/// Reads `YYYYMMDD`, `YYYYMMDDHHMM` or `YYYYMMDDHHMMSS`, as seconds since 1970.
///
/// The time is UTC with or without a `Z` at the end. OpenSSH reads a time without `Z` as local
/// time, as [`local_or_utc`] does.
#[must_use]
pub fn parse(text: &str) -> Option<u64> {
    Some(Civil::read(text.strip_suffix('Z').unwrap_or(text))?.in_utc())
}

/// The earliest and the latest point in time that a text can mean, in seconds since 1970.
///
/// Both are equal for nearly all texts. See [`local_or_utc`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reading {
    /// The earliest point.
    pub earliest: u64,
    /// The latest point.
    pub latest: u64,
}

/// Reads `YYYYMMDD[HHMM[SS]]` with `Z` or `UTC` at the end, which is UTC, or without, which is
/// the local time of this machine (`TZ`, `/etc/localtime`). `None` for anything else, and for
/// times before 1970.
///
/// A local time can mean several points: OpenSSH reads each as winter time, so it is an hour off in
/// summer, and when the clocks change an hour exists twice or not at all. The result has the
/// earliest and the latest of these points. A caller that takes the stricter one is never laxer
/// than OpenSSH.
///
/// # Source
///
/// ssh-keygen(1), "ALLOWED SIGNERS"; `parse_absolute_time` of OpenSSH.
#[must_use]
pub fn local_or_utc(text: &str) -> Option<Reading> {
    let without = |suffix: &str| {
        let (head, tail) = text.split_at_checked(text.len().checked_sub(suffix.len())?)?;
        tail.eq_ignore_ascii_case(suffix).then_some(head)
    };
    match without("Z").or_else(|| without("UTC")) {
        Some(digits) => {
            let point = Civil::read(digits)?.in_utc();
            Some(Reading {
                earliest: point,
                latest: point,
            })
        }
        None => Civil::read(text)?.in_zone(&TimeZone::system()),
    }
}

/// Parses a span, in seconds: numbers with a unit, which are added. `600`, `10m`, `1h30m`, `52w1d`;
/// a number without a unit is in seconds. `None` for any other text, and for 2^31 seconds and more.
///
/// ```
/// use ssh_format::time::span;
///
/// assert_eq!(span("1h30m"), Some(5400));
/// assert_eq!(span("1 hour"), None);
/// ```
///
/// # Source
///
/// sshd_config(5), "TIME FORMATS"; `convtime` of OpenSSH.
#[must_use]
pub fn span(text: &str) -> Option<u32> {
    let mut rest = text.as_bytes();
    if rest.is_empty() {
        return None;
    }
    let mut total = 0_u64;
    while !rest.is_empty() {
        let len = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, after) = rest.split_at(len);
        let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
        let factor = match after.split_first() {
            None => 1,
            Some((letter, after)) => {
                rest = after;
                let letter = letter.to_ascii_lowercase();
                UNITS.iter().find(|(unit, _)| *unit == letter)?.1
            }
        };
        if after.is_empty() {
            rest = after;
        }
        total = total.checked_add(number.checked_mul(factor)?)?;
    }
    (total <= MAX_SPAN).then_some(u32::try_from(total).ok()?)
}

/// A valid date and time of day without a time zone.
struct Civil {
    /// Year, month, day.
    date: (u64, u64, u64),
    /// Seconds since 1970 of the beginning of the day in UTC.
    midnight: u64,
    /// Hour, minute, second.
    time: (u64, u64, u64),
}

impl Civil {
    /// `YYYYMMDD`, `YYYYMMDDHHMM` or `YYYYMMDDHHMMSS`.
    fn read(digits: &str) -> Option<Self> {
        if !matches!(digits.len(), 8 | 12 | 14) || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let number = |range: std::ops::Range<usize>| digits.get(range)?.parse::<u64>().ok();
        let date = (number(0..4)?, number(4..6)?, number(6..8)?);
        let midnight = seconds_at(date.0, date.1, date.2)?;
        let time = (
            number(8..10).unwrap_or(0),
            number(10..12).unwrap_or(0),
            number(12..14).unwrap_or(0),
        );
        (time.0 < 24 && time.1 < 60 && time.2 < 60).then_some(Self {
            date,
            midnight,
            time,
        })
    }

    fn in_utc(&self) -> u64 {
        self.midnight + self.time.0 * 3600 + self.time.1 * 60 + self.time.2
    }

    fn in_zone(&self, zone: &TimeZone) -> Option<Reading> {
        let [month, day] = [self.date.1, self.date.2].map(i8::try_from);
        let [hour, minute, second] = [self.time.0, self.time.1, self.time.2].map(i8::try_from);
        let civil = DateTime::new(
            self.date.0.try_into().ok()?,
            month.ok()?,
            day.ok()?,
            hour.ok()?,
            minute.ok()?,
            second.ok()?,
            0,
        )
        .ok()?;
        let shown = zone.to_ambiguous_timestamp(civil);
        let (first, last) = (shown.earlier().ok()?, shown.later().ok()?);
        let mut points = [first, last, in_winter(zone, civil, last).unwrap_or(last)];
        points.sort_unstable();
        let seconds = |point: Timestamp| u64::try_from(point.as_second()).ok();
        Some(Reading {
            earliest: seconds(points[0])?,
            latest: seconds(points[2])?,
        })
    }
}

/// The point in time at which clocks without summer time show `civil`, by the rules of the time
/// nearest to `about`; `None` if there is summer time all year.
fn in_winter(zone: &TimeZone, civil: DateTime, about: Timestamp) -> Option<Timestamp> {
    (0..53).find_map(|weeks| {
        [weeks, -weeks].into_iter().find_map(|weeks| {
            let at = about
                .checked_add(SignedDuration::from_hours(weeks * 7 * 24))
                .ok()?;
            let rules = zone.to_offset_info(at);
            (rules.dst() == Dst::No)
                .then(|| rules.offset().to_timestamp(civil).ok())
                .flatten()
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_in_time_is_told_in_utc() {
        for (seconds, words) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_700_000_000, "2023-11-14 22:13:20 UTC"),
            (4_102_444_799, "2099-12-31 23:59:59 UTC"),
            // Where 32 bits end, and where 64 do.
            (1 << 32, "2106-02-07 06:28:16 UTC"),
            (u64::MAX, "584554051223-11-09 07:00:15 UTC"),
        ] {
            assert_eq!(in_words(seconds), words);
        }
        assert_eq!(rfc_3339(1_700_000_000), "2023-11-14T22:13:20Z");
    }

    #[test]
    fn a_date_is_read_as_ssh_keygen_takes_it() {
        for (text, seconds) in [
            ("19700101", 0),
            ("20000229", 951_782_400),
            ("202311142213", 1_699_999_980),
            ("20231114221320Z", 1_700_000_000),
        ] {
            assert_eq!(parse(text), Some(seconds), "{text}");
        }
        for wrong in [
            "",
            "2023",
            "20230229",
            "20231301",
            "20230100",
            "19691231",
            "202311142460",
            "2023-11-14",
            "20231114é",
            "+0231114",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_local_time_has_the_readings_that_it_can_have() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let read = |text: &str| {
            let reading = Civil::read(text).unwrap().in_zone(&berlin).unwrap();
            (reading.earliest, reading.latest)
        };
        let utc = |text: &str| parse(text).unwrap();
        let noon = utc("202701151100");
        assert_eq!(read("202701151200"), (noon, noon), "in winter");
        assert_eq!(
            read("202707011200"),
            (utc("202707011000"), utc("202707011100")),
            "in summer"
        );
        assert_eq!(
            read("202710310230"),
            (utc("202710310030"), utc("202710310130")),
            "an hour that comes twice"
        );
        let (earliest, latest) = read("202703280230");
        assert!(earliest < latest, "an hour that never comes");
    }

    #[test]
    fn utc_is_written_in_two_ways() {
        for text in ["20231114221320Z", "20231114221320z", "20231114221320utc"] {
            let both = Reading {
                earliest: 1_700_000_000,
                latest: 1_700_000_000,
            };
            assert_eq!(local_or_utc(text), Some(both), "{text}");
        }
        for wrong in ["Z", "UTC", "", "2023-11-14Z", "20231114 Z", "20230229"] {
            assert_eq!(local_or_utc(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn spans_are_added_together() {
        for (text, seconds) in [
            ("0", 0),
            ("600", 600),
            ("10m", 600),
            ("1h30m", 5400),
            ("1H30M", 5400),
            ("1w", 604_800),
            ("52w1d", 31_536_000),
            ("1d1", 86_401),
            ("90s90s", 180),
            ("2147483647", 2_147_483_647),
        ] {
            assert_eq!(span(text), Some(seconds), "{text}");
        }
        for wrong in [
            "",
            "m",
            "1y",
            "1.5h",
            "-1",
            "+1",
            "1 h",
            "1h ",
            "1hm",
            "1é",
            "2147483648",
            "3551w",
            "99999999999999999999",
        ] {
            assert_eq!(span(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn every_day_reads_back() {
        for day in (0..2_932_897).step_by(13) {
            let (year, month, date) = date_of(day);
            assert_eq!(seconds_at(year, month, date), Some(day * DAY));
        }
    }
}
