//! Random numbers: the operating system's generator.

use std::{fs::OpenOptions, io, io::Write, path::Path};

use rand_core::{OsRng, RngCore};

/// Fills `bytes` with random bytes.
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
/// If the generator's device is missing, as in a sandbox, or is not writable.
///
/// # Source
///
/// random(4): "Writing to /dev/random or /dev/urandom will update the entropy pool with the data
/// written".
pub(crate) fn seed(seed: &[u8]) -> io::Result<()> {
    write_to(Path::new("/dev/urandom"), seed)
}

fn write_to(device: &Path, seed: &[u8]) -> io::Result<()> {
    OpenOptions::new().write(true).open(device)?.write_all(seed)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_seed_reaches_the_device_or_the_caller_hears_of_it() {
        let dir = testing::memory_dir();
        let device = dir.path().join("device");
        assert!(write_to(&device, b"seed").is_err(), "it is not there");
        fs::write(&device, b"").unwrap();
        write_to(&device, b"seed").unwrap();
        assert_eq!(fs::read(&device).unwrap(), b"seed");
        seed(b"seed").unwrap();
    }
}
