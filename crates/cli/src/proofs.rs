//! Proofs that a key was born in a TPM: the code that prover, verifier and authority share.

mod by_agent;
pub(crate) mod identity;
pub(crate) mod join_token;
pub(crate) mod prover;
pub(crate) mod report;
pub(crate) mod trust;
pub(crate) mod verifier_key;

use std::path::Path;

use key_proof::{MAX_FILE_LEN, Proof, Verified};
use serde::Serialize;

use crate::app::App;
use crate::files::{input_file, output_file};
use crate::proofs::trust::TrustArgs;
use crate::show::date;
use crate::show::output::{self, tell};

/// Reads a request, challenge or proof from a file, or standard input (`-`), with `parse`.
///
/// # Errors
///
/// If the file cannot be read, or is of another format.
pub(crate) fn read<T>(
    path: &Path,
    parse: impl FnOnce(&[u8]) -> key_proof::Result<T>,
) -> anyhow::Result<T> {
    let bytes = input_file::read(path, MAX_FILE_LEN)?;
    Ok(parse(&bytes)?)
}

/// Writes a request, challenge or proof, then prints `said` on standard error, or with `--json` `report` on standard output. A file that goes to
/// standard output is JSON itself, so the report is left out.
///
/// # Errors
///
/// If the file cannot be written.
pub(crate) fn write(
    app: &App,
    path: &Path,
    json: &str,
    said: &str,
    report: &impl Serialize,
) -> anyhow::Result<()> {
    output_file::write(path, 0o644, json.as_bytes())?;
    if app.out.is_json() && path != Path::new("-") {
        return Ok(output::write(
            &(serde_json::to_string_pretty(report)? + "\n"),
        )?);
    }
    tell(&format!("tpmssh: {said}"));
    Ok(())
}

/// Checks the proof in a file against what `trust` and `change` ask for.
///
/// # Errors
///
/// If a file cannot be read, there is no verifier's key, or a check fails.
pub(crate) fn check(
    path: &Path,
    trust: &TrustArgs,
    change: impl FnOnce(&mut key_proof::Policy),
) -> anyhow::Result<Verified> {
    let proof = read(path, Proof::from_json)?;
    let mut policy = trust.policy(date::now())?;
    change(&mut policy);
    // Without a key no challenge was made here. The check of the ticket then fails, as for any challenge made elsewhere.
    let keys = verifier_key::all(policy.now)?;
    Ok(key_proof::verify(&proof, &policy, &keys)?)
}
