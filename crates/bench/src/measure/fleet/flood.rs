//! Many requests that are refused, alone and while machines renew their certificates.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    thread,
    time::Instant,
};

use anyhow::{Result, anyhow, ensure};
use base64ct::{Base64, Encoding};
use serde_json::Value;

use super::{
    figure,
    load::{enrol, millis, renewals},
    machine::Machine,
    node::{Connection, Node, SQLITE},
    simulate::turned_away,
};
use crate::{
    report::{Figure, Unit},
    stats::{Summary, quantile},
};

/// The processor time of the node, with HTTP, for a request by an unknown TPM.
const REFUSED: &str = "a refused begin, CPU of the node";
/// The same without HTTP: from the body to the refusal, with the line in the audit log.
pub(crate) const HANDLED: &str = "a refused begin, CPU without HTTP";
/// The time from request to response of a renewal, without the slowest 1 %.
pub(crate) const SLOW: &str = "the 99th of 100 renewals during 10,000 refused begins";
/// The growth of the node's memory after the first 1000 requests.
pub(crate) const MEMORY: &str = "memory that 20,000 refused begins take";

const BEGINS: usize = 10_000;
const CONNECTIONS: usize = 8;
/// The number of connections that renew meanwhile.
const RENEWING: usize = 4;

pub(super) fn measure(machines: &[Machine]) -> Result<Vec<Figure>> {
    let node = Node::start(SQLITE)?;
    let mut connection = enrol(&node, machines)?;
    let request: Value = serde_json::from_str(&machines[0].request())?;
    let bodies = (0..BEGINS)
        .map(|number| stranger(&request, number))
        .collect::<Result<Vec<_>>>()?;
    let (warm_up, _) = bodies.split_at(1_000);
    flood(&node, warm_up)?;
    let (before, memory) = node.use_of()?;
    flood(&node, &bodies)?;
    let (after, _) = node.use_of()?;
    let count = f64::from(u32::try_from(BEGINS)?);
    let cpu = millis(after - before) / count;
    let handled = millis(turned_away(&bodies)?) / count;

    // Enough renewals for the time of the flood. A nonce is valid for a minute.
    let renewals = renewals(machines, &mut connection, 4_000)?;
    let (ended, next) = (AtomicBool::new(false), AtomicUsize::new(0));
    let renew = || -> Result<Vec<f64>> {
        let mut connection = node.connect()?;
        let mut times = Vec::new();
        while !ended.load(Relaxed) {
            let Some(renewal) = renewals.get(next.fetch_add(1, Relaxed)) else {
                break;
            };
            let begun = Instant::now();
            connection.granted("POST", "/v1/renew", renewal)?;
            times.push(millis(begun.elapsed()));
        }
        Ok(times)
    };
    let mut times = thread::scope(|scope| -> Result<Vec<f64>> {
        let renewing: Vec<_> = (0..RENEWING).map(|_| scope.spawn(renew)).collect();
        let flooded = flood(&node, &bodies);
        ended.store(true, Relaxed);
        flooded?;
        let mut times = Vec::new();
        for part in renewing {
            times.extend(part.join().map_err(|_| anyhow!("a thread ended"))??);
        }
        Ok(times)
    })?;
    times.sort_by(f64::total_cmp);
    ensure!(times.len() >= 100, "only {} renewals", times.len());
    let (_, memory_after) = node.use_of()?;
    node.end()?;
    let exactly =
        |what, unit, samples, value| figure(what, SQLITE, unit, samples, Summary::exactly(value));
    let more = (memory_after - memory).max(0.0);
    Ok(vec![
        exactly(REFUSED, Unit::Millis, BEGINS, cpu),
        exactly(HANDLED, Unit::Millis, BEGINS, handled),
        exactly(SLOW, Unit::Millis, times.len(), quantile(&times, 0.99)),
        exactly(MEMORY, Unit::Mebibytes, 1, more),
    ])
}

/// A request with an unknown endorsement key.
fn stranger(request: &Value, number: usize) -> Result<String> {
    let text = request["ek"].as_str().unwrap_or_default();
    let mut ek = Base64::decode_vec(text).map_err(|err| anyhow!("{err}"))?;
    let at = ek.len().saturating_sub(8);
    ek[at..].copy_from_slice(&number.to_be_bytes());
    let mut request = request.clone();
    request["ek"] = Base64::encode_string(&ek).into();
    Ok(request.to_string())
}

/// Sends all requests over many connections at once.
fn flood(node: &Node, bodies: &[String]) -> Result<()> {
    let next = AtomicUsize::new(0);
    let one = || -> Result<()> {
        let mut connection = Connection::new(node.address())?;
        while let Some(body) = bodies.get(next.fetch_add(1, Relaxed)) {
            let (status, _) = connection.ask("POST", "/v1/enroll/begin", body)?;
            ensure!(status == 403, "a stranger got {status}");
        }
        Ok(())
    };
    thread::scope(|scope| {
        let all: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(one)).collect();
        for part in all {
            part.join().map_err(|_| anyhow!("a thread ended"))??;
        }
        Ok(())
    })
}
