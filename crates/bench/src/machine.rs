//! Where and when a run took place.

use std::{collections::BTreeMap, fs, process::Command, thread};

use anyhow::{Context, Result};

use crate::{report::Report, world::built};

/// The Debian packages whose version matters.
const PACKAGES: [&str; 6] = [
    "swtpm",
    "tpm2-abrmd",
    "libtss2-esys-3.0.2-0",
    "libtpm2-pkcs11-1",
    "openssh-client",
    "opensc",
];

/// A report of this machine and this moment, without figures.
///
/// # Errors
///
/// If a file or program that describes the machine cannot be read or run.
pub(crate) fn describe(quick: bool) -> Result<Report> {
    let command = if quick {
        "cargo xtask bench --quick"
    } else {
        "cargo xtask bench"
    };
    let date = output(Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"]))?;
    Ok(Report::new(
        date,
        command.to_owned(),
        machine()?,
        versions()?,
    ))
}

fn machine() -> Result<BTreeMap<String, String>> {
    let cpu = fs::read_to_string("/proc/cpuinfo")?;
    let model = cpu
        .lines()
        .find(|line| line.starts_with("model name"))
        .and_then(|line| line.split_once(':'))
        .map_or("unknown", |(_, model)| model.trim());
    let load = fs::read_to_string("/proc/loadavg")?;
    let load = load.split(' ').next().unwrap_or_default();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    Ok(BTreeMap::from([
        ("processor".to_owned(), model.to_owned()),
        (
            "cores".to_owned(),
            thread::available_parallelism()?.to_string(),
        ),
        ("load before the run".to_owned(), load.to_owned()),
        ("kernel".to_owned(), kernel.trim().to_owned()),
    ]))
}

fn versions() -> Result<BTreeMap<String, String>> {
    let tpmssh = output(Command::new(built("tpmssh")).arg("--version"))?;
    let number = tpmssh.rsplit(' ').next().unwrap_or_default();
    let mut versions = BTreeMap::from([("tpmssh".to_owned(), number.to_owned())]);
    for package in PACKAGES {
        // Another distribution has no dpkg, or other names; then no version is listed.
        let mut query = Command::new("dpkg-query");
        query.args(["--showformat=${Version}", "--show", package]);
        if let Ok(version) = output(&mut query) {
            versions.insert(package.to_owned(), version);
        }
    }
    Ok(versions)
}

fn output(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("cannot start {command:?}"))?;
    anyhow::ensure!(output.status.success(), "{command:?} failed");
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
