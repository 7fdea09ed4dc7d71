//! The program and the module as they are shipped.

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::command::{self, cargo, target};

/// Variables that only tests set.
const OF_TESTS: [&str; 1] = ["TPMSSH_TEST_KDF"];

/// Settings of the release profile that only make programs faster, and builds slower. `cargo xtask dist` builds what is
/// shipped, with them.
const QUICK: [(&str, &str); 3] = [
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
    ("CARGO_PROFILE_RELEASE_LTO", "off"),
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1"),
];

/// Builds all programs with the release profile, less optimized, and checks that those of tpmssh contain no names of
/// variables for tests.
///
/// # Errors
///
/// If one of them contains such a name.
pub(super) fn check() -> Result<()> {
    let mut build = cargo();
    build.args(["build", "--release", "--locked"]).envs(QUICK);
    for package in ["tpmssh", "tpmssh-pkcs11", "ca-server"] {
        build.args(["-p", package]);
    }
    command::run(&mut build)?;
    for name in ["tpmssh", "libtpmssh_pkcs11.so"] {
        let path = target()?.join("release").join(name);
        let shipped = fs::read(&path).with_context(|| path.display().to_string())?;
        // The search must find a name that is there: both read this one.
        ensure!(holds(&shipped, "TPMSSH_STORE"), "{name} cannot be searched");
        for variable in OF_TESTS {
            ensure!(
                !holds(&shipped, variable),
                "{name} knows {variable}, which is for tests"
            );
        }
    }
    Ok(())
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The name of the variable must be the one in the code that reads it.
    #[test]
    fn the_variables_of_tests_are_those_that_the_code_reads() {
        let kdf = command::root().join("crates/token-store/src/pin/kdf.rs");
        let kdf = fs::read(kdf).expect("a source file");
        for variable in OF_TESTS {
            assert!(holds(&kdf, variable), "{variable}");
        }
        assert!(!holds(&kdf, "TPMSSH_TEST_NOTHING"));
    }
}
