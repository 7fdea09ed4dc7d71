//! `tpmssh doctor --report`: what kind of chip this is, in the format from which the tests simulate chips.
//!
//! Nothing in it tells one machine from another: no endorsement key, no serial number, no Name.

use std::collections::BTreeMap;

use serde::Serialize;
use token_store::Error as StoreError;
use tpm_core::facts::{self, Facts};
use tpm_core::info::{self, Info};
use tpm_core::{Capabilities, Tpm};

use super::trial::{self, Step};
use crate::show::chip::{firmware, revision, words};

/// A chip, as `cargo xtask zoo` reads it.
#[derive(Debug, Serialize)]
pub(super) struct Chip {
    name: String,
    spec_revision: u32,
    properties: BTreeMap<String, u32>,
    algorithms: Vec<u16>,
    commands: Vec<u32>,
    curves: Vec<u16>,
    rsa_bits: Vec<u16>,
    persistent_slots: u32,
    seen: Seen,
    /// Milliseconds of operations that were tried, sessions and all.
    latency_ms: BTreeMap<String, Latency>,
    quirks: BTreeMap<String, u32>,
    /// One life of a throw-away token, if that was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tried: Vec<Step>,
    sources: [Source; 1],
}

/// The state of the chip when the report was made.
#[derive(Debug, Serialize)]
struct Seen {
    max_auth_fail: u32,
    lockout_interval: u32,
    lockout_recovery: u32,
    owner_auth_set: bool,
    endorsement_auth_set: bool,
    lockout_auth_set: bool,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct Latency {
    typ: f64,
    max: f64,
}

#[derive(Debug, Serialize)]
struct Source {
    fact: &'static str,
    r#where: String,
}

/// `TPM_PT_HR_PERSISTENT` and `…_AVAIL`: persistent objects that there are and that fit besides.
const PERSISTENT: [u32; 2] = [0x208, 0x209];

/// The report by a name for the chip; with `try_it` a throw-away token lives and dies in it.
///
/// # Errors
///
/// If the chip does not say what it is. What fails in the trial is in the report.
pub(super) fn make(
    tpm: &std::sync::Arc<Tpm>,
    try_it: bool,
) -> anyhow::Result<BTreeMap<String, Chip>> {
    let asked = tpm.begin().and_then(|op| {
        Ok((
            info::read(&op)?,
            Capabilities::read(&op)?,
            facts::read(&op)?,
        ))
    });
    let (info, can, facts) = asked.map_err(StoreError::from)?;
    let tried = if try_it {
        trial::live(tpm, &can)?
    } else {
        Vec::new()
    };
    let id = format!(
        "{}-{}",
        info.manufacturer.trim().to_ascii_lowercase(),
        firmware(&info)
    );
    Ok([(id, chip(&info, &can, &facts, tried))].into())
}

fn chip(info: &Info, can: &Capabilities, facts: &Facts, tried: Vec<Step>) -> Chip {
    let slots = facts
        .variable
        .iter()
        .filter(|(property, _)| PERSISTENT.contains(property));
    let latency_ms = tried.iter().filter_map(|step| {
        let (name, milliseconds) = step.latency()?;
        let latency = Latency {
            typ: milliseconds,
            max: milliseconds,
        };
        Some((name.to_owned(), latency))
    });
    Chip {
        name: format!(
            "{} {} fw {}",
            info.manufacturer,
            words(&info.vendor_string),
            firmware(info)
        ),
        spec_revision: info.spec_revision,
        properties: facts
            .fixed
            .iter()
            .map(|(property, value)| (format!("{property:#x}"), *value))
            .collect(),
        algorithms: can.algorithms.clone(),
        commands: facts.commands.clone(),
        curves: can.curves.clone(),
        rsa_bits: can.rsa_bits.clone(),
        persistent_slots: slots.map(|(_, value)| value).sum(),
        seen: Seen {
            max_auth_fail: info.lockout.max_tries,
            lockout_interval: info.lockout.interval,
            lockout_recovery: info.lockout.recovery,
            owner_auth_set: info.auth_set.owner,
            endorsement_auth_set: info.auth_set.endorsement,
            lockout_auth_set: info.auth_set.lockout,
        },
        latency_ms: latency_ms.collect(),
        quirks: BTreeMap::new(),
        tried,
        sources: [Source {
            fact: "all of it, read from the chip",
            r#where: format!(
                "tpmssh doctor --report {}, TPM 2.0 revision {}",
                env!("CARGO_PKG_VERSION"),
                revision(info)
            ),
        }],
    }
}
