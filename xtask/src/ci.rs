//! `cargo xtask ci`: everything that must be in order before a change is merged.

mod libraries;
mod minimal;
mod msrv;
mod outside;
mod release;
mod tools;

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::{
    command::{self, cargo},
    demo, fuzz, packages, soak, test,
};

use self::tools::Tool;

/// The name of a step, and its function.
type Step = (&'static str, fn() -> Result<()>);

/// Steps of seconds come first.
const STEPS: &[Step] = &[
    ("formatting", formatting),
    ("spelling", spelling),
    ("licences and sources", dependencies),
    ("lints", lints),
    ("stated Rust version", msrv::build),
    ("documentation", documentation),
    ("documentation without libtss2", libraries::document),
    ("libraries as packages", libraries::package),
    ("a program outside", outside::run),
    ("oldest dependencies", minimal::check),
    ("fuzz targets", || fuzz::run_for(20)),
    ("released program and module", release::check),
    ("demo", demo::run),
    ("tests", || test::run(&[])),
    ("load and faults", || soak::run_for(2, 1)),
];

const CARGO_DENY: Tool = Tool {
    package: "cargo-deny",
    version: "0.20.2",
    program: "cargo-deny",
};

const TYPOS: Tool = Tool {
    package: "typos-cli",
    version: "1.52.0",
    program: "typos",
};

/// Does all of [`STEPS`], and prints at the end how long each took.
///
/// # Errors
///
/// The error of the first step that fails.
pub(crate) fn run() -> Result<()> {
    packages::install_missing(packages::For::All)?;
    let mut times = Vec::new();
    for (name, step) in STEPS {
        eprintln!("ci: {name}");
        let start = Instant::now();
        step().with_context(|| format!("ci: {name}"))?;
        times.push((*name, start.elapsed()));
    }
    let total = ("all of it", times.iter().map(|(_, time)| *time).sum());
    for (name, time) in times.into_iter().chain([total]) {
        eprintln!("ci: {:>5} s  {name}", Duration::as_secs(&time));
    }
    Ok(())
}

fn formatting() -> Result<()> {
    command::run(cargo().args(["fmt", "--all", "--check"]))?;
    let fuzz = ["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"];
    command::run(cargo().args(fuzz))
}

/// `typos.toml` has the words that `typos` does not know.
fn spelling() -> Result<()> {
    let mut typos = std::process::Command::new(TYPOS.path()?);
    command::run(
        typos
            .args(["--format", "brief"])
            .current_dir(command::root()),
    )
}

/// `deny.toml` has the rules. Advisories need a download, and change when nothing here does.
fn dependencies() -> Result<()> {
    let program = CARGO_DENY.path()?;
    for manifest in ["Cargo.toml", "fuzz/Cargo.toml"] {
        let mut deny = std::process::Command::new(&program);
        command::run(
            deny.args(["--locked", "--config", "deny.toml"])
                .args(["--manifest-path", manifest, "check"])
                // Both manifests share the exceptions, so each has unused ones.
                .args(["--allow", "license-exception-not-encountered"])
                .args(["--hide-inclusion-graph", "bans", "licenses", "sources"])
                .current_dir(command::root()),
        )?;
    }
    Ok(())
}

fn lints() -> Result<()> {
    command::run(
        cargo()
            .args(["clippy", "--workspace", "--all-targets", "--locked"])
            .args(["--", "-D", "warnings"]),
    )
}

fn documentation() -> Result<()> {
    command::run(
        cargo()
            .args(["doc", "--workspace", "--no-deps", "--locked"])
            .env("RUSTDOCFLAGS", "-D warnings"),
    )
}
