//! The course of a scenario, second by second.

use std::collections::VecDeque;

use anyhow::{Result, ensure};

use super::{
    HOUR,
    certify::{Assumed, Certify, Turn},
    door::Door,
    random::Random,
    scenario::{Scenario, Until},
};

/// The first second, since 1970: in September 2025. Certificates began up to a day before it.
const START: u64 = 1_757_000_000;
/// The longest time after the outage.
const AFTER: u64 = 60 * HOUR;
/// Seconds whose certificates are made together. A host waits for hours until it comes again.
const TOGETHER: usize = 60;

/// What has happened.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Course {
    /// The requests in each second.
    asked: Vec<u64>,
    /// The second in which the outage ends.
    back: usize,
    /// The hosts whose certificate was expired at any time.
    pub(super) expired: u64,
    /// Certificates after the first one of each host.
    pub(super) renewed: u64,
}

/// The result for a fleet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct End {
    /// The most requests in one second after the outage.
    pub(super) peak: u64,
    /// Hours from the end of the outage until the rate of requests (mean of five minutes) stays below 1.5 times the usual one; up to the end
    /// of the simulation, if it never does.
    pub(super) settled: f64,
    pub(super) expired: u64,
}

#[derive(Clone, Copy)]
struct Host {
    /// The end of its certificate.
    end: u64,
    failures: u32,
    expired: bool,
    /// Whether it got a certificate after the outage.
    renewed: bool,
}

struct Fleet<'a> {
    scenario: &'a Scenario,
    certifier: &'a mut dyn Certify,
    hosts: Vec<Host>,
    /// The hosts that ask in each second.
    due: Vec<Vec<u32>>,
    /// The hosts whose turn it was, with a number that each has drawn for the time of its next renewal.
    served: Vec<(Turn, u32)>,
    /// How many have no certificate from after the outage.
    left: usize,
    renewed: u64,
}

/// Lets the fleet of `scenario` ask, and `certifier` answer.
pub(super) fn run(scenario: &Scenario, certifier: &mut dyn Certify) -> Result<Course> {
    let (from, back) = (scenario.before, scenario.before + scenario.away);
    let mut random = Random(20);
    let mut fleet = Fleet::new(scenario, certifier, back + AFTER, &mut random)?;
    let door = Door::new(scenario.capacity);
    let mut queue: VecDeque<u32> = VecDeque::new();
    let mut asked = vec![0; fleet.due.len()];
    // Counted in tenths of a certificate.
    let mut credit = 0;
    for second in 0..fleet.due.len() {
        let at = second as u64;
        let is_away = (from..back).contains(&at);
        for number in std::mem::take(&mut fleet.due[second]) {
            asked[second] += 1;
            let after = if is_away {
                None
            } else {
                let away = door.sends_away(number, queue.len(), at, &mut random);
                if away.is_none() {
                    queue.push_back(number);
                    continue;
                }
                away
            };
            let host = &mut fleet.hosts[number as usize];
            host.failures += 1;
            let wait = scenario.habit.retry_in(host.failures, after, &mut random);
            put(&mut fleet.due, at + wait, number);
        }
        if is_away {
            credit = 0;
        } else {
            credit = (credit + scenario.capacity).min(scenario.capacity.max(10));
        }
        while credit >= 10
            && let Some(host) = queue.pop_front()
        {
            credit -= 10;
            fleet.hosts[host as usize].failures = 0;
            let now = START + at;
            fleet.served.push((Turn { host, now }, random.draw()));
        }
        if second % TOGETHER == TOGETHER - 1 || second == asked.len() - 1 {
            fleet.certify()?;
            if scenario.until == Until::AllRenewed && fleet.left == 0 {
                asked.truncate(second + 1);
            }
        }
        if second + 1 == asked.len() {
            break;
        }
    }
    let stop = START + asked.len() as u64;
    let expired = fleet.hosts.iter().filter(|it| it.expired || stop >= it.end);
    Ok(Course {
        back: usize_of(back),
        expired: expired.count() as u64,
        renewed: fleet.renewed,
        asked,
    })
}

impl<'a> Fleet<'a> {
    /// Each host is somewhere between two renewals.
    fn new(
        scenario: &'a Scenario,
        certifier: &'a mut dyn Certify,
        seconds: u64,
        random: &mut Random,
    ) -> Result<Self> {
        let habit = scenario.habit;
        let mut turns = Vec::new();
        for host in 0..scenario.hosts {
            let drawn = random.draw();
            let between = habit.renew_at(START, Assumed::at(START), drawn) - START;
            let now = START - random.below(between);
            turns.push((Turn { host, now }, drawn));
        }
        // An authority has one clock.
        turns.sort_by_key(|(turn, _)| turn.now);
        let only: Vec<Turn> = turns.iter().map(|(turn, _)| *turn).collect();
        let granted = certifier.enrol(&only)?;
        let nobody = Host {
            end: 0,
            failures: 0,
            expired: false,
            renewed: false,
        };
        let mut hosts = vec![nobody; turns.len()];
        let mut due: Vec<Vec<u32>> = vec![Vec::new(); usize_of(seconds)];
        let mut asks = Vec::new();
        for ((turn, drawn), granted) in turns.iter().zip(granted) {
            hosts[turn.host as usize].end = granted.valid_before;
            asks.push((turn.host, habit.renew_at(turn.now, granted, *drawn)));
        }
        asks.sort_unstable();
        for (host, at) in asks {
            ensure!(at >= START, "a first certificate is too short");
            put(&mut due, at - START, host);
        }
        Ok(Self {
            scenario,
            certifier,
            left: hosts.len(),
            hosts,
            due,
            served: Vec::new(),
            renewed: 0,
        })
    }

