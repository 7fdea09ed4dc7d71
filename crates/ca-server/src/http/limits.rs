//! Rate limits: how often one source may send requests.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

/// The most sources that are remembered. Each is remembered until its bucket is full again.
const MOST: usize = 32 * 1024;
/// The shortest time between two removals of sources with full buckets.
const SWEEP: Duration = Duration::from_millis(250);

/// A network: /24 of IPv4, /56 of IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Prefix(u128);

impl Prefix {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(u128::from(address.to_bits() & !0xff)),
            // The bit keeps it apart from IPv4, whose values are below 2^32.
            IpAddr::V6(address) => Self(address.to_bits() & (u128::MAX << 72) | 1 << 64),
        }
    }
}

/// Token buckets, one for each source `K`. A bucket is full at first, and each request takes one token.
struct Buckets<K> {
    /// The time after which one token is added.
    each: Duration,
    /// The number of tokens in a full bucket.
    burst: u32,
    beyond: Beyond,
    state: Mutex<State<K>>,
}

/// What happens to sources beyond [`MOST`].
#[derive(Clone, Copy, PartialEq)]
enum Beyond {
    /// They share one bucket.
    Shared,
    /// They have no limit here, because another limit applies to them.
    Free,
}

struct State<K> {
    /// When each bucket will be full. Full buckets may be missing.
    full_at: HashMap<K, Instant>,
    /// When the shared bucket of the sources beyond [`MOST`] will be full.
    others: Option<Instant>,
    swept: Option<Instant>,
}

impl<K: Hash + Eq> Buckets<K> {
    fn new(each: Duration, burst: u32, beyond: Beyond) -> Self {
        Self {
            each,
            burst,
            beyond,
            state: Mutex::new(State {
                full_at: HashMap::new(),
                others: None,
                swept: None,
            }),
        }
    }

    /// Takes a token. `Err` with the time until there is one.
    fn take(&self, key: K, now: Instant) -> Result<(), Duration> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = state.full_at.len() >= MOST && !state.full_at.contains_key(&key);
        let is_time = |swept: Instant| now.saturating_duration_since(swept) >= SWEEP;
        if is_full && state.swept.is_none_or(is_time) {
            state.full_at.retain(|_, full| *full > now);
            state.swept = Some(now);
        }
        let has_room = state.full_at.len() < MOST || state.full_at.contains_key(&key);
        if !has_room && self.beyond == Beyond::Free {
            return Ok(());
        }
        let before = if has_room {
            state.full_at.get(&key).copied()
        } else {
            state.others
        };
        let full = before.map_or(now, |it| it.max(now)) + self.each;
        let lacks = full.saturating_duration_since(now);
        if let Some(wait) = lacks.checked_sub(self.each * self.burst)
            && !wait.is_zero()
        {
            return Err(wait);
        }
        if has_room {
            state.full_at.insert(key, full);
        } else {
            state.others = Some(full);
        }
        Ok(())
    }
}

/// The limits of a node. Requests from the machine itself are not limited.
pub struct Limits {
    enrolments: Buckets<Prefix>,
    /// The buckets of endorsement keys, each for one network: otherwise anybody could use up the limit of another machine's key.
    /// Clients can invent any number of keys. Beyond [`MOST`] there is no limit by key, because the limit of the network has been applied already.
    keys: Buckets<(Prefix, [u8; 16])>,
    others: Buckets<Prefix>,
}

impl std::fmt::Debug for Limits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Limits").finish_non_exhaustive()
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::new()
    }
}

impl Limits {
    /// Enrolments: 5 requests per second and 20 at once from a network, and 6 per minute with the same endorsement key. Other requests, such as renewals
    /// of a site behind one address: 100 per second, and 1000 at once.
    #[must_use]
    pub fn new() -> Self {
        Self {
            enrolments: Buckets::new(Duration::from_millis(200), 20, Beyond::Shared),
            keys: Buckets::new(Duration::from_secs(10), 6, Beyond::Free),
            others: Buckets::new(Duration::from_millis(10), 1000, Beyond::Shared),
        }
    }

    /// Counts a request for `path` from `source`; `None` is the machine itself.
    ///
    /// # Errors
    ///
    /// The time until the source may ask again.
    pub fn take(&self, path: &str, source: Option<IpAddr>, now: Instant) -> Result<(), Duration> {
        let Some(source) = source else {
            return Ok(());
        };
        let prefix = Prefix::of(source);
        match path {
            "/healthz" | "/readyz" => Ok(()),
            _ if path.starts_with("/v1/enroll/") => self.enrolments.take(prefix, now),
            _ => self.others.take(prefix, now),
        }
    }

