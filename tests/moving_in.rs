//! Keys that people have already: they are replaced if that is possible and imported if it is
//! not. An imported key is never shown as one that was made in the TPM.

mod journeys;
mod refused;
mod secret;
mod shown;

use crate::program::{Outcome, Program, text};

/// The passphrase of the files in these tests.
const PASSPHRASE: &str = "open sesame";

/// How often ssh-keygen stretches a passphrase: once, because each round costs it and tpmssh
/// processor time. Files with its default are in ssh-format's tests.
const ONE_ROUND: [&str; 2] = ["-a", "1"];

/// A new key file of ssh-keygen with the comment `me@old`; its path.
fn old_key(program: &Program, name: &str, kind: [&str; 2], passphrase: &str) -> String {
    let path = text(program.home.path().join(name));
    let [kind, bits] = kind;
    let args = ["-q", "-t", kind, "-b", bits, "-C", "me@old"];
    let rest = ["-N", passphrase, "-f", &path];
    let mut keygen = program.home.command("ssh-keygen");
    Outcome::of(keygen.args(args).args(ONE_ROUND).args(rest)).ok();
    path
}

/// Imports a file, with the right PIN and a yes.
fn import(program: &Program, file: &str, options: &[&str]) -> Outcome {
    let args = ["import", "--yes", "--pin-file", &program.pin, file];
    program.run(&[&args[..], options].concat())
}
