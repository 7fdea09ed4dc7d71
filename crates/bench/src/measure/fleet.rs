//! The authority over the network: its renewals per second, and a fleet during an outage of it.

mod flood;
mod load;
mod machine;
mod node;
mod renewer;
mod simulate;
mod software_key;

use anyhow::Result;

use super::Effort;
use crate::{
    report::{Figure, Group, Unit},
    stats::Summary,
};

pub(crate) use flood::{HANDLED, SLOW};
pub(crate) use load::{CPU, EACH, IDLE, MANY};
pub(crate) use node::{POSTGRES, SQLITE};
pub(crate) use simulate::{EXPIRED, PEAK, SMALL, real_handlers};

pub(super) fn measure(effort: Effort) -> Result<Vec<Figure>> {
    let machines = load::machines()?;
    let mut figures = load::measure(&machines, effort)?;
    figures.extend(flood::measure(&machines)?);
    figures.extend(simulate::measure(effort.hosts)?);
    Ok(figures)
}

fn figure(what: &str, who: &str, unit: Unit, samples: usize, value: Summary) -> Figure {
    Figure {
        group: Group::Fleet,
        what: what.to_owned(),
        who: who.to_owned(),
        unit,
        samples,
        value,
        ratio: None,
    }
}
