//! The chip itself: its model and firmware, known weaknesses, and its self test.

use std::sync::Arc;

use token_store::{Error as StoreError, Kind};
use tpm_core::info::{self, Info};
use tpm_core::selftest::{self, Outcome, TestResult};
use tpm_core::{Capabilities, Entity, Error as TpmError, Tpm, weakness};

use super::check::Check;
use super::{abilities, contents, passwords};
use crate::show::chip::{firmware, revision, words};

/// Checks the chip. Returns `false` if it does not answer, so that further checks would fail as well.
pub(super) fn check(tpm: &Arc<Tpm>, checks: &mut Vec<Check>) -> bool {
    let asked = tpm.begin().and_then(|op| {
        Ok((
            selftest::result(&op)?,
            info::read(&op)?,
            Capabilities::read(&op)?,
        ))
    });
    let (tested, info, can) = match asked {
        Ok(answers) => answers,
        Err(err) => {
            checks.push(Check::failed("TPM", StoreError::from(err)));
            return false;
        }
    };
    checks.push(identity(&info));
    checks.push(emulation(&info));
    checks.push(weaknesses(&info));
    checks.push(self_test(&tested));
    checks.push(hierarchies(&info));
    checks.extend(passwords::check(&info));
    checks.extend(abilities::check(&can));
    contents::check(tpm, &info, checks);
    true
}

fn identity(info: &Info) -> Check {
    let detail = format!(
        "{} {}, firmware {}, TPM 2.0 revision {}",
        info.manufacturer,
        words(&info.vendor_string),
        firmware(info),
        revision(info),
    );
    Check::ok("TPM", detail)
}

fn emulation(info: &Info) -> Check {
    if info.emulated {
        Check::warning("protection", "the TPM is emulated and protects nothing")
            .fixed_by("for keys that matter switch a real TPM on in the firmware setup")
    } else {
        Check::ok("protection", "the TPM does not say that it is emulated")
    }
}

fn weaknesses(info: &Info) -> Check {
    match weakness::of_firmware(info) {
        None => Check::ok("firmware", "no known weakness"),
        Some(weakness) => {
            let detail = format!(
                "it has {} ({}): {}",
                weakness.name, weakness.cve, weakness.effect
            );
            Check::problem("firmware", Kind::KeyRefused, detail)
                .fixed_by("update the TPM's firmware with the tool of the machine's maker, then make new keys")
        }
    }
}

fn self_test(result: &TestResult) -> Check {
    let name = "self test";
    match result.outcome {
        Outcome::Passed => Check::ok(name, "passed"),
        Outcome::Incomplete => Check::ok(name, "passed so far; the rest before its first use"),
        Outcome::Failed => Check::failed(name, StoreError::from(TpmError::FailureMode)),
        Outcome::Other(rc) => {
            Check::warning(name, format!("its result is {rc}")).fixed_by("tpmssh tpm selftest")
        }
    }
}

fn hierarchies(info: &Info) -> Check {
    let name = "hierarchies";
    let disabled =
        |which| Check::failed(name, StoreError::from(TpmError::HierarchyDisabled(which)));
    if !info.enabled.owner {
        disabled(Entity::Owner)
    } else if !info.enabled.endorsement {
        disabled(Entity::Endorsement).only_a_warning()
    } else {
        Check::ok(name, "owner and endorsement are enabled")
    }
}
