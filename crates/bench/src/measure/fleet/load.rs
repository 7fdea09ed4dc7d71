//! Renewals over HTTP by many machines, each with its own nonce.

use std::{
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use base64ct::{Base64, Encoding};

use super::{
    figure,
    machine::Machine,
    node::{Connection, Node, POSTGRES, SQLITE},
};
use crate::{
    measure::Effort,
    report::{Figure, Unit},
    stats::Summary,
};

/// Wall time over the number of renewals: 3.33 ms are 300 a second.
pub(crate) const EACH: &str = "one of many renewals, 64 connections";
/// The time from request to response.
const ANSWER: &str = "the answer to a renewal, 64 connections";
/// The processor time of all threads of the node, without the database, the agent and the machines.
pub(crate) const CPU: &str = "a renewal, CPU of the node";
pub(crate) const IDLE: &str = "memory of the node, idle";
pub(crate) const MANY: &str = "memory of the node, 500 connections";

const CONNECTIONS: usize = 64;
const IDLERS: usize = 500;
/// The number of different machines.
const MACHINES: usize = 256;

/// The machines of a fleet.
pub(super) fn machines() -> Result<Vec<Machine>> {
    (0..MACHINES)
        .map(|number| Machine::new(&format!("host{number}.example")))
        .collect()
}

pub(super) fn measure(machines: &[Machine], effort: Effort) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for who in [SQLITE, POSTGRES] {
        figures.extend(of(who, machines, effort)?);
    }
    Ok(figures)
}

fn of(who: &str, machines: &[Machine], effort: Effort) -> Result<Vec<Figure>> {
    let node = Node::start(who)?;
    let (_, idle) = node.use_of()?;
    let mut connection = enrol(&node, machines)?;
    let mut each = Vec::new();
    let mut answers = Vec::new();
    let mut cpu = Vec::new();
    // The first round warms up.
    for round in 0..=effort.load_rounds {
        let renewals = renewals(machines, &mut connection, effort.renewals)?;
        let count = f64::from(u32::try_from(renewals.len())?);
        let (before, _) = node.use_of()?;
        let begun = Instant::now();
        let times = blast(&node, renewals)?;
        let wall = begun.elapsed();
        let (after, _) = node.use_of()?;
        if round > 0 {
            each.push(millis(wall) / count);
            cpu.push(millis(after - before) / count);
            answers.extend(times.into_iter().map(millis));
        }
    }
    let idlers: Vec<Connection> = (0..IDLERS)
        .map(|_| {
            let mut connection = node.connect()?;
            connection.granted("GET", "/healthz", "")?;
            Ok(connection)
        })
        .collect::<Result<_>>()?;
    let (_, many) = node.use_of()?;
    drop(idlers);
    node.end()?;
    Ok(vec![
        figure(EACH, who, Unit::Millis, each.len(), Summary::of(&each)),
        figure(
            ANSWER,
            who,
            Unit::Millis,
            answers.len(),
            Summary::of(&answers),
        ),
        figure(CPU, who, Unit::Millis, cpu.len(), Summary::of(&cpu)),
        figure(IDLE, who, Unit::Mebibytes, 1, Summary::exactly(idle)),
        figure(MANY, who, Unit::Mebibytes, 1, Summary::exactly(many)),
    ])
}

/// Enrols all machines.
pub(super) fn enrol(node: &Node, machines: &[Machine]) -> Result<Connection> {
    let lines: Vec<String> = machines.iter().map(Machine::line).collect::<Result<_>>()?;
    node.import(&lines.concat())?;
    let mut connection = node.connect()?;
    for machine in machines {
        let path = "/v1/enroll/begin";
        let challenge = connection.granted("POST", path, &machine.request())?;
        let proof = machine.proof(&challenge)?;
        connection.granted("POST", "/v1/enroll/finish", &proof)?;
    }
    Ok(connection)
}

/// `count` renewals by all machines in turn, each with its own nonce. They are made before the measurement, because the machines of a fleet
/// have processors of their own.
pub(super) fn renewals(
    machines: &[Machine],
    connection: &mut Connection,
    count: usize,
) -> Result<Vec<String>> {
    let mut made = Vec::with_capacity(count);
    for machine in machines.iter().cycle().take(count) {
        let answer = connection.granted("GET", "/v1/nonce", "")?;
        let answer: serde_json::Value = serde_json::from_slice(&answer)?;
        let nonce = answer["nonce"]
            .as_str()
            .and_then(|it| Base64::decode_vec(it).ok());
        let nonce = nonce.and_then(|it| it.try_into().ok());
        made.push(machine.renewal(nonce.context("a nonce has 32 bytes")?)?);
    }
    Ok(made)
}

/// Sends all renewals over many connections at once, and returns the time of each answer.
fn blast(node: &Node, renewals: Vec<String>) -> Result<Vec<Duration>> {
    let left = Mutex::new(renewals.into_iter());
    let next = || left.lock().ok().and_then(|mut left| left.next());
    let one = || -> Result<Vec<Duration>> {
        let mut connection = Connection::new(node.address())?;
        let mut times = Vec::new();
        while let Some(renewal) = next() {
            let begun = Instant::now();
            let answer = connection.granted("POST", "/v1/renew", &renewal)?;
            times.push(begun.elapsed());
            ensure!(!answer.is_empty(), "an answer has a certificate");
        }
        Ok(times)
    };
    thread::scope(|scope| {
        let all: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(one)).collect();
        let mut times = Vec::new();
        for part in all {
            let part = part.join();
            times.extend(part.map_err(|_| anyhow::anyhow!("a thread ended"))??);
        }
        Ok(times)
    })
}

pub(super) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
