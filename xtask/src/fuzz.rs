//! `cargo xtask fuzz [SECONDS]`: every fuzz target, from the inputs of the repository.
//!
//! libFuzzer is a C++ library in the crate `libfuzzer-sys`, and stable rustc has the options that
//! it needs. So neither cargo-fuzz nor a nightly toolchain is needed. They would add the address
//! sanitizer, which finds little in code without `unsafe`.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Mutex,
    thread,
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    command::{self, cargo, root, target},
    packages,
};

/// The default time for each target.
const SECONDS: &str = "20";

/// The instrumentation for libFuzzer: taken edges and compared values. `cfg(fuzzing)` makes the
/// functions visible that the targets use, as with cargo-fuzz.
const RUSTFLAGS: &str = "--cfg fuzzing -Cdebug-assertions -Cpasses=sancov-module \
     -Cllvm-args=-sanitizer-coverage-level=4 \
     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
     -Cllvm-args=-sanitizer-coverage-pc-table \
     -Cllvm-args=-sanitizer-coverage-trace-compares";

/// Builds the fuzz targets and runs each for some seconds, as many at once as there are processors.
///
/// # Errors
///
/// If SECONDS is not a number, a target has no inputs in the repository, or a target fails; its
/// report names the input.
pub(crate) fn run(args: &[OsString]) -> Result<()> {
    let seconds = args.first().map_or_else(|| SECONDS.into(), OsString::clone);
    let seconds = seconds
        .to_str()
        .and_then(|text| text.parse::<u32>().ok())
        .context("how many seconds for each target is to be a number")?;
    packages::install_missing(packages::For::All)?;
    run_for(seconds)
}

/// The same without looking at the arguments and the packages.
///
/// # Errors
///
/// As [`run`].
pub(crate) fn run_for(seconds: u32) -> Result<()> {
    let targets = targets()?;
    let programs = build()?;
    let left = Mutex::new(targets.clone());
    let failures = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(name) = pop(&left) {
                    if let Err(err) = fuzz(&programs, &name, seconds) {
                        push(&failures, format!("{name}: {err:#}"));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap_or_default();
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}

fn pop(list: &Mutex<Vec<String>>) -> Option<String> {
    list.lock().ok()?.pop()
}

fn push(list: &Mutex<Vec<String>>, entry: String) {
    if let Ok(mut list) = list.lock() {
        list.push(entry);
    }
}

/// The names of the targets: each is a file.
fn targets() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(root().join("fuzz/fuzz_targets"))? {
        let path = entry?.path();
        let name = path.file_stem().context("a file has a name")?;
        let name = name.to_string_lossy().into_owned();
        let seeds = seeds(&name);
        let some = fs::read_dir(&seeds).is_ok_and(|mut entries| entries.next().is_some());
        ensure!(some, "no inputs in {}", seeds.display());
        names.push(name);
    }
    ensure!(!names.is_empty(), "no fuzz targets");
    names.sort_unstable_by(|a, b| b.cmp(a));
    Ok(names)
}

/// The inputs that a target starts from.
fn seeds(name: &str) -> PathBuf {
    root().join("fuzz/seeds").join(name)
}

/// The directory of the built targets.
fn build() -> Result<PathBuf> {
    let host = host()?;
    let dir = target()?.join("fuzz");
    eprintln!("$ export RUSTFLAGS={}", command::quote(RUSTFLAGS));
    command::run(
        cargo()
            .args(["build", "--locked", "--manifest-path", "fuzz/Cargo.toml"])
            // With a target named, build scripts and macros are compiled without the flags.
            .args(["--target", &host])
            // It is a workspace of its own.
            .env("CARGO_TARGET_DIR", &dir)
            .env("CARGO_PROFILE_DEV_OPT_LEVEL", "1")
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("RUSTFLAGS", RUSTFLAGS),
    )?;
    Ok(dir.join(host).join("debug"))
}

/// The target triple of this machine.
fn host() -> Result<String> {
    let output = Command::new("rustc").arg("-vV").output();
    let output = output.context("cannot start rustc")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc names no host")
}

/// Runs one target. Its findings are kept below the build directory.
fn fuzz(programs: &Path, name: &str, seconds: u32) -> Result<()> {
    let dir = target()?.join("fuzz");
    let corpus = dir.join("corpus").join(name);
    let findings = dir.join("findings");
    fs::create_dir_all(&corpus)?;
    fs::create_dir_all(&findings)?;
    let log = dir.join(format!("{name}.log"));
    let output = fs::File::create(&log)?;
    let mut command = Command::new(programs.join(name));
    command
        .arg(&corpus)
        .arg(seeds(name))
        .arg(format!("-max_total_time={seconds}"))
        .args(["-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1"])
        .arg(format!("-artifact_prefix={}/{name}-", findings.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(output);
    let status = command
        .status()
        .with_context(|| format!("cannot start `{}`", command::line(&command)))?;
    let text = fs::read_to_string(&log).unwrap_or_default();
    if !status.success() {
        let lines: Vec<&str> = text.lines().collect();
        let end = lines[lines.len().saturating_sub(40)..].join("\n");
        bail!("failed ({status}); {} ends with:\n{end}", log.display());
    }
    let runs =
        statistic(&text, "number_of_executed_units").context("it says nothing of its runs")?;
    ensure!(runs > 0, "it ran nothing");
    eprintln!("fuzz target {name}: {runs} inputs in {seconds} s");
    Ok(())
}

/// A figure of libFuzzer's final statistics.
fn statistic(log: &str, name: &str) -> Option<u64> {
    let line = log
        .lines()
        .find_map(|line| line.strip_prefix("stat::")?.strip_prefix(name))?;
    line.trim_start_matches(':').trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_runs_is_read() {
        let log = "x\nstat::number_of_executed_units: 12034\nstat::peak_rss_mb:  70\n";
        assert_eq!(statistic(log, "number_of_executed_units"), Some(12034));
        assert_eq!(statistic("", "number_of_executed_units"), None);
    }

    #[test]
    fn every_target_has_inputs_and_all_inputs_have_a_target() {
        let mut targets = targets().expect("each has inputs");
        targets.sort_unstable();
        let seeds = fs::read_dir(root().join("fuzz/seeds")).expect("a directory");
        let mut seeds: Vec<String> = seeds
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        seeds.sort_unstable();
        assert_eq!(targets, seeds);
    }
}
