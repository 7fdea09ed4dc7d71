//! The time and the memory that many objects and many clients take.

use std::time::Instant;

use anyhow::{Context, Result};
use testing::Service;

use super::Effort;
use crate::{
    contestant::{Clients, Scale, ask_all, memory},
    fill,
    report::{Figure, Group, Unit},
    stats::Summary,
    world::{KEYS, Reach, World, our_module, run},
};

/// `C_Initialize`.
pub(crate) const INITIALIZE: &str = "C_Initialize";
/// The first look at all public objects, through the module.
pub(crate) const LIST_OBJECTS: &str = "list, first time";
/// The memory of the agent after it has listed and signed.
pub(crate) const AGENT_MEMORY: &str = "agent: memory";

/// How many keys a token has; each is two objects, of which the public one shows without login.
const KEY_COUNTS: [usize; 3] = [1, 100, 10_000];
/// How many clients an agent has.
const CLIENT_COUNTS: [usize; 4] = [1, 16, 256, 1000];

/// The name of a token with so many keys.
pub(crate) fn keys(count: usize) -> String {
    match count {
        1 => "1 key".to_owned(),
        count if count >= 1000 => format!("{},{:03} keys", count / 1000, count % 1000),
        count => format!("{count} keys"),
    }
}

pub(super) fn measure(effort: Effort) -> Result<Vec<Figure>> {
    let world = World::new(Reach::Bare, false, &KEYS[..1])?;
    let mut figures = clients(&world, effort)?;
    for count in KEY_COUNTS {
        fill::up_to(&world.home.store(), count)?;
        figures.extend(module(&world, count, effort)?);
        figures.extend(agent(&world, count, effort)?);
    }
    Ok(figures)
}

fn figure(what: &str, who: &str, unit: Unit, samples: &[f64]) -> Figure {
    Figure {
        group: Group::Scale,
        what: what.to_owned(),
        who: who.to_owned(),
        unit,
        samples: samples.len(),
        value: Summary::of(samples),
        ratio: None,
    }
}

/// The module in a program of the bench, and in two programs that people use.
fn module(world: &World, count: usize, effort: Effort) -> Result<Vec<Figure>> {
    let what = keys(count);
    let mut runs: Vec<Scale> = Vec::new();
    let mut programs = vec![("pkcs11-tool -O", vec![])];
    // ssh-keygen compares each key with each other, which takes seconds for 10,000 keys.
    if count <= 100 {
        programs.push(("ssh-keygen -D", vec![]));
    }
    for _ in 0..effort.scale_rounds {
        let mut command = world.contestant("scale");
        command
            .arg(our_module())
            .arg(&world.pin_file)
            .arg(KEYS[0].label);
        let scale: Scale = serde_json::from_slice(&run(&mut command)?.stdout)?;
        anyhow::ensure!(
            scale.listed == count,
            "the module lists {} objects where there are {count}",
            scale.listed
        );
        runs.push(scale);
        for (name, times) in &mut programs {
            let mut command = match *name {
                "ssh-keygen -D" => world.command("ssh-keygen"),
                _ => world.command("pkcs11-tool"),
            };
            match *name {
                "ssh-keygen -D" => command.arg("-D").arg(our_module()),
                _ => command.arg("--module").arg(our_module()).arg("-O"),
            };
            let start = Instant::now();
            run(&mut command)?;
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
    }
    type Part = (&'static str, Unit, fn(&Scale) -> f64);
    let parts: [Part; 7] = [
        ("load the module", Unit::Millis, |scale| scale.load),
        (INITIALIZE, Unit::Millis, |scale| scale.initialize),
        (LIST_OBJECTS, Unit::Millis, |scale| scale.list),
        ("find by label", Unit::Millis, |scale| scale.find),
        ("C_Sign", Unit::Millis, |scale| scale.sign),
        ("module: memory", Unit::Mebibytes, |scale| scale.memory),
        ("module: memory at login", Unit::Mebibytes, |scale| {
            scale.most
        }),
    ];
    let mut figures: Vec<Figure> = parts
        .iter()
        .map(|(who, unit, part)| {
            let samples: Vec<f64> = runs.iter().map(part).collect();
            figure(&what, who, *unit, &samples)
        })
        .collect();
    for (name, times) in &programs {
        figures.push(figure(&what, name, Unit::Millis, times));
    }
    Ok(figures)
}

/// An agent that lists all keys and signs with one.
fn agent(world: &World, count: usize, effort: Effort) -> Result<Vec<Figure>> {
    let agent = world.our_agent(true)?;
    let mut lists = Vec::new();
    for _ in 0..effort.scale_rounds {
        let (time, listed) = ask_all(agent.socket())?;
        // As many keys as fit into the longest answer that clients accept, 256 KiB.
        anyhow::ensure!(
            listed as usize == count || listed > 1000,
            "the agent lists {listed} keys where there are {count}"
        );
        lists.push(time.as_secs_f64() * 1e3);
    }
    let mut clients = Clients::connect(agent.socket(), 1, KEYS[0].label)?;
    let mut signs = Vec::new();
    for _ in 0..effort.scale_rounds {
        signs.push(clients.sign_at_once()?.as_secs_f64() * 1e3);
    }
    let what = keys(count);
    let mut figures = vec![
        figure(&what, "agent: list", Unit::Millis, &lists),
        figure(&what, "agent: sign", Unit::Millis, &signs),
    ];
    figures.extend(memory_of(&agent, &what)?);
    Ok(figures)
}

fn memory_of(agent: &Service, what: &str) -> Result<[Figure; 2]> {
    let of = |who, field| -> Result<Figure> {
        let memory = memory(&agent.pid().to_string(), field)?;
        Ok(figure(what, who, Unit::Mebibytes, &[memory]))
    };
    Ok([
        of(AGENT_MEMORY, "VmRSS")?,
        of("agent: memory at login", "VmHWM")?,
    ])
}

/// All clients ask for a signature at once: the time until the last one has it, for each client.
fn clients(world: &World, effort: Effort) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for count in CLIENT_COUNTS {
        let agent = world.our_agent(true)?;
        let mut clients = Clients::connect(agent.socket(), count, KEYS[0].label)
            .with_context(|| format!("{count} clients"))?;
        let mut times = Vec::new();
        for _ in 0..effort.scale_rounds {
            let time = clients.sign_at_once()?.as_secs_f64() * 1e3;
            times.push(time / count as f64);
        }
        let what = if count == 1 {
            "1 client".to_owned()
        } else {
            format!("{count} clients")
        };
        figures.push(figure(&what, "agent: each signature", Unit::Millis, &times));
        figures.extend(memory_of(&agent, &what)?);
    }
    Ok(figures)
}
