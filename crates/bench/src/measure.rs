//! The measurements: which contestants do which action, how often, side by side.

mod command;
mod count;
mod fleet;
mod proof;
mod scale;
mod sign;

use anyhow::Result;

use crate::{
    report::{Figure, Group, Ratio, Unit},
    stats::Summary,
};

pub(crate) use command::{
    AGENT_LOGIN, FILE, INCUMBENT, LIST, LOGIN, NEXT_LOGIN, TPMSSH, TPMSSH_BARE,
};
pub(crate) use fleet::{
    CPU as NODE_CPU, EACH as RENEWAL, EXPIRED, HANDLED, IDLE as NODE_IDLE, MANY as NODE_BUSY,
    PEAK as CROWD, POSTGRES, SLOW as SLOW_RENEWAL, SMALL as SMALL_FLEET, SQLITE, real_handlers,
};
pub(crate) use proof::{LIBRARY as VERIFIER, VERIFY};
pub(crate) use scale::{AGENT_MEMORY, INITIALIZE, LIST_OBJECTS, keys};
pub(crate) use sign::{AGENT, C_SIGN, FLOOR, LIBRARY, MANAGED, THEIR_C_SIGN, what as sign_what};

/// The number of rounds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    /// Rounds of signatures.
    sign_rounds: usize,
    /// Rounds of whole commands on the simulator.
    command_rounds: usize,
    /// Rounds of whole commands with the latencies of a chip.
    chip_rounds: usize,
    /// Programs with many objects.
    scale_rounds: usize,
    /// Rounds of renewals over HTTP, and the renewals of one.
    load_rounds: usize,
    renewals: usize,
    /// Hosts of the simulated fleet that has a real authority.
    pub(crate) hosts: u32,
}

impl Effort {
    /// Enough for a figure that can be relied on.
    pub(crate) const FULL: Self = Self {
        sign_rounds: 120,
        command_rounds: 60,
        chip_rounds: 15,
        scale_rounds: 15,
        load_rounds: 5,
        renewals: 3_000,
        hosts: 100_000,
    };

    /// Enough to notice a large change.
    pub(crate) const QUICK: Self = Self {
        sign_rounds: 20,
        command_rounds: 12,
        chip_rounds: 3,
        scale_rounds: 3,
        load_rounds: 2,
        renewals: 1_000,
        hosts: 5_000,
    };
}

/// Runs all measurements, or one group.
///
/// # Errors
///
/// If a measured program fails.
pub(crate) fn all(effort: Effort, only: Option<Group>, note: impl Fn(&str)) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for group in Group::ALL {
        if only.is_some_and(|only| only != group) {
            continue;
        }
        note(group.title());
        figures.extend(match group {
            Group::Sign => sign::measure(effort)?,
            Group::Command | Group::Chip => command::measure(group, effort)?,
            Group::Count => count::measure()?,
            Group::Scale => scale::measure(effort)?,
            Group::Proof => proof::measure(effort)?,
            Group::Fleet => fleet::measure(effort)?,
        });
    }
    Ok(figures)
}

/// A contestant of a race: does the action once or a few times, and returns the milliseconds that
/// it took.
struct Racer<'a> {
    who: &'static str,
    run: Box<dyn FnMut() -> Result<f64> + 'a>,
}

impl<'a> Racer<'a> {
    fn new(who: &'static str, run: impl FnMut() -> Result<f64> + 'a) -> Self {
        Self {
            who,
            run: Box::new(run),
        }
    }
}

/// Lets each contestant run once, to warm up, and then once in each of `rounds` rounds, so that other
/// work on the machine slows all of them alike. Each round begins with another contestant.
///
/// The ratios are to `base`, pair by pair.
fn race(
    group: Group,
    what: &str,
    mut racers: Vec<Racer<'_>>,
    rounds: usize,
    base: &str,
) -> Result<Vec<Figure>> {
    let mut samples = vec![Vec::with_capacity(rounds); racers.len()];
    for racer in &mut racers {
        (racer.run)()?;
    }
    for round in 0..rounds {
        for place in 0..racers.len() {
            let index = (round + place) % racers.len();
            samples[index].push((racers[index].run)()?);
        }
    }
    let beside = racers.iter().position(|racer| racer.who == base);
    let figures = racers.iter().enumerate().map(|(index, racer)| Figure {
        group,
        what: what.to_owned(),
        who: racer.who.to_owned(),
        unit: Unit::Millis,
        samples: rounds,
        value: Summary::of(&samples[index]),
        ratio: beside
            .filter(|beside| *beside != index)
            .map(|beside| Ratio {
                to: base.to_owned(),
                value: Summary::of_ratios(&samples[index], &samples[beside]),
            }),
    });
    Ok(figures.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_runs_once_more_than_there_are_rounds_and_is_compared_with_the_base() {
        let runs = std::cell::Cell::new(0);
        let racers = vec![
            Racer::new("base", || {
                runs.set(runs.get() + 1);
                Ok(2.0)
            }),
            Racer::new("other", || Ok(3.0)),
        ];
        let figures = race(Group::Sign, "x", racers, 4, "base").unwrap();
        assert_eq!(runs.get(), 5);
        assert_eq!(figures[0].ratio, None);
        assert_eq!(figures[0].value, Summary::exactly(2.0));
        let ratio = figures[1].ratio.clone().unwrap();
        assert_eq!((ratio.to.as_str(), ratio.value.median), ("base", 1.5));
    }

    #[test]
    fn a_race_in_which_someone_fails_has_no_figures() {
        let racers = vec![Racer::new("base", || anyhow::bail!("fell"))];
        let error = race(Group::Sign, "x", racers, 4, "base").unwrap_err();
        assert_eq!(error.to_string(), "fell");
    }
}
