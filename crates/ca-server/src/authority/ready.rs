//! Whether a node can certify now.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use super::Authority;

/// Seconds that the clocks of the node and the database may differ.
const SKEW: u64 = 5;
/// How long an answer is kept: a balancer asks often, and a stranger can.
const KEPT: Duration = Duration::from_secs(2);

/// What was found, and when.
pub(super) type Found = Option<(Instant, Vec<&'static str>)>;

impl Authority {
    /// What is missing for certificates: nothing, or some of `registry`, `clock`, `signer` and `ticket-key`.
    ///
    /// The agent is asked which keys it has, which costs no signature. A key that is there and does not sign, such as one whose PIN is missing,
    /// is known by the last signature: if that has failed, or none was made yet, each key signs once here, every two seconds at most. The causes
    /// are on standard error whenever the answer changes.
    #[must_use]
    pub fn missing(&self, now: u64) -> Vec<&'static str> {
        let mut found = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((when, missing)) = &*found
            && when.elapsed() < KEPT
        {
            return missing.clone();
        }
        let all = self.look(now);
        let missing: Vec<_> = all.iter().map(|(word, _)| *word).collect();
        let before = found.as_ref().map_or(&[][..], |(_, missing)| missing);
        if before != missing {
            for (word, why) in &all {
                eprintln!("tpmssh-ca: not ready, {word}: {why}");
            }
            if missing.is_empty() {
                eprintln!("tpmssh-ca: ready again");
            }
        }
        *found = Some((Instant::now(), missing.clone()));
        missing
    }

    fn look(&self, now: u64) -> Vec<(&'static str, String)> {
        let said = |err: &crate::Refusal| ssh_format::text::error_line(err);
        let mut all = Vec::new();
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
        if let Err(err) = own.and_then(|()| self.signer.check(&[&ca.user, &ca.host])) {
            all.push(("signer", said(&err)));
        }
        if force.tickets.is_empty() {
            all.push(("ticket-key", "there is none".to_owned()));
        }
        all
    }
}
