//! Reads what a TPM says about itself:
//! `cargo run --example facts -- swtpm:host=127.0.0.1,port=2321`
//! (any TPM will do; without an argument, `/dev/tpmrm0`).
//!
//! Nothing is changed and nothing is made. Nobody authenticates these answers: they are for a person
//! to read.

use std::{env, error::Error};

use tpm_core::{Capabilities, Srk, Tpm, info, weakness};

fn main() -> Result<(), Box<dyn Error>> {
    let tcti = env::args().nth(1);
    let tpm = Tpm::new(tcti.as_deref().unwrap_or("device:/dev/tpmrm0").parse()?);
    let op = tpm.begin()?;
    let info = info::read(&op)?;
    let [a, b, c, d] = info.firmware_version();
    println!("manufacturer: {}", info.manufacturer);
    println!("firmware: {a}.{b}.{c}.{d}");
    if let Some(known) = weakness::of_firmware(&info) {
        println!("known weakness: {known:?}");
    }
    println!(
        "wrong tries: {} of {}",
        info.lockout.count, info.lockout.max_tries
    );

    let can = Capabilities::read(&op)?;
    println!("PIN counters: {}", can.has_pin_indexes());
    for key_type in can.key_types() {
        println!("makes keys of type {key_type}");
    }
    match Srk::find(&op)? {
        Some(srk) => println!("storage root key: {}", srk.name()),
        None => println!("storage root key: none yet"),
    }
    Ok(())
}
