//! When a machine asks for its next certificate, and when again if it gets none.
//!
//! Both are functions of random numbers that the caller draws, so that a million machines do not come at once: not on the day on which they
//! were installed together, and not when an authority is back that was away.

/// Seconds before the first attempt that follows a failed one.
const FIRST: u64 = 30;
/// The longest random part of a wait, in seconds.
const LONGEST: u64 = 30 * 60;
/// The longest wait that an authority can ask for, in seconds.
const OBEYED: u64 = 60 * 60;

/// A part of `span` between `low` and `high` hundredths of it.
fn part(span: u64, low: u64, high: u64, draw: u32) -> u64 {
    let (span, draw) = (u128::from(span), u128::from(draw));
    let (low, high) = (u128::from(low), u128::from(high));
    let parts = (low << 32) + (high - low) * draw;
    u64::try_from((span * parts / 100) >> 32).unwrap_or(u64::MAX)
}

/// The time of the renewal of a certificate that is good from `begin` to `end`, both in seconds since 1970.
///
/// It is between 50 and 67 % of the time, by `draw`, which is drawn once for each certificate; or `after`, the time that the authority
/// asked for, if that is later, but not after 75 %: enough is left for an authority that is away for hours.
#[must_use]
pub fn renew_at(begin: u64, end: u64, after: Option<u64>, draw: u32) -> u64 {
    let span = end.saturating_sub(begin);
    let own = begin.saturating_add(part(span, 50, 67, draw));
    let last = begin.saturating_add(part(span, 75, 75, 0));
    own.max(after.unwrap_or(0)).min(last)
}

/// The seconds until the next attempt after `failures` failed ones in a row, of which there is at least one.
///
/// Half a minute, or the `Retry-After` of the answer up to an hour, and a random part by `draw`, up to a minute at first and twice as much
/// each time, up to half an hour.
#[must_use]
pub fn retry_in(failures: u32, retry_after: Option<u64>, draw: u32) -> u64 {
    let doubled = failures.saturating_sub(1).min(5);
    let most = LONGEST.min(60 << doubled);
    let least = retry_after.unwrap_or(0).clamp(FIRST, OBEYED);
    least + part(most, 0, 100, draw)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 60 * 60;

    #[test]
    fn a_renewal_is_between_half_and_two_thirds() {
        let at = |draw| renew_at(1_000, 1_000 + DAY, None, draw) - 1_000;
        assert_eq!(at(0), DAY / 2);
        assert_eq!(at(u32::MAX / 2), DAY * 585 / 1000 - 1);
        assert_eq!(at(u32::MAX), DAY * 67 / 100 - 1);
    }

    #[test]
    fn the_authority_can_ask_for_a_later_renewal_but_not_for_a_late_one() {
        let at = |after| renew_at(0, DAY, Some(after), 0);
        assert_eq!(at(0), DAY / 2);
        assert_eq!(at(DAY * 7 / 10), DAY * 7 / 10);
        assert_eq!(at(DAY), DAY * 3 / 4);
        assert_eq!(at(u64::MAX), DAY * 3 / 4);
    }

    #[test]
    fn a_certificate_without_a_life_is_renewed_at_once() {
        assert_eq!(renew_at(7, 7, None, 1), 7);
        assert_eq!(renew_at(7, 3, None, 1), 7);
        assert_eq!(renew_at(0, u64::MAX, None, 0), u64::MAX / 2);
    }

    #[test]
    fn waits_grow_to_half_an_hour_and_are_random() {
        let most: Vec<u64> = (0..9).map(|it| retry_in(it, None, u32::MAX)).collect();
        assert_eq!(most, [89, 89, 149, 269, 509, 989, 1829, 1829, 1829]);
        assert_eq!(retry_in(u32::MAX, None, u32::MAX), 1829);
        assert_eq!(retry_in(9, None, 0), 30);
        assert_eq!(retry_in(9, None, u32::MAX / 2), 929);
    }

    #[test]
    fn retry_after_is_obeyed_up_to_an_hour() {
        assert_eq!(retry_in(1, Some(600), 0), 600);
        assert_eq!(retry_in(1, Some(600), u32::MAX), 659);
        assert_eq!(retry_in(1, Some(1), 0), 30);
        assert_eq!(retry_in(1, Some(u64::MAX), 0), 3600);
    }
}
