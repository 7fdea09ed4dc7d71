//! How the module is linked.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // Set by cargo-fuzz.
    println!("cargo:rustc-check-cfg=cfg(fuzzing)");
    // Once loaded it stays: SQLite and Rust's runtime keep some memory for the life of a
    // process, and a host that unloads a library from under another thread would crash.
    println!("cargo:rustc-link-arg-cdylib=-Wl,-z,nodelete");
}
