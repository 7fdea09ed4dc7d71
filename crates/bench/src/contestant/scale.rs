//! A PKCS#11 module with many objects, from loading it to a signature, once.

use std::{fs, path::Path, time::Instant};

use anyhow::{Context, Result};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use serde::{Deserialize, Serialize};

use super::module;

/// Its figures, in milliseconds and mebibytes.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Scale {
    /// `dlopen` and `C_GetFunctionList`.
    pub(crate) load: f64,
    /// `C_Initialize`.
    pub(crate) initialize: f64,
    /// Slots, a session, and the handles of all public objects: the first look at the store.
    pub(crate) list: f64,
    /// How many objects those were.
    pub(crate) listed: usize,
    /// The private key by its label, after login.
    pub(crate) find: f64,
    /// A signature, warm.
    pub(crate) sign: f64,
    /// The memory at the end, less the memory at the start.
    pub(crate) memory: f64,
    /// The peak of the memory, less the memory at the start.
    pub(crate) most: f64,
}

/// Measures and prints it as JSON.
pub(super) fn run(path: &Path, pin_file: &Path, label: &str) -> Result<()> {
    let before = memory("self", "VmRSS")?;
    let (load, module) = timed(|| Pkcs11::new(path))?;
    let arguments = CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK);
    let (initialize, ()) = timed(|| module.initialize(arguments))?;
    let (list, listed) = timed(|| -> Result<_> {
        let session = module::open_session(&module)?;
        Ok(session.find_objects(&[])?.len())
    })?;
    let session = module::log_in(&module, pin_file)?;
    let (find, key) = timed(|| module::find(&session, label))?;
    let (mechanism, data) = module::work(&session, key)?;
    session.sign(&mechanism, key, &data)?;
    let (sign, _) = timed(|| session.sign(&mechanism, key, &data))?;
    let scale = Scale {
        load,
        initialize,
        list,
        listed,
        find,
        sign,
        memory: memory("self", "VmRSS")? - before,
        most: memory("self", "VmHWM")? - before,
    };
    println!("{}", serde_json::to_string(&scale)?);
    Ok(())
}

fn timed<T, E: Into<anyhow::Error>>(
    body: impl FnOnce() -> std::result::Result<T, E>,
) -> Result<(f64, T)> {
    let start = Instant::now();
    let value = body().map_err(Into::into)?;
    Ok((start.elapsed().as_secs_f64() * 1e3, value))
}

/// The memory of a process, in MiB: `VmRSS` (resident now) or `VmHWM` (its peak); proc(5).
///
/// # Errors
///
/// If there is no such process.
pub(crate) fn memory(pid: &str, field: &str) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kibibytes: f64 = kibibytes.with_context(|| format!("no {field}"))?.parse()?;
    Ok(kibibytes / 1024.0)
}
