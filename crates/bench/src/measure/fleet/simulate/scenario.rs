//! The fleets and outages that are simulated.

use super::{DAY, HOUR, habit::Habit};

/// A small fleet, and a node that restarts.
pub(crate) const SMALL: &str = "100,000 hosts, 5 min away, 14.5/s";
/// What [`SMALL`] is for: the seconds of a restart, and the certificates that a TPM makes in ten seconds.
const RESTART: u64 = 5 * 60;
const TPM: u64 = 145;

#[derive(Clone)]
pub(super) struct Scenario {
    pub(super) what: String,
    pub(super) hosts: u32,
    /// Seconds before the outage.
    pub(super) before: u64,
    /// The length of the outage, in seconds.
    pub(super) away: u64,
    pub(super) until: Until,
    /// The certificates that the node can sign in ten seconds.
    pub(super) capacity: u64,
    pub(super) habit: Habit,
}

/// The end of a simulation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Until {
    /// 60 hours after the outage.
    Late,
    /// As soon as each host has got a certificate after the outage; at the latest after 60 hours.
    AllRenewed,
}

impl Scenario {
    pub(super) fn new(what: &str, hosts: u32, away: u64, capacity: u64, habit: Habit) -> Self {
        Self {
            what: what.to_owned(),
            hosts,
            before: DAY,
            away,
            until: Until::Late,
            capacity,
            habit,
        }
    }

    /// That of [`SMALL`] for as long as it has to be: each host renews at least once before the outage, since none waits longer
    /// than 67 % of a day, and once after it.
    pub(super) fn restart(what: String, hosts: u32) -> Self {
        Self {
            before: 17 * HOUR,
            until: Until::AllRenewed,
            ..Self::new(&what, hosts, RESTART, TPM, Habit::Ours)
        }
    }
}

/// Those of the model.
pub(super) fn all() -> Vec<Scenario> {
    const MILLION: u32 = 1_000_000;
    let million =
        |what, hours, capacity, habit| Scenario::new(what, MILLION, hours * HOUR, capacity, habit);
    vec![
        Scenario::new(SMALL, 100_000, RESTART, TPM, Habit::Ours),
        million(
            "1,000,000 hosts, 2 h away, 1000/s, each minute again",
            2,
            10_000,
            Habit::EachMinute,
        ),
        million("1,000,000 hosts, 2 h away, 1000/s", 2, 10_000, Habit::Ours),
        million(
            "1,000,000 hosts, 6 h away, 200/s, at 67 % ± 20 %",
            6,
            2_000,
            Habit::Late,
        ),
        million("1,000,000 hosts, 6 h away, 200/s", 6, 2_000, Habit::Ours),
        million(
            "1,000,000 hosts, 2 h away, 33/s, at 67 % ± 20 %",
            2,
            330,
            Habit::Late,
        ),
        million("1,000,000 hosts, 2 h away, 33/s", 2, 330, Habit::Ours),
        million(
            "1,000,000 hosts, 2 h away, 20/s, at 67 % ± 20 %",
            2,
            200,
            Habit::Late,
        ),
        million(
            "1,000,000 hosts, 2 h away, 10/s, at 67 % ± 20 %",
            2,
            100,
            Habit::Late,
        ),
    ]
}
