//! A fleet in virtual time, around an outage of its authority: each host asks when `enroll::pace` says so, and the node takes it or sends it away
//! by its own limits and its own rule of the queue.

use std::{
    collections::VecDeque,
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

use ca_server::http::{LONGEST_WAIT, Limits, come_again, work};
use enroll::pace;

use super::figure;
use crate::{
    report::{Figure, Unit},
    stats::Summary,
};

const HOUR: u64 = 60 * 60;
const DAY: u64 = 24 * HOUR;
/// The life of a certificate.
const LIFE: u64 = DAY;
/// The time before the outage, in which the hosts find their usual rate.
const BEFORE: u64 = DAY;
/// The time after it.
const AFTER: u64 = 60 * HOUR;
/// Hosts behind one address.
const SITE: u32 = 1_000;

/// A small fleet, and a node that restarts.
pub(crate) const SMALL: &str = "100,000 hosts, 5 min away, 14.5/s";
pub(crate) const EXPIRED: &str = "expired";
pub(crate) const PEAK: &str = "peak";

/// When hosts ask.
#[derive(Clone, Copy, PartialEq)]
enum Habit {
    /// That of `enroll::pace`.
    Ours,
    /// The renewal at 67 % of the life, give or take 20 % of that.
    Late,
    /// Ours, but again each minute if there is no answer.
    EachMinute,
}

struct Scenario {
    what: &'static str,
    hosts: u32,
    /// Seconds for which nobody answers.
    away: u64,
    /// Certificates in ten seconds.
    capacity: u64,
    habit: Habit,
}

const fn scenario(
    what: &'static str,
    hosts: u32,
    away: u64,
    capacity: u64,
    habit: Habit,
) -> Scenario {
    Scenario {
        what,
        hosts,
        away,
        capacity,
        habit,
    }
}

const MILLION: u32 = 1_000_000;

const SCENARIOS: [Scenario; 9] = [
    scenario(SMALL, 100_000, 5 * 60, 145, Habit::Ours),
    scenario(
        "1,000,000 hosts, 2 h away, 1000/s, each minute again",
        MILLION,
        2 * HOUR,
        10_000,
        Habit::EachMinute,
    ),
    scenario(
        "1,000,000 hosts, 2 h away, 1000/s",
        MILLION,
        2 * HOUR,
        10_000,
        Habit::Ours,
    ),
    scenario(
        "1,000,000 hosts, 6 h away, 200/s, at 67 % ± 20 %",
        MILLION,
        6 * HOUR,
        2_000,
        Habit::Late,
    ),
    scenario(
        "1,000,000 hosts, 6 h away, 200/s",
        MILLION,
        6 * HOUR,
        2_000,
        Habit::Ours,
    ),
    scenario(
        "1,000,000 hosts, 2 h away, 33/s, at 67 % ± 20 %",
        MILLION,
        2 * HOUR,
        330,
        Habit::Late,
    ),
    scenario(
        "1,000,000 hosts, 2 h away, 33/s",
        MILLION,
        2 * HOUR,
        330,
        Habit::Ours,
    ),
    scenario(
        "1,000,000 hosts, 2 h away, 20/s, at 67 % ± 20 %",
        MILLION,
        2 * HOUR,
        200,
        Habit::Late,
    ),
    scenario(
        "1,000,000 hosts, 2 h away, 10/s, at 67 % ± 20 %",
        MILLION,
        2 * HOUR,
        100,
        Habit::Late,
    ),
];

/// What a machine meets that comes to the node.
struct Door {
    limits: Limits,
    /// The first second of the simulation.
    start: Instant,
    /// What a certificate takes.
    each: Duration,
}

impl Door {
    fn new(capacity: u64) -> Self {
        Self {
            limits: Limits::new(),
            start: Instant::now(),
            each: Duration::from_secs(10) / u32::try_from(capacity).unwrap_or(u32::MAX),
        }
    }

    /// `None` if the host may wait behind `waiting` others; else the seconds after which it may come again.
    fn sends_away(
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

/// The result for a fleet.
#[derive(Debug, Clone, Copy, PartialEq)]
struct End {
    /// The most requests in one second after the outage.
    peak: u64,
    /// Hours from the end of the outage until the rate of requests (mean of five minutes) stays below 1.5 times the usual one; 60,
    /// the end of the simulation, if it never does.
    settled: f64,
    /// Hosts that were without a good certificate at any time.
    expired: u64,
}

pub(super) fn measure() -> Vec<Figure> {
    let mut figures = Vec::new();
    for scenario in &SCENARIOS {
        let end = simulate(scenario);
        let mut add = |who: &str, unit, value: f64| {
            let value = Summary::exactly(value);
            figures.push(figure(scenario.what, who, unit, 1, value));
        };
        add(PEAK, Unit::PerSecond, end.peak as f64);
        add("settled", Unit::Hours, end.settled);
        add(EXPIRED, Unit::Hosts, end.expired as f64);
    }
    for millis in KEYS {
        for (who, life) in [("for a day", DAY), ("for a week", 7 * DAY)] {
            let what = format!("hosts of a key that signs in {millis} ms");
            let value = Summary::exactly(hosts(millis, life));
            figures.push(figure(&what, who, Unit::Hosts, 1, value));
        }
    }
    figures
}

/// What a key takes for a certificate, in milliseconds: a fast TPM, the one of docs/performance.md, and slow ones.
const KEYS: [f64; 4] = [30.0, 68.9, 100.0, 200.0];

/// How many hosts with certificates for `life` seconds a key keeps that signs half of the time: the other half is for the crowd after an outage.
fn hosts(millis: f64, life: u64) -> f64 {
    let each_second = 1000.0 / millis / 2.0;
    let between = Habit::Ours.between() / LIFE as f64 * life as f64;
    (each_second * between / 1000.0).floor() * 1000.0
}

/// Numbers that look random and are the same in each run.
///
/// # Source
///
/// Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014: SplitMix64.
struct Random(u64);

impl Random {
    fn draw(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 32) as u32
    }

    fn below(&mut self, end: u64) -> u64 {
        (u64::from(self.draw()) * end) >> 32
    }
}

impl Habit {
    fn renew_at(self, begin: u64, random: &mut Random) -> u64 {
        match self {
            Self::Late => begin + LIFE * 67 * 8 / 1000 + random.below(LIFE * 67 * 4 / 1000),
            _ => pace::renewal(begin, begin + LIFE, 0, random.draw()),
        }
    }

    /// The mean time between two renewals, in seconds.
    fn between(self) -> f64 {
        let part = match self {
            Self::Late => 0.67,
            _ => 0.585,
        };
        part * LIFE as f64
    }

    fn retry_in(self, failures: u32, retry_after: Option<u64>, random: &mut Random) -> u64 {
        match self {
            Self::EachMinute => 60,
            _ => {
                let after = retry_after.map(Duration::from_secs);
                pace::retry(failures, after, random.draw()).as_secs()
            }
        }
    }
}

#[derive(Clone, Copy)]
struct Host {
    /// The end of its certificate.
    end: u64,
    failures: u32,
    expired: bool,
}

fn simulate(scenario: &Scenario) -> End {
    let Scenario {
        hosts,
        away,
        capacity,
        habit,
        ..
    } = *scenario;
    // The first second of the simulation; certificates began up to a day before it.
    let start = 2 * DAY;
    let (from, to) = (start + BEFORE, start + BEFORE + away);
    let stop = to + AFTER;
    let mut random = Random(20);
    let mut due: Vec<Vec<u32>> = vec![Vec::new(); usize_of(stop - start)];
    let mut fleet = Vec::with_capacity(usize_of(u64::from(hosts)));
    for number in 0..hosts {
        // Somewhere between two renewals.
        let begin = start - DAY;
        let first = habit.renew_at(begin, &mut random);
        let gone = random.below(first - begin);
        fleet.push(Host {
            end: start - gone + LIFE,
            failures: 0,
            expired: false,
        });
        put(&mut due, first - begin - gone, number);
    }
    let door = Door::new(capacity);
    let mut queue: VecDeque<u32> = VecDeque::new();
    let mut asked = vec![0_u64; due.len()];
    // In tenths of a certificate.
    let mut credit = 0;
    for second in 0..due.len() {
        let now = start + second as u64;
        let is_away = (from..to).contains(&now);
        for number in std::mem::take(&mut due[second]) {
            asked[second] += 1;
            let after = if is_away {
                None
            } else {
                let away = door.sends_away(number, queue.len(), second as u64, &mut random);
                if away.is_none() {
                    queue.push_back(number);
                    continue;
                }
                away
            };
            let host = &mut fleet[number as usize];
            host.failures += 1;
            let wait = habit.retry_in(host.failures, after, &mut random);
            put(&mut due, second as u64 + wait, number);
        }
        if is_away {
            credit = 0;
            continue;
        }
        credit = (credit + capacity).min(capacity.max(10));
        while credit >= 10
            && let Some(number) = queue.pop_front()
        {
            credit -= 10;
            let host = &mut fleet[number as usize];
            host.expired |= now >= host.end;
            (host.end, host.failures) = (now + LIFE, 0);
            let next = habit.renew_at(now, &mut random) - start;
            put(&mut due, next, number);
        }
    }
    for host in &mut fleet {
        host.expired |= stop >= host.end;
    }
    let after = &asked[usize_of(to - start)..];
    let usual = f64::from(hosts) / habit.between();
    const MEAN: usize = 300;
    let means: Vec<f64> = after
        .chunks(MEAN)
        .map(|part| part.iter().sum::<u64>() as f64 / part.len() as f64)
        .collect();
    let last = means.iter().rposition(|mean| *mean >= 1.5 * usual);
    End {
        peak: after.iter().copied().max().unwrap_or(0),
        settled: last.map_or(0.0, |last| ((last + 1) * MEAN) as f64 / HOUR as f64),
        expired: fleet.iter().filter(|host| host.expired).count() as u64,
    }
}

fn usize_of(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Notes that a host asks at `second`; ignored after the end of the simulation.
fn put(due: &mut [Vec<u32>], second: u64, number: u32) {
    if let Some(all) = due.get_mut(usize_of(second)) {
        all.push(number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small(away: u64, capacity: u64, habit: Habit) -> End {
        simulate(&scenario("", 20_000, away, capacity, habit))
    }

    #[test]
    fn nobody_expires_in_an_outage_of_minutes_and_the_crowd_is_small() {
        let end = small(5 * 60, 30, Habit::Ours);
        assert_eq!(end.expired, 0);
        // Three seconds of work at once at the most.
        assert!(end.peak <= 9, "{end:?}");
    }

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

    #[test]
    fn a_key_of_a_tpm_is_enough_for_hundreds_of_thousands() {
        let of = |life| KEYS.map(|millis| hosts(millis, life));
        assert_eq!(of(DAY), [842_000.0, 366_000.0, 252_000.0, 126_000.0]);
        assert_eq!(hosts(200.0, 7 * DAY), 884_000.0);
    }

    #[test]
    fn who_asks_each_minute_makes_a_crowd() {
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
}
