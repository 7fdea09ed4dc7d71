//! Where the PKCS#11 module is.

use std::env;
use std::path::PathBuf;

/// The PKCS#11 module that was installed, or built, with this program.
pub(crate) fn path() -> Option<PathBuf> {
    let program = env::current_exe().ok()?;
    let dir = program.parent()?;
    let triplet = format!("../lib/{}-linux-gnu", env::consts::ARCH);
    ["", "../lib", &triplet]
        .iter()
        .map(|place| dir.join(place).join("libtpmssh_pkcs11.so"))
        .find_map(|path| path.canonicalize().ok())
}
