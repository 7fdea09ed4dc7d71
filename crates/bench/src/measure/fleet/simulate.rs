//! A simulation of a fleet around an outage of its authority, in virtual time. Hosts ask at the times of `enroll::pace`. The node accepts or
//! refuses requests with its own rate limits and queue.
//!
//! Large fleets are a model: a host that is taken is assumed to have a certificate for a day. One fleet of machines with keys of their own gets its
//! certificates from a real authority in this process ([`real`]).

mod certify;
mod course;
mod door;
mod habit;
mod key;
mod random;
mod real;
mod scenario;

use std::time::Instant;

use anyhow::{Result, bail, ensure};

use self::{
    certify::Assumed,
    course::{Course, End},
    real::Real,
    scenario::Scenario,
};
use super::figure;
use crate::{
    report::{Figure, Unit},
    stats::Summary,
};

const HOUR: u64 = 60 * 60;
const DAY: u64 = 24 * HOUR;
/// The life of a certificate in the model.
const LIFE: u64 = DAY;

pub(super) use real::turned_away;
pub(crate) use scenario::SMALL;
pub(crate) const EXPIRED: &str = "expired";
pub(crate) const PEAK: &str = "peak";

/// The name of the simulation with a real authority.
pub(crate) fn real_handlers(hosts: u32) -> String {
    let thousands = hosts / 1_000;
    format!("{thousands},000 hosts, 5 min away, 14.5/s, real handlers")
}

/// Simulates all fleets; the one with a real authority has `hosts` hosts.
pub(super) fn measure(hosts: u32) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for scenario in scenario::all() {
        let end = course::run(&scenario, &mut Assumed)?.end(&scenario);
        figures.extend(of(&scenario, end));
    }
    let scenario = Scenario::restart(real_handlers(hosts), hosts);
    let end = with_real_handlers(&scenario, real::TTL)?.end(&scenario);
    figures.extend(of(&scenario, end));
    for millis in key::KEYS {
        for (who, life) in key::LIVES {
            let what = format!("hosts of a key that signs in {millis} ms");
            let value = Summary::exactly(key::hosts(millis, life));
            figures.push(figure(&what, who, Unit::Hosts, 1, value));
        }
    }
    Ok(figures)
}

fn of(scenario: &Scenario, end: End) -> [Figure; 3] {
    let of = |who: &str, unit, value: f64| {
        let value = Summary::exactly(value);
        figure(&scenario.what, who, unit, 1, value)
    };
    [
        of(PEAK, Unit::PerSecond, end.peak as f64),
        of("settled", Unit::Hours, end.settled),
        of(EXPIRED, Unit::Hosts, end.expired as f64),
    ]
}

/// Runs a scenario with a real authority, whose certificates are good for `ttl`.
///
/// # Errors
///
/// If the authority refuses anything, or the model is wrong: the hosts of both have drawn the same numbers, and so must ask in the same seconds.
fn with_real_handlers(scenario: &Scenario, ttl: &str) -> Result<Course> {
    let expected = course::run(scenario, &mut Assumed)?;
    let begun = Instant::now();
    let mut real = Real::start(scenario.hosts, ttl)?;
    let course = course::run(scenario, &mut real)?;
    let enrolled = real.enrolled_in();
    let certificates = real.end()?;
    let rest = begun.elapsed().saturating_sub(enrolled);
    if let Some(second) = course.differs(&expected) {
        bail!(
            "with real handlers the number of requests is not that of the model, from second {second} on"
        );
    }
    ensure!(course == expected, "the model is wrong: {}", course.expired);
    let (hosts, renewed) = (u64::from(scenario.hosts), course.renewed);
    ensure!(
        certificates == hosts + renewed,
        "the authority's log has {certificates} certificates, and {hosts} hosts have renewed {renewed} times"
    );
    eprintln!(
        "{}: {hosts} enrolments in {} s, {renewed} renewals in {} s",
        scenario.what,
        enrolled.as_secs(),
        rest.as_secs(),
    );
    Ok(course)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTS: u32 = 200;

    /// The certificates of the authority are what the model assumes, and none of them ends before its host has the next one.
    #[test]
    fn nobody_expires_with_real_handlers_in_an_outage_of_minutes() {
        let scenario = Scenario::restart(String::new(), HOSTS);
        let course = with_real_handlers(&scenario, real::TTL).unwrap();
        assert_eq!(course.expired, 0);
        assert!(course.renewed >= 2 * u64::from(HOSTS));
    }

    /// The hosts go by what the authority says, and not by what is assumed.
    #[test]
    fn an_authority_with_other_lives_is_not_the_model() {
        let scenario = Scenario::restart(String::new(), 10);
        let said = with_real_handlers(&scenario, "25h")
            .unwrap_err()
            .to_string();
        assert!(
            said.starts_with(
                "with real handlers the number of requests is not that of the model, "
            ),
            "{said}"
        );
    }

    /// The same with an outage that is longer than most certificates have left.
    #[test]
    fn hosts_expire_with_real_handlers_in_an_outage_of_most_of_a_day() {
        let scenario = Scenario {
            away: 20 * HOUR,
            ..Scenario::restart(String::new(), 20)
        };
        let course = with_real_handlers(&scenario, real::TTL).unwrap();
        assert!((10..20).contains(&course.expired), "{}", course.expired);
    }
}