    /// Has the certificates made of those whose turn it was.
    fn certify(&mut self) -> Result<()> {
        let served = std::mem::take(&mut self.served);
        let turns: Vec<Turn> = served.iter().map(|(turn, _)| *turn).collect();
        let granted = self.certifier.renew(&turns)?;
        let back = START + self.scenario.before + self.scenario.away;
        for ((turn, drawn), granted) in served.iter().zip(granted) {
            let host = &mut self.hosts[turn.host as usize];
            host.expired |= turn.now >= host.end;
            host.end = granted.valid_before;
            if turn.now >= back && !host.renewed {
                host.renewed = true;
                self.left -= 1;
            }
            self.renewed += 1;
            let next = self.scenario.habit.renew_at(turn.now, granted, *drawn);
            let is_later = next > turn.now + TOGETHER as u64;
            ensure!(is_later, "a certificate is too short");
            put(&mut self.due, next - START, turn.host);
        }
        Ok(())
    }
}

impl Course {
    pub(super) fn end(&self, scenario: &Scenario) -> End {
        let after = &self.asked[self.back..];
        let usual = f64::from(scenario.hosts) / scenario.habit.between();
        const MEAN: usize = 300;
        let means: Vec<f64> = after
            .chunks(MEAN)
            .map(|part| part.iter().sum::<u64>() as f64 / part.len() as f64)
            .collect();
        let last = means.iter().rposition(|mean| *mean >= 1.5 * usual);
        End {
            peak: after.iter().copied().max().unwrap_or(0),
            settled: last.map_or(0.0, |last| ((last + 1) * MEAN) as f64 / HOUR as f64),
            expired: self.expired,
        }
    }

    /// The first second in which the numbers of requests differ.
    pub(super) fn differs(&self, other: &Self) -> Option<usize> {
        let pairs = self.asked.iter().zip(&other.asked);
        let first = pairs.into_iter().position(|(one, two)| one != two);
        let shorter = self.asked.len().min(other.asked.len());
        first.or((self.asked.len() != other.asked.len()).then_some(shorter))
    }
}

fn usize_of(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Plans a request of a host at `second`. Requests after the end of the simulation are ignored.
fn put(due: &mut [Vec<u32>], second: u64, number: u32) {
    if let Some(all) = due.get_mut(usize_of(second)) {
        all.push(number);
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{DAY, habit::Habit},
        *,
    };

    fn small(away: u64, capacity: u64, habit: Habit) -> End {
        let scenario = Scenario::new("", 20_000, away, capacity, habit);
        run(&scenario, &mut Assumed).unwrap().end(&scenario)
    }

    #[test]
    fn nobody_expires_in_an_outage_of_minutes_and_the_crowd_is_small() {
        let end = small(5 * 60, 30, Habit::Ours);
        assert_eq!(end.expired, 0);
        // At most three seconds of work come at once.
        assert!(end.peak <= 9, "{end:?}");
    }

    #[test]
    fn retries_every_minute_make_a_crowd() {
        let (calm, wild) = (
            small(7200, 200, Habit::Ours),
            small(7200, 200, Habit::EachMinute),
        );
        assert!(wild.peak > 3 * calm.peak, "{calm:?} {wild:?}");
    }

    #[test]
    fn an_authority_that_signs_less_than_is_asked_for_lets_hosts_expire() {
        let end = small(2 * HOUR, 1, Habit::Ours);
        assert!(end.expired > 10_000, "{end:?}");
        assert_eq!(end.settled, 60.0);
    }

    /// The short course ends when the last host has renewed: within 67 % of a day after the outage, and not before half a day.
    #[test]
    fn a_restart_is_simulated_until_each_host_has_renewed() {
        let scenario = Scenario::restart(String::new(), 5_000);
        let course = run(&scenario, &mut Assumed).unwrap();
        let hours = (course.asked.len() - course.back) as u64 / HOUR;
        assert!((12..=17).contains(&hours), "{hours}");
        // Each before the outage and after it.
        assert!(course.renewed >= 10_000, "{}", course.renewed);
        assert_eq!(course.expired, 0);
        assert!(scenario.before > DAY * 67 / 100);
    }
}
