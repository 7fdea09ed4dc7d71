//! What a host meets that comes to a node: its limits and its queue, by the node's own code.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

use ca_server::http::{LONGEST_WAIT, Limits, come_again, work};

use super::random::Random;

/// The number of hosts behind one address.
const SITE: u32 = 1_000;

pub(super) struct Door {
    limits: Limits,
    /// The first second of the simulation.
    start: Instant,
    /// The time for a certificate.
    each: Duration,
}

impl Door {
    /// For a node that makes `capacity` certificates in ten seconds.
    pub(super) fn new(capacity: u64) -> Self {
        Self {
            limits: Limits::new(),
            start: Instant::now(),
            each: Duration::from_secs(10) / u32::try_from(capacity).unwrap_or(u32::MAX),
        }
    }

    /// `None` if the host may wait behind `waiting` others; otherwise the `Retry-After` in seconds.
    pub(super) fn sends_away(
        &self,
        host: u32,
        waiting: usize,
        second: u64,
        random: &mut Random,
    ) -> Option<u64> {
        let source = IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 | (host / SITE) << 8));
        let now = self.start + Duration::from_secs(second);
        if let Err(wait) = self.limits.take("/v1/renew", Some(source), now) {
            return Some(wait.as_secs() + 1);
        }
        let wait = work(waiting, self.each, 1);
        (wait > LONGEST_WAIT).then(|| come_again(wait, random.draw()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rules of the node: two seconds of work may wait, and a site has a limit.
    #[test]
    fn a_full_node_and_a_full_site_send_hosts_away() {
        let (door, mut random) = (Door::new(10), Random(1));
        assert_eq!(door.sends_away(0, 2, 0, &mut random), None);
        let again = door.sends_away(1, 3, 0, &mut random);
        assert!(again.is_some_and(|it| (8..=16).contains(&it)), "{again:?}");
        let passed = (0..3_000).filter(|_| door.sends_away(2, 0, 0, &mut random).is_none());
        assert_eq!(passed.count(), 998);
        assert_eq!(door.sends_away(2, 0, 0, &mut random), Some(1));
        assert_eq!(door.sends_away(SITE, 0, 0, &mut random), None);
        assert_eq!(door.sends_away(2, 0, 5, &mut random), None);
    }
}
