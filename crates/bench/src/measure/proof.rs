//! Proofs: the verifier's computing time, and the number of TPM commands on the owner's machine.

use std::{fs, path::PathBuf, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use key_proof::{Anchors, Policy, Proof, TicketKey, Wall, verify};
use rustix::time::{ClockId, clock_gettime};
use testing::Swtpm;

use super::{Effort, TPMSSH};
use crate::{
    report::{Figure, Group, Unit},
    stats::Summary,
    world::{KEYS, World, run},
};

/// All checks of a proof by a TPM with an RSA endorsement key, the maker's chain of two signatures included.
pub(crate) const VERIFY: &str = "a proof checked, RSA EK with chain, CPU";
/// `prove`, the first time and later.
pub(crate) const FIRST_REQUEST: &str = "prove: the first request";
pub(crate) const REQUEST: &str = "prove: a further request";
/// `prove --challenge`.
pub(crate) const ANSWER: &str = "prove: the answer, with the PIN";
pub(crate) const AGENT_ANSWER: &str = "prove: the answer, by the agent";
/// The verifier's part.
pub(crate) const LIBRARY: &str = "key-proof";

/// Verifications of a sample.
const BATCH: u32 = 10;

/// The files of a proof.
struct Files {
    request: PathBuf,
    challenge: PathBuf,
    proof: PathBuf,
}

pub(super) fn measure(effort: Effort) -> Result<Vec<Figure>> {
    let world = World::manufactured(&KEYS[..1])?;
    let at = |name: &str| world.home.path().join(name);
    let files = Files {
        request: at("request.json"),
        challenge: at("challenge.json"),
        proof: at("proof.json"),
    };
    let mut ask = world.tpmssh();
    ask.args(["prove", "--ek-type", "rsa2048", "-o"])
        .arg(&files.request);
    let mut figures = vec![
        count(&world, FIRST_REQUEST, &mut ask)?,
        count(&world, REQUEST, &mut ask)?,
    ];
    let mut challenge = world.tpmssh();
    challenge.args(["ca", "challenge"]).arg(&files.request);
    run(challenge.arg("-o").arg(&files.challenge))?;
    let answer = || {
        let mut answer = world.tpmssh();
        answer.arg("prove").arg("--request").arg(&files.request);
        answer.arg("--challenge").arg(&files.challenge);
        answer.arg("-o").arg(&files.proof);
        answer
    };
    let mut with_pin = answer();
    with_pin.arg("--pin-file").arg(&world.pin_file);
    figures.push(count(&world, ANSWER, &mut with_pin)?);
    let agent = world.our_agent(true)?;
    // The agent loads the key once, and not for each proof.
    run(&mut answer())?;
    figures.push(count(&world, AGENT_ANSWER, &mut answer())?);
    drop(agent);
    figures.push(verification(&world, &files, effort)?);
    Ok(figures)
}

/// The TPM commands of a program.
fn count(world: &World, what: &str, program: &mut Command) -> Result<Figure> {
    let tap = world.tap()?;
    tap.reset();
    run(program)?;
    Ok(Figure {
        group: Group::Proof,
        what: what.to_owned(),
        who: TPMSSH.to_owned(),
        unit: Unit::Commands,
        samples: 1,
        value: Summary::exactly(tap.count() as f64),
        ratio: None,
    })
}

/// The processor time of this thread alone, which other work on the machine does not change.
fn verification(world: &World, files: &Files, effort: Effort) -> Result<Figure> {
    let key = fs::read(world.home.store().join("verifier.key"))?;
    let key = TicketKey::new(
        key.try_into()
            .ok()
            .context("a verifier's key has 32 bytes")?,
    );
    let mut anchors = Anchors::new();
    anchors.add_file(Swtpm::maker_certificates().as_bytes())?;
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed()?.as_secs();
    let mut policy = Policy::new(now);
    policy.anchors = Some(anchors);
    policy.least_wall = Wall::Counter;
    let keys = [key];
    let file = fs::read(&files.proof)?;
    let mut samples = Vec::new();
    // The first one warms up.
    for _ in 0..=effort.sign_rounds {
        let start = cpu_time();
        for _ in 0..BATCH {
            let verified = verify(&Proof::from_json(&file)?, &policy, &keys)?;
            ensure!(verified.maker.is_some(), "the chain was not looked at");
        }
        let time = (cpu_time() - start) / BATCH;
        samples.push(time.as_secs_f64() * 1000.0);
    }
    Ok(Figure {
        group: Group::Proof,
        what: VERIFY.to_owned(),
        who: LIBRARY.to_owned(),
        unit: Unit::Millis,
        samples: samples.len() - 1,
        value: Summary::of(&samples[1..]),
        ratio: None,
    })
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}
