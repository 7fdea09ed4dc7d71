//! The time now, and points in time for a person to read.

use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) use ssh_format::time::in_words;

/// Seconds since 1970; 0 on a machine whose clock is before that.
pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// A day of a year as `2021-03-16`. The 1st of January is day 1; a day that the year does not have
/// is shown by its number.
pub(crate) fn of_day(year: u32, day: u32) -> String {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let february = if is_leap { 29 } else { 28 };
    let mut left = day;
    for (month, days) in (1..).zip([31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]) {
        if (1..=days).contains(&left) {
            return format!("{year}-{month:02}-{left:02}");
        }
        left = left.saturating_sub(days);
    }
    format!("day {day} of {year}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_of_a_year_is_a_date() {
        for (year, day, date) in [
            (2021, 75, "2021-03-16"),
            (2020, 75, "2020-03-15"),
            (2021, 1, "2021-01-01"),
            (2021, 365, "2021-12-31"),
            (2020, 366, "2020-12-31"),
            (2100, 60, "2100-03-01"),
            (2021, 366, "day 366 of 2021"),
            (2021, 0, "day 0 of 2021"),
        ] {
            assert_eq!(of_day(year, day), date);
        }
    }
}
