//! One signature, everything warm: from the bytes of `TPM2_Sign` up to an agent.

use std::{fs, path::Path};

use anyhow::Result;
use testing::Tap;

use super::{Effort, Racer, race};
use crate::{
    contestant::{Contestant, record},
    report::{Figure, Group},
    world::{KEYS, Key, Reach, World, our_module, their_module},
};

/// The raw command, replayed.
pub(crate) const FLOOR: &str = "floor: raw TPM2_Sign";
/// tpmssh as a library.
pub(crate) const LIBRARY: &str = "tpmssh library";
/// The module of tpmssh.
pub(crate) const C_SIGN: &str = "tpmssh C_Sign";
/// `tpmssh agent`.
pub(crate) const AGENT: &str = "tpmssh agent";
/// The module of tpm2-pkcs11.
pub(crate) const THEIR_C_SIGN: &str = "tpm2-pkcs11 C_Sign";

/// A connection to the TPM itself.
pub(crate) const BARE: &str = "bare";
/// A connection to a resource manager.
pub(crate) const MANAGED: &str = "managed";

/// Signatures that are timed together: the time of one is near the resolution of a busy machine.
const BATCH: u32 = 4;

/// The name of a signature with a key of that kind.
pub(crate) fn what(key: &str, reach: &str) -> String {
    format!("{key}, {reach}")
}

pub(super) fn measure(effort: Effort) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (reach, name) in [(Reach::Bare, BARE), (Reach::Managed, MANAGED)] {
        let world = World::new(reach, false, &KEYS)?;
        let agent = world.our_agent(true)?;
        for key in KEYS {
            let mut signers = vec![
                (FLOOR, Contestant::start(FLOOR, floor(&world, key)?)?),
                (LIBRARY, library(&world, key)?),
                (C_SIGN, module(&world, C_SIGN, &our_module(), key)?),
            ];
            let mut command = world.contestant("agent");
            command.arg(key.label).envs(agent.env());
            signers.push((AGENT, Contestant::start(AGENT, command)?));
            if reach == Reach::Managed && key.is_theirs() {
                let module = module(&world, THEIR_C_SIGN, &their_module()?, key)?;
                signers.push((THEIR_C_SIGN, module));
            }
            let racers = signers
                .iter_mut()
                .map(|(who, signer)| Racer::new(who, || signer.time(BATCH)))
                .collect();
            let rounds = effort.sign_rounds;
            figures.extend(race(
                Group::Sign,
                &what(key.name, name),
                racers,
                rounds,
                FLOOR,
            )?);
        }
    }
    Ok(figures)
}

/// The floor signs with the bytes that the library was seen to send.
fn floor(world: &World, key: Key) -> Result<std::process::Command> {
    let tap = Tap::start(world.swtpm());
    let (context, sign) = record(&tap, &world.home.store(), &world.pin_file, key.label)?;
    drop(tap);
    let file = |name: &str| world.home.path().join(format!("{}.{name}", key.label));
    fs::write(file("context"), context)?;
    fs::write(file("sign"), sign)?;
    let mut command = world.contestant("floor");
    command.arg(world.tcti());
    command.arg(file("context")).arg(file("sign"));
    Ok(command)
}

fn library(world: &World, key: Key) -> Result<Contestant> {
    let mut command = world.contestant("library");
    command.arg(world.tcti()).arg(world.home.store());
    command.arg(&world.pin_file).arg(key.label);
    Contestant::start(LIBRARY, command)
}

fn module(world: &World, who: &str, module: &Path, key: Key) -> Result<Contestant> {
    let mut command = world.contestant("module");
    command.arg(module).arg(&world.pin_file).arg(key.label);
    Contestant::start(who, command)
}
