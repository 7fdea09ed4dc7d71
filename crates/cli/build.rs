//! Tells the program its version: that of the package and, if the build was told one, the commit.

use std::env;

fn main() {
    // Whoever builds says it, so that the same source and variables give the same bytes.
    println!("cargo::rerun-if-env-changed=TPMSSH_COMMIT");
    println!("cargo::rerun-if-changed=build.rs");
    let package = env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let version = match env::var("TPMSSH_COMMIT").unwrap_or_default().trim() {
        "" => package,
        commit => format!("{package} ({commit})"),
    };
    println!("cargo::rustc-env=TPMSSH_VERSION={version}");
}