    /// Counts a request for a challenge by its endorsement key.
    pub(super) fn take_key(
        &self,
        body: &[u8],
        source: Option<IpAddr>,
        now: Instant,
    ) -> Result<(), Duration> {
        #[derive(serde::Deserialize)]
        struct Ek {
            ek: String,
        }
        let Some(source) = source else {
            return Ok(());
        };
        // A body that is not a request is refused later, when it is parsed.
        let Ok(Ek { ek }) = serde_json::from_slice(body) else {
            return Ok(());
        };
        let mut short = [0; 16];
        for (to, from) in short.iter_mut().zip(Sha256::digest(ek.as_bytes())) {
            *to = from;
        }
        self.keys.take((Prefix::of(source), short), now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: &str = "/v1/enroll/begin";

    fn taken(limits: &Limits, path: &str, source: &str, now: Instant, tries: u32) -> u32 {
        let source = source.parse().ok();
        (0..tries)
            .map(|_| u32::from(limits.take(path, source, now).is_ok()))
            .sum()
    }

    #[test]
    fn a_network_has_its_burst_and_then_its_rate_and_others_are_not_in_its_way() {
        let (limits, now) = (Limits::new(), Instant::now());
        assert_eq!(taken(&limits, BEGIN, "192.0.2.1", now, 50), 20);
        let wait = limits.take(BEGIN, "192.0.2.200".parse().ok(), now);
        assert_eq!(wait, Err(Duration::from_millis(200)));
        assert_eq!(
            taken(&limits, "/v1/enroll/finish", "::ffff:192.0.2.9", now, 5),
            0
        );
        assert_eq!(taken(&limits, BEGIN, "192.0.3.1", now, 50), 20);
        let later = now + Duration::from_secs(2);
        assert_eq!(taken(&limits, BEGIN, "192.0.2.1", later, 50), 10);
        assert_eq!(taken(&limits, BEGIN, "2001:db8:0:100::1", now, 50), 20);
        assert_eq!(taken(&limits, BEGIN, "2001:db8:0:1ff::1", now, 50), 0);
        assert_eq!(taken(&limits, BEGIN, "2001:db8:0:200::1", now, 50), 20);
        // A site with 1000 machines behind one address.
        assert_eq!(taken(&limits, "/v1/renew", "192.0.2.1", now, 2000), 1000);
        assert_eq!(taken(&limits, "/healthz", "192.0.2.1", now, 2000), 2000);
        let own = (0..2000).map(|_| limits.take(BEGIN, None, now));
        assert!(own.into_iter().all(|it| it.is_ok()), "the machine itself");
    }

    #[test]
    fn a_key_is_asked_for_six_times_a_minute_and_only_its_own_source_is_held_up() {
        let (limits, now) = (Limits::new(), Instant::now());
        let taken = |source: &str, ek: &str, now| {
            let body = format!("{{\"format\":\"x\",\"ek\":\"{ek}\"}}");
            let source = source.parse().ok();
            let tries = (0..20).map(|_| limits.take_key(body.as_bytes(), source, now));
            tries.filter(Result::is_ok).count()
        };
        assert_eq!(taken("192.0.2.1", "AA", now), 6);
        assert_eq!(taken("192.0.2.1", "BB", now), 6);
        assert_eq!(taken("192.0.3.1", "AA", now), 6);
        assert_eq!(taken("192.0.2.1", "AA", now + Duration::from_secs(60)), 6);
        let source = "192.0.2.1".parse().ok();
        assert_eq!(limits.take_key(b"x", source, now), Ok(()));
    }

    /// A client that has a whole /32 of IPv6.
    #[test]
    fn many_sources_take_bounded_memory_and_are_forgotten() {
        let (limits, now) = (Limits::new(), Instant::now());
        let source = |number: u32| IpAddr::from((u128::from(number) << 72).to_be_bytes());
        let most = u32::try_from(MOST).unwrap();
        let tries = (1..=2 * most).map(|number| limits.take(BEGIN, Some(source(number)), now));
        assert_eq!(tries.filter(Result::is_ok).count(), MOST + 20);
        let held = || limits.enrolments.state.lock().unwrap().full_at.len();
        assert_eq!(held(), MOST);
        let later = now + Duration::from_secs(5);
        assert_eq!(limits.take(BEGIN, Some(source(3 * most)), later), Ok(()));
        assert_eq!(held(), 1);
    }
    /// A client can invent any number of keys. That must not lock out a machine that comes later.
    #[test]
    fn many_keys_take_bounded_memory_and_keep_nobody_out() {
        let (limits, now) = (Limits::new(), Instant::now());
        let take = |ek: &str, source: &str| {
            let body = format!("{{\"ek\":\"{ek}\"}}");
            limits.take_key(body.as_bytes(), source.parse().ok(), now)
        };
        for number in 0..MOST + 100 {
            assert_eq!(take(&number.to_string(), "192.0.2.1"), Ok(()));
        }
        for _ in 0..10 {
            assert_eq!(take("new", "198.51.100.1"), Ok(()));
        }
        let known = (0..20).map(|_| take("0", "192.0.2.1"));
        assert_eq!(known.filter(Result::is_ok).count(), 5);
        assert_eq!(limits.keys.state.lock().unwrap().full_at.len(), MOST);
    }
}
