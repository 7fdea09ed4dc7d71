//! `tpmssh ca challenge`: answer a request for a proof.

use std::path::{Path, PathBuf};

use anyhow::Context;
use key_proof::{Challenge, DEFAULT_LIFETIME, MAX_LIFETIME, Policy, Request, check_request};
use rand_core::OsRng;
use serde::Serialize;
use ssh_format::time;

use crate::app::App;
use crate::proofs::{self, verifier_key};
use crate::show::{date, duration};

/// Make a challenge for somebody who wants to prove a key
///
/// Only the TPM in the request can answer it, and only if it holds the key. Whether this TPM is accepted is decided when the proof is checked. This command needs no TPM.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The request (tpmssh prove), or - for standard input
    request: PathBuf,

    /// Where to write the challenge (standard output)
    #[arg(
        short,
        long,
        value_name = "FILE",
        default_value = "-",
        hide_default_value = true
    )]
    output: PathBuf,

    /// How long it can be answered, at most 7d
    #[arg(long, value_name = "SPAN", default_value = "1d", value_parser = lifetime)]
    expires_in: u64,

    /// The audience that the request was made with, if there is one
    #[arg(
        long,
        value_name = "WORD",
        default_value = "",
        hide_default_value = true
    )]
    audience: String,
}

// The "1d" above.
const _: () = assert!(DEFAULT_LIFETIME == 24 * 60 * 60);

fn lifetime(text: &str) -> Result<u64, String> {
    match duration::parse(text).map(u64::from)? {
        0 => Err("it could never be answered".to_owned()),
        span if span > MAX_LIFETIME => Err("a challenge is valid for 7 days at most".to_owned()),
        span => Ok(span),
    }
}

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    let request = proofs::read(&args.request, Request::from_json)?;
    let now = date::now();
    let mut policy = Policy::new(now);
    policy.audience.clone_from(&args.audience);
    policy.any_tpm = true;
    let checked = check_request(&request, &policy).context("no challenge is made")?;
    let key = verifier_key::sealing(now)?;
    let challenge = Challenge::new(&checked, &key, now, args.expires_in, &mut OsRng)?;
    let report = Made {
        challenge: &args.output,
        fingerprint: checked.ssh_key().fingerprint().to_string(),
        ek_name: checked.ek().name().to_string(),
        expires: challenge.expires,
    };
    let said = format!(
        "the challenge is for key {} in the TPM with endorsement key {}, until {}",
        report.fingerprint,
        report.ek_name,
        time::in_words(challenge.expires)
    );
    proofs::write(app, &args.output, &challenge.to_json(), &said, &report)
}

/// What was written, for `--json`.
#[derive(Debug, Serialize)]
struct Made<'a> {
    challenge: &'a Path,
    fingerprint: String,
    ek_name: String,
    /// In seconds since 1970.
    expires: u64,
}
