//! Whether a node can certify now.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::Authority;
use super::kept::Kept;

/// Seconds that the clocks of the node and the database may differ.
const SKEW: u64 = 5;
/// How long an answer is kept: a balancer asks often, and a stranger can.
const KEPT: Duration = Duration::from_secs(2);
/// How old an answer may be while the next one is looked for. The registry and the signer have ten seconds each.
const RECENT: Duration = Duration::from_secs(25);

/// Whether a node can certify, as it was found last.
pub(super) struct Ready {
    found: Kept<Found>,
    /// Whether the signer is waited for now; otherwise the registry.
    asks_signer: AtomicBool,
}

/// What was found, and when.
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
    /// What is missing for certificates: nothing, or some of `registry`, `clock`, `signer` and `ticket-key`.
    ///
    /// The agent is asked which keys it has, which costs no signature. A key that is there and does not sign, such as one whose PIN is missing,
    /// is known by its last signature: if that has failed, or none was made yet, it signs once here, every two seconds at most. The causes
    /// are on standard error whenever the answer changes.
    ///
    /// While another request waits for the registry or the signer, this is the last answer, or the one that is waited for.
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
        // A node whose own key is retired answers nothing but readiness.
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
