//! TPM commands that reach the chip, those of the resource manager included.

use anyhow::{Context, Result};

use super::command::{
    AGENT_LOGIN, INCUMBENT, LIST, LOGIN, NEXT_LOGIN, OBJECTS, Scene, TPMSSH, TPMSSH_BARE,
};
use crate::{
    report::{Figure, Group, Unit},
    stats::Summary,
    world::{Reach, run},
};

pub(super) fn measure() -> Result<Vec<Figure>> {
    let managed = Scene::set(Reach::Managed, true)?;
    let bare = Scene::set(Reach::Bare, true)?;
    let mut figures = Vec::new();
    for what in [LIST, OBJECTS, LOGIN, NEXT_LOGIN, AGENT_LOGIN] {
        for (who, scene) in [
            (TPMSSH, &managed),
            (TPMSSH_BARE, &bare),
            (INCUMBENT, &managed),
        ] {
            if scene.command(what, who).is_none() {
                continue;
            }
            figures.push(Figure {
                group: Group::Count,
                what: what.to_owned(),
                who: who.to_owned(),
                unit: Unit::Commands,
                samples: 1,
                value: Summary::exactly(count(what, who, scene)?),
                ratio: None,
            });
        }
    }
    Ok(figures)
}

/// The number of commands in a second run: the first use of an agent, or of a TPM after a start,
/// takes more.
fn count(what: &str, who: &str, scene: &Scene) -> Result<f64> {
    let tap = scene.world.tap()?;
    for _ in 0..2 {
        tap.reset();
        run(&mut scene.command(what, who).context("no such command")?)?;
    }
    Ok(tap.count() as f64)
}
