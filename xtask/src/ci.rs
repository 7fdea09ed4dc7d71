//! `cargo xtask ci`: everything that must be in order before a change is merged.

mod libraries;
mod minimal;
mod msrv;
mod outside;
mod release;
mod tools;

use std::ffi::OsString;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::{
    command::{self, cargo},
    demo, distro, fuzz, package_test, packages, soak, test,
    unavailable::Unavailable,
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
    ("demo and end-to-end tests on Debian 13", distro::trixie),
    (
        "the package, from install to purge",
        package_test::of_release,
    ),
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

/// Does all of [`STEPS`], or those that are named, and says at the end how long each took, and which this machine cannot do.
///
/// # Errors
///
/// If there is no such step. Else the first step that fails. At the end, if this machine could not do a step, unless this is CI,
/// where nobody can install what the machine lacks.
pub(crate) fn run(names: &[OsString]) -> Result<()> {
    let steps = chosen(names)?;
    packages::install_missing(packages::For::All)?;
    let mut times = Vec::new();
    let mut left_out = Vec::new();
    let begun = Instant::now();
    for (name, step) in steps {
        eprintln!("ci: after {} s: {name}", begun.elapsed().as_secs());
        let start = Instant::now();
        match step() {
            Ok(()) => times.push((*name, start.elapsed())),
            Err(err) if err.is::<Unavailable>() => left_out.push(format!("{name}: {err:#}")),
            Err(err) => return Err(err).with_context(|| format!("ci: {name}")),
        }
    }
    let total = ("all of it", times.iter().map(|(_, time)| *time).sum());
    for (name, time) in times.into_iter().chain([total]) {
        eprintln!("ci: {:>5} s  {name}", Duration::as_secs(&time));
    }
    finish(&left_out, std::env::var_os("CI").is_some())
}

/// The steps with these names, in the order in which they are done; all without names.
fn chosen(names: &[OsString]) -> Result<Vec<&'static Step>> {
    for name in names {
        let is_there = STEPS.iter().any(|(step, _)| name == step);
        ensure!(
            is_there,
            "there is no step {}; there are: {}",
            name.display(),
            STEPS
                .iter()
                .map(|(step, _)| *step)
                .collect::<Vec<_>>()
                .join("; ")
        );
    }
    let is_chosen = |step: &&Step| names.is_empty() || names.iter().any(|name| name == step.0);
    Ok(STEPS.iter().filter(is_chosen).collect())
}

/// Says what was left out, and whether the rest is enough.
fn finish(left_out: &[String], in_ci: bool) -> Result<()> {
    for what in left_out {
        eprintln!("ci: NOT DONE, this machine cannot: {what}");
    }
    ensure!(
        left_out.is_empty() || in_ci,
        "ci: all that was done is in order, and {} of {} steps were not done; where the variable CI is \
         set, that is enough",
        left_out.len(),
        STEPS.len()
    );
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

/// `deny.toml` has the rules. Advisories are not checked: they need a download, and a new one would
/// fail a build in which nothing has changed.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_out_is_enough_in_ci_only() {
        let left_out = ["demo: no room".to_owned()];
        finish(&[], false).expect("all was done");
        finish(&left_out, true).expect("this is CI");
        let err = finish(&left_out, false).expect_err("a step was not done");
        let said = format!("and 1 of {} steps were not done", STEPS.len());
        assert!(err.to_string().contains(&said), "{err}");
    }

    #[test]
    fn steps_are_chosen_by_their_names() {
        let chosen = |names: &[&str]| {
            let names: Vec<OsString> = names.iter().map(OsString::from).collect();
            let steps = chosen(&names)?;
            Ok::<_, anyhow::Error>(steps.iter().map(|step| step.0).collect::<Vec<_>>())
        };
        assert_eq!(chosen(&[]).expect("all").len(), STEPS.len());
        let some = chosen(&["tests", "demo"]).expect("both are there");
        assert_eq!(some, ["demo", "tests"]);
        let err = chosen(&["no such thing"]).expect_err("it is not there");
        assert!(err.to_string().contains("formatting; spelling"), "{err}");
    }

    #[test]
    fn what_a_machine_cannot_do_is_told_from_what_fails() {
        let cannot = anyhow::Error::new(Unavailable("no room".into())).context("a root");
        assert!(cannot.is::<Unavailable>());
        assert!(!anyhow::anyhow!("no room").is::<Unavailable>());
    }
}
