//! People come with keys that they have: they are replaced where that is possible, imported where
//! it is not, and never mistaken for keys that were made in the TPM.

mod journeys;
mod refused;
mod secret;
mod shown;

use crate::program::{Outcome, Program, text};

/// The passphrase of the files in these tests.
const PASSPHRASE: &str = "open sesame";

/// A new key file of ssh-keygen with the comment `me@old`; its path.
fn old_key(program: &Program, name: &str, kind: [&str; 2], passphrase: &str) -> String {
    let path = text(program.home.path().join(name));
    let [kind, bits] = kind;
    let args = ["-q", "-t", kind, "-b", bits, "-C", "me@old"];
    let rest = ["-N", passphrase, "-f", &path];
    Outcome::of(program.home.command("ssh-keygen").args(args).args(rest)).ok();
    path
}

/// Imports a file, with the right PIN and a yes.
fn import(program: &Program, file: &str, options: &[&str]) -> Outcome {
    let args = ["import", "--yes", "--pin-file", &program.pin, file];
    program.run(&[&args[..], options].concat())
}
