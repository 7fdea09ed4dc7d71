//! A real authority in this process, in virtual time: `begin`, `finish`, `nonce` and `renew` of `ca_server::Authority`, with its registry in SQLite,
//! its audit log and its signatures. Only the network is not there, and the clock is the simulation's.

mod authority;
mod together;

use std::{
    sync::OnceLock,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use enroll::{Authorities, Wanted};
use key_proof::Kind;

use self::{authority::Node, together::together};
use super::certify::{Certify, Granted, Turn};
use crate::measure::fleet::{machine::Machine, renewer::Renewer};

/// The life of a certificate in the authority's rules.
pub(super) const TTL: &str = "24h";

/// The processor time of this process while a new authority turns away these requests for challenges.
pub(in crate::measure::fleet) fn turned_away(requests: &[String]) -> Result<Duration> {
    let node = Node::new(TTL)?;
    // The first ones fill caches.
    let (first, _) = requests.split_at(requests.len() / 10);
    let turn_away = |requests: &[String]| {
        let all = requests.iter().all(|it| node.turns_away(it, 1));
        ensure!(all, "a stranger was not turned away");
        Ok(())
    };
    turn_away(first)?;
    let before = processor_time();
    turn_away(requests)?;
    let used = processor_time().saturating_sub(before);
    node.end()?;
    Ok(used)
}

fn processor_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(now).unwrap_or_default()
}

/// The authority, and the hosts that it knows.
pub(super) struct Real {
    node: Node,
    /// The keys that the hosts trust.
    trusted: Authorities,
    /// What each host keeps for its renewals.
    hosts: Vec<OnceLock<Renewer>>,
    enrolled_in: Duration,
}

impl Real {
    /// An authority for `hosts` hosts, none of which it knows yet, with certificates for `ttl`.
    pub(super) fn start(hosts: u32, ttl: &str) -> Result<Self> {
        let node = Node::new(ttl)?;
        Ok(Self {
            trusted: node.trusted(),
            node,
            hosts: (0..hosts).map(|_| OnceLock::new()).collect(),
            enrolled_in: Duration::ZERO,
        })
    }

    /// What the enrolments took.
    pub(super) fn enrolled_in(&self) -> Duration {
        self.enrolled_in
    }

    /// Ends it. Returns the number of certificates in its log.
    pub(super) fn end(self) -> Result<u64> {
        self.node.end()
    }

    /// A machine with new keys, known to the authority by an import, as an administrator does it.
    fn enrol_one(&self, turn: Turn) -> Result<Granted> {
        let Turn { host, now } = turn;
        let mut machine = Machine::new(&name(host))?;
        machine.set_clock(millis(now));
        self.node.import(&machine, now)?;
        let challenge = self.node.begin(&machine.request(), now)?;
        let proof = machine.proof(challenge.as_bytes())?;
        let answer = self.node.finish(&proof, now)?;
        let renewer = machine.into_renewer();
        let granted = self.read(&renewer, turn, &answer)?;
        let place = self.hosts.get(host as usize).context("a host too many")?;
        let known = place.set(renewer);
        known.ok().context("a host enrols once").map(|()| granted)
    }

    fn renew_one(&self, turn: Turn) -> Result<Granted> {
        let host = self.hosts.get(turn.host as usize);
        let host = host
            .and_then(OnceLock::get)
            .context("it has not enrolled")?;
        let nonce = self.node.nonce(turn.now)?;
        let renewal = host.renewal(&name(turn.host), nonce, millis(turn.now))?;
        let answer = self.node.renew(&renewal, turn.now)?;
        self.read(host, turn, &answer)
    }

    /// Reads an answer as the client does, which takes no certificate that it has not checked.
    fn read(&self, host: &Renewer, turn: Turn, answer: &str) -> Result<Granted> {
        let granted = enroll::Granted::from_json(answer.as_bytes())?;
        let wanted = Wanted {
            key: &host.public()?,
            kind: Kind::Host,
            principals: &[name(turn.host)],
        };
        wanted.check(&granted.certificate, &self.trusted, turn.now)?;
        Ok(Granted {
            valid_before: granted.certificate.valid_before(),
            renew_after: granted.renew_after,
        })
    }
}

impl Certify for Real {
    fn enrol(&mut self, turns: &[Turn]) -> Result<Vec<Granted>> {
        let begun = Instant::now();
        let granted = together(turns, |turn| self.enrol_one(*turn))?;
        self.enrolled_in = begun.elapsed();
        Ok(granted)
    }

    fn renew(&mut self, turns: &[Turn]) -> Result<Vec<Granted>> {
        together(turns, |turn| self.renew_one(*turn))
    }
}

fn name(host: u32) -> String {
    format!("host{host}.example")
}

/// The clock of a TPM, which counts milliseconds.
fn millis(seconds: u64) -> u64 {
    seconds * 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A refusal is no answer: the run ends with it.
    #[test]
    fn a_host_that_is_refused_ends_the_run() {
        let mut real = Real::start(2, TTL).unwrap();
        let at = |now| [0, 1].map(|host| Turn { host, now });
        real.enrol(&at(1_757_000_000)).unwrap();
        real.renew(&at(1_757_000_100)).unwrap();
        // The clocks of the machines go back with that of the authority.
        let back = real.renew(&at(1_757_000_050)).unwrap_err();
        let back = format!("{back:#}");
        assert!(
            back.starts_with("2 of 2 hosts got no certificate, "),
            "{back}"
        );
        assert!(
            back.contains("V14: the time of this TPM has gone back"),
            "{back}"
        );
        real.node.revoke(1).unwrap();
        let gone = format!("{:#}", real.renew(&at(1_757_000_200)).unwrap_err());
        assert!(
            gone.starts_with("1 of 2 hosts got no certificate, "),
            "{gone}"
        );
        assert!(gone.contains("enrol-again: "), "{gone}");
        assert_eq!(real.end().unwrap(), 5);
    }
}
