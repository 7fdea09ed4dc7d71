//! Files that cargo built beside the running test.

use std::path::PathBuf;

/// The file name of the PKCS#11 module.
const MODULE: &str = "libtpmssh_pkcs11.so";

/// The PKCS#11 module that was built with the running test program.
///
/// Cargo puts it into the directory of the test program for any package that has `tpmssh-pkcs11`
/// among its (dev-)dependencies. The path is canonical, as `ssh-agent -P` compares it.
///
/// # Panics
///
/// If it was not built.
#[must_use]
pub fn module() -> PathBuf {
    let program = std::env::current_exe().expect("a running program has a path");
    program
        .ancestors()
        .skip(1)
        .take(2)
        .map(|dir| dir.join(MODULE))
        .find(|path| path.is_file())
        .unwrap_or_else(|| {
            panic!(
                "no {MODULE} beside {}: cargo build -p tpmssh-pkcs11",
                program.display()
            )
        })
        .canonicalize()
        .expect("the file is there")
}
