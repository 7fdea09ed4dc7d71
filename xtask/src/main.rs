//! The project's own chores, as `cargo xtask <chore>`.
//!
//! Each chore is a plain function that runs commands which could also be typed, and prints them.
//! This program builds with Rust and a C linker. A chore installs the other packages that it needs.

mod artifacts;
mod bench;
mod ci;
mod command;
mod demo;
mod differential;
mod dist;
mod distro;
mod fuzz;
mod heard;
mod install;
mod kernel;
mod memcheck;
mod package_test;
mod packages;
mod payload;
mod soak;
mod source;
mod test;
mod unavailable;
mod zoo;

use std::{ffi::OsString, process::ExitCode};

const USAGE: &str = "\
cargo xtask demo           show tpmssh at work: from an empty TPM to an ssh login
cargo xtask test [--times] [--without-programs] [ARG]...  build everything and run all tests; ARGs go
                           to cargo test; --times shows at the end how long each test program ran;
                           --without-programs needs no Java, Go, nginx and the like, and tests none
cargo xtask ci [STEP]...   all that must be in order before a merge, or some steps of it; .ci/run
                           calls this
cargo xtask fuzz [SECONDS]  every fuzz target, 20 seconds each
cargo xtask memcheck       call the module wrongly, under valgrind
cargo xtask differential [N]  compare the parsers of SSH's formats with OpenSSH's, N inputs each
cargo xtask distro SUITE [CHORE]...  a chore on another release of Debian, such as trixie
cargo xtask zoo FILE...     play the chips of a JSON file, in the states that are named after it
cargo xtask soak [MINUTES] [SEED]  a mixed load with faults, bare and behind tpm2-abrmd, 30 minutes
cargo xtask install [--prefix P] [--from DIR]  install below P (/usr/local) and $DESTDIR
cargo xtask uninstall [--prefix P]  remove what install wrote there
cargo xtask dist [--check | --from DIR]  two Debian packages, a tarball, checksums and an SBOM in
                           target/dist; --check builds twice and compares, --from packs a build
cargo xtask package-test [DEB CA_DEB]  the packages on a clean Debian 12 and 13, booted: from install to purge
cargo xtask bench [ARG]... what tpmssh costs beyond the chip; --help says what ARGs there are

Each installs the Debian packages that it needs and that are missing, and says which before.";

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    let chore = args.next().unwrap_or_default();
    let rest: Vec<OsString> = args.collect();
    // For `xtask test --times`, whose runner of test programs this is.
    if chore == "timed" {
        return test::timed(&rest).unwrap_or_else(|err| failure(&err));
    }
    let outcome = match (chore.to_str(), rest.is_empty()) {
        (Some("demo"), true) => demo::run(),
        // For another release of Debian, which has no compiler: see `distro`.
        (Some("demo"), false) if rest == ["--built"] => demo::run_built(),
        (Some("test"), _) => test::run(&rest),
        (Some("ci"), _) => ci::run(&rest),
        (Some("memcheck"), true) => memcheck::run(),
        (Some("differential"), _) if rest.len() < 2 => differential::run(&rest),
        (Some("fuzz"), _) if rest.len() < 2 => fuzz::run(&rest),
        (Some("soak"), _) if rest.len() < 3 => soak::run(&rest),
        (Some("distro"), false) => distro::run(&rest),
        (Some("zoo"), false) => zoo::run(&rest),
        (Some("install"), _) => install::install(&rest),
        (Some("uninstall"), _) => install::uninstall(&rest),
        (Some("dist"), _) => dist::run(&rest),
        (Some("package-test"), _) => package_test::run(&rest),
        (Some("bench"), _) => bench::run(&rest),
        (Some("help" | "--help" | "-h"), _) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => failure(&err),
    }
}

fn failure(err: &anyhow::Error) -> ExitCode {
    eprintln!("xtask: {err:#}");
    ExitCode::FAILURE
}
