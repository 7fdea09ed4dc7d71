//! Whether a node can certify now.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::Authority;
use super::kept::Kept;

/// How far the clocks of the node and the database may differ, in seconds.
const SKEW: u64 = 5;
/// How long an answer is reused, because load balancers and strangers may ask often.
const KEPT: Duration = Duration::from_secs(2);
/// How old an answer may be while the next one is being made. The registry and the signer have ten seconds each.
const RECENT: Duration = Duration::from_secs(25);

/// The last answer to whether a node can certify.
pub(super) struct Ready {
    found: Kept<Found>,
    /// Whether the next answer waits for the signer; otherwise it waits for the registry.
    asks_signer: AtomicBool,
}

/// An answer, and when it was made.
#[derive(Clone)]
struct Found {
    at: Instant,
    missing: Vec<&'static str>,
}

impl Ready {
    pub(super) fn new() -> Self {
        Self {
            found: Kept::new(),
            asks_signer: AtomicBool::new(false),
        }
    }
}

impl Authority {
    /// What the node lacks to issue certificates: some of `registry`, `clock`, `signer` and `ticket-key`, or nothing.
    ///
    /// The signer is asked which keys it has, which needs no signature. A listed key may still not sign, for example because its PIN is missing. So if its
    /// last signature failed, or there was none, it signs once here, at most every two seconds. The causes are printed whenever the answer changes.
    ///
    /// While another request waits for the registry or the signer, the result is the last answer. If that is too old, it is `registry` or `signer`,
    /// whichever is waited for.
    #[must_use]
    pub fn missing(&self, now: u64) -> Vec<&'static str> {
        let is_good = |it: &Found| it.at.elapsed() < RECENT;
        let found = self.ready.found.at_hand(is_good, |last| {
            Ok::<_, Infallible>(match last {
                Some(last) if last.at.elapsed() < KEPT => last,
                last => self.look_and_say(last.map_or_else(Vec::new, |it| it.missing), now),
            })
        });
        match found {
            Some(Ok(found)) => found.missing,
            None if self.ready.asks_signer.load(Ordering::Relaxed) => vec!["signer"],
            None => vec!["registry"],
        }
    }

    fn look_and_say(&self, before: Vec<&'static str>, now: u64) -> Found {
        let all = self.look(now);
        let missing: Vec<_> = all.iter().map(|(word, _)| *word).collect();
        if before != missing {
            for (word, why) in &all {
                eprintln!("tpmssh-ca: not ready, {word}: {why}");
            }
            if missing.is_empty() {
                eprintln!("tpmssh-ca: ready again");
            }
        }
        Found {
            at: Instant::now(),
            missing,
        }
    }

    fn look(&self, now: u64) -> Vec<(&'static str, String)> {
        let said = |err: &crate::Refusal| ssh_format::text::error_line(err);
        let mut all = Vec::new();
        self.ready.asks_signer.store(false, Ordering::Relaxed);
        match self.registry.ready() {
            Err(err) => all.push(("registry", said(&err))),
            Ok(Some(clock)) if clock.abs_diff(now) > SKEW => {
                let why = format!("the database has the time {clock}, and this node {now}");
                all.push(("clock", why));
            }
            Ok(_) => {}
        }
        let force = self.in_force();
        let ca = &force.policy.ca;
        // A node whose own key is retired cannot certify. Whether the registry answers was checked above.
        let own = self.keys(now).map(drop);
        let own = own.or_else(|err| match err {
            crate::Refusal::Unavailable(_) => Ok(()),
            other => Err(other),
        });
        self.ready.asks_signer.store(true, Ordering::Relaxed);
        if let Err(err) = own.and_then(|()| self.signer.check(&[&ca.user, &ca.host])) {
            all.push(("signer", said(&err)));
        }
        if force.tickets.is_empty() {
            all.push(("ticket-key", "there is none".to_owned()));
        }
        all
    }
}
