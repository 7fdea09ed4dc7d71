//! Time that nobody can set back and that goes on while the machine sleeps.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// A moment: time since boot, sleep included (`CLOCK_BOOTTIME`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(Duration);

impl Moment {
    pub(crate) fn now() -> Self {
        Self(read(ClockId::Boottime))
    }

    /// `None` for never.
    pub(crate) fn after(self, time: Duration) -> Option<Self> {
        self.0.checked_add(time).map(Self)
    }

    /// How long it is until `self`; nothing if it is over.
    pub(crate) fn left(self) -> Duration {
        self.0.saturating_sub(read(ClockId::Boottime))
    }
}

/// How long the machine has slept since it booted.
pub(crate) fn slept() -> Duration {
    read(ClockId::Boottime).saturating_sub(read(ClockId::Monotonic))
}

fn read(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_pass() {
        let now = Moment::now();
        let later = now.after(Duration::from_secs(60)).unwrap();
        assert!(later > now);
        assert!(later.left() > Duration::from_secs(50));
        assert_eq!(now.left(), Duration::ZERO);
        assert!(now.after(Duration::MAX).is_none());
    }
}
