//! Where the PKCS#11 module is.

use std::env;
use std::path::PathBuf;

/// The PKCS#11 module that was installed, or built, with this program: beside it, in the `lib`
/// beside its directory, or where systems keep their libraries.
pub(crate) fn path() -> Option<PathBuf> {
    let program = env::current_exe().ok()?;
    let dir = program.parent()?;
    let triplet = format!("{}-linux-gnu", env::consts::ARCH);
    let near = ["", "../lib", "../lib64"].map(|place| dir.join(place));
    let places = near
        .into_iter()
        .chain(["/usr/local/lib", "/usr/lib", "/usr/lib64"].map(PathBuf::from));
    places
        .flat_map(|place| [place.join(&triplet), place])
        .flat_map(|place| [place.join("pkcs11"), place])
        .map(|place| place.join("libtpmssh_pkcs11.so"))
        .find_map(|path| path.canonicalize().ok())
}
