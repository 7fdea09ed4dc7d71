//! When hosts ask.

use std::time::Duration;

use enroll::pace;

use super::{
    LIFE,
    certify::Granted,
    random::{Random, scaled},
};

/// The pace of a fleet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Habit {
    /// At the times of `enroll::pace`.
    Ours,
    /// At 67 % of the certificate's life, plus or minus 20 % of that.
    Late,
    /// At the times of `enroll::pace`, but every minute if there is no answer.
    EachMinute,
}

impl Habit {
    /// When a host renews a certificate that it got at `got`, by a number that it has drawn.
    pub(super) fn renew_at(self, got: u64, granted: Granted, drawn: u32) -> u64 {
        match self {
            Self::Late => got + LIFE * 67 * 8 / 1000 + scaled(LIFE * 67 * 4 / 1000, drawn),
            _ => pace::renewal(got, granted.valid_before, granted.renew_after, drawn),
        }
    }

    /// The mean time between two renewals, in seconds.
    pub(super) fn between(self) -> f64 {
        let part = match self {
            Self::Late => 0.67,
            _ => 0.585,
        };
        part * LIFE as f64
    }

    /// Seconds until a host asks again that got no certificate.
    pub(super) fn retry_in(
        self,
        failures: u32,
        retry_after: Option<u64>,
        random: &mut Random,
    ) -> u64 {
        match self {
            Self::EachMinute => 60,
            _ => {
                let after = retry_after.map(Duration::from_secs);
                pace::retry(failures, after, random.draw()).as_secs()
            }
        }
    }
}
