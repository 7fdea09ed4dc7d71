//! Random numbers: the operating system's generator.

use std::{fs::OpenOptions, io, io::Write};

use rand_core::{OsRng, RngCore};

/// Fills `bytes` with random ones.
///
/// # Errors
///
/// If the system has no generator, or refuses its use.
pub(crate) fn fill(bytes: &mut [u8]) -> Result<(), rand_core::Error> {
    OsRng.try_fill_bytes(bytes)
}

/// Mixes `seed` into the generator. A seed that an attacker knows or chose does no harm: the
/// system counts no entropy for it.
///
/// # Errors
///
/// If the generator's device is not there, as in a sandbox, or may not be written to.
///
/// # Source
///
/// random(4): "Writing to /dev/random or /dev/urandom will update the entropy pool with the data
/// written".
pub(crate) fn seed(seed: &[u8]) -> io::Result<()> {
    let mut device = OpenOptions::new().write(true).open("/dev/urandom")?;
    device.write_all(seed)
}
