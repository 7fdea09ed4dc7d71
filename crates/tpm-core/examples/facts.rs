//! Reads what a TPM says about itself:
//! `cargo run --example facts -- swtpm:host=127.0.0.1,port=2321`
//! (any TPM will do; without an argument, the kernel's).
//!
//! It changes nothing in the TPM. The answers are not authenticated: they are for a person to read.

use std::{
    env,
    error::Error,
    io::{self, Write},
};

use tpm_core::{Capabilities, Srk, Tpm, info, weakness};

fn main() -> Result<(), Box<dyn Error>> {
    let tcti = env::args().nth(1);
    let tcti = tcti.as_deref().unwrap_or("device");
    run(&Tpm::new(tcti.parse()?), &mut io::stdout())
}

pub(crate) fn run(tpm: &Tpm, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let op = tpm.begin()?;
    let info = info::read(&op)?;
    let [a, b, c, d] = info.firmware_version();
    writeln!(out, "manufacturer: {}", info.manufacturer)?;
    writeln!(out, "firmware: {a}.{b}.{c}.{d}")?;
    if let Some(known) = weakness::of_firmware(&info) {
        writeln!(out, "known weakness: {known:?}")?;
    }
    writeln!(
        out,
        "wrong tries: {} of {}",
        info.lockout.count, info.lockout.max_tries
    )?;

    let can = Capabilities::read(&op)?;
    writeln!(out, "PIN counters: {}", can.has_pin_indexes())?;
    for key_type in can.key_types() {
        writeln!(out, "makes keys of type {key_type}")?;
    }
    match Srk::find(&op)? {
        Some(srk) => writeln!(out, "storage root key: {}", srk.name())?,
        None => writeln!(out, "storage root key: none yet")?,
    }
    Ok(())
}
