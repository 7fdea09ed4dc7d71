//! How many hosts a key of the authority is enough for.

use super::{DAY, LIFE, habit::Habit};

/// The times of a signature in milliseconds: of a fast TPM, of the one in docs/performance.md, and of slow ones.
pub(super) const KEYS: [f64; 4] = [30.0, 68.9, 100.0, 200.0];
/// The lives of certificates.
pub(super) const LIVES: [(&str, u64); 2] = [("for a day", DAY), ("for a week", 7 * DAY)];

/// How many hosts with certificates for `life` seconds a key can serve at half of its capacity. The other half is for the rush after an outage.
pub(super) fn hosts(millis: f64, life: u64) -> f64 {
    let each_second = 1000.0 / millis / 2.0;
    let between = Habit::Ours.between() / LIFE as f64 * life as f64;
    (each_second * between / 1000.0).floor() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_a_tpm_is_enough_for_hundreds_of_thousands() {
        let of = |life| KEYS.map(|millis| hosts(millis, life));
        assert_eq!(of(DAY), [842_000.0, 366_000.0, 252_000.0, 126_000.0]);
        assert_eq!(hosts(200.0, 7 * DAY), 884_000.0);
    }
}
