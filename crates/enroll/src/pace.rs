//! When to renew, and when to try again. Times are random, so that a million machines do not ask at once after the authority was away.

use std::time::Duration;

/// The random part of the first wait after a failure is below this, in seconds. It doubles with each failure.
const FIRST: u64 = 60;
/// The random part of a wait does not grow beyond this, in seconds.
const LONGEST: u64 = 30 * 60;
/// The shortest wait, in seconds.
const LEAST: u64 = 30;

/// The longest wait.
pub const LONGEST_RETRY: Duration = Duration::from_secs(61 * 60);

/// When to renew a certificate that was issued at `got` and expires at `expires`, in seconds since 1970.
///
/// The time is between 50 and 67 % of the certificate's life, chosen by `random`. It is not before `renew_after`, but never after 75 %.
#[must_use]
pub fn renewal(got: u64, expires: u64, renew_after: u64, random: u32) -> u64 {
    let life = expires.saturating_sub(got);
    let part = |percent: u64| got.saturating_add(scaled(life, percent, 100));
    let spread = scaled(scaled(life, 17, 100), u64::from(random), 1 << 32);
    let drawn = part(50).saturating_add(spread);
    drawn.max(renew_after).min(part(75))
}

/// How long to wait after `failures` failures in a row, including the last.
///
/// The wait is 30 s and a random part of a span, which doubles from one minute up to half an hour. If the authority said how long, the wait is at
/// least that, up to an hour. It is at most [`LONGEST_RETRY`].
#[must_use]
pub fn retry(failures: u32, retry_after: Option<Duration>, random: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let span = (FIRST << doublings).min(LONGEST);
    let asked = retry_after.map_or(0, |it| it.as_secs().min(60 * 60));
    let wait = LEAST + scaled(span, u64::from(random), 1 << 32);
    // Random as well, because the authority told all machines the same.
    let told = match asked {
        0 => 0,
        asked => asked + scaled(FIRST, u64::from(random), 1 << 32),
    };
    Duration::from_secs(wait.max(told))
}

/// `number * part / whole` without overflow.
fn scaled(number: u64, part: u64, whole: u64) -> u64 {
    let scaled = u128::from(number) * u128::from(part) / u128::from(whole);
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_day_is_renewed_between_12_and_16_hours() {
        let hours = |it: u64| it * 60 * 60;
        let day = hours(24);
        assert_eq!(renewal(0, day, 0, 0), hours(12));
        assert_eq!(renewal(0, day, 0, u32::MAX), hours(12) + 14_687);
        // As late as the authority says, but never after 75 %.
        assert_eq!(renewal(0, day, hours(17), 0), hours(17));
        assert_eq!(renewal(0, day, hours(23), 0), hours(18));
        // A certificate that has ended is renewed now.
        assert_eq!(renewal(100, 50, 0, 7), 100);
    }

    #[test]
    fn waits_grow_to_half_an_hour() {
        let most = |failures| retry(failures, None, u32::MAX).as_secs();
        assert_eq!(retry(1, None, 0).as_secs(), 30);
        assert_eq!([most(1), most(2), most(3)], [89, 149, 269]);
        assert_eq!(most(60), 30 + 1799);
        let told = |secs, random| retry(1, Some(Duration::from_secs(secs)), random).as_secs();
        assert_eq!(told(600, 0), 600);
        assert_eq!(told(600, u32::MAX), 659);
        assert_eq!(told(1_000_000, 0), 3600);
        // A short Retry-After does not shorten the random wait.
        assert_eq!(
            retry(60, Some(Duration::from_secs(30)), u32::MAX).as_secs(),
            30 + 1799
        );
        assert_eq!(told(5, 0), 30);
    }

    proptest! {
        #[test]
        fn a_renewal_is_within_the_life(got in 0..u64::MAX, life in 0..u64::MAX, after: u64, random: u32) {
            let expires = got.saturating_add(life);
            let at = renewal(got, expires, after, random);
            prop_assert!(got <= at && at <= expires);
        }

        #[test]
        fn a_retry_is_between_half_a_minute_and_61_minutes(failures: u32, asked: Option<u64>, random: u32) {
            let wait = retry(failures, asked.map(Duration::from_secs), random).as_secs();
            prop_assert!((LEAST..=LONGEST_RETRY.as_secs()).contains(&wait), "{}", wait);
        }
    }
}
