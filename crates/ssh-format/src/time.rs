//! Points in time, in UTC: as a person reads them, and as OpenSSH's files write them.

const DAY: u64 = 86_400;

/// `2026-11-25 18:34:01 UTC` for seconds since 1970, however many.
#[must_use]
pub fn in_words(seconds: u64) -> String {
    let (year, month, day) = date_of(seconds / DAY);
    let rest = seconds % DAY;
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// The year, month and day that begins `days` after 1970-01-01.
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
/// It is UTC with a `Z` at the end and without one; OpenSSH takes the local time without one.
#[must_use]
pub fn parse(text: &str) -> Option<u64> {
    let digits = text.strip_suffix('Z').unwrap_or(text);
    if !matches!(digits.len(), 8 | 12 | 14) || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let number = |range: std::ops::Range<usize>| digits.get(range)?.parse::<u64>().ok();
    let date = seconds_at(number(0..4)?, number(4..6)?, number(6..8)?)?;
    let (hour, minute, second) = (
        number(8..10).unwrap_or(0),
        number(10..12).unwrap_or(0),
        number(12..14).unwrap_or(0),
    );
    (hour < 24 && minute < 60 && second < 60).then(|| date + hour * 3600 + minute * 60 + second)
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
    fn every_day_reads_back() {
        for day in (0..2_932_897).step_by(13) {
            let (year, month, date) = date_of(day);
            assert_eq!(seconds_at(year, month, date), Some(day * DAY));
        }
    }
}
