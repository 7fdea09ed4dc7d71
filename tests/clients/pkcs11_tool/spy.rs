//! The module behind OpenSC's pkcs11-spy, which lists each call.

use std::path::Path;

use testing::module;

use super::{PIN, Program};
use crate::clients::{file, ok, write};

#[test]
fn a_spy_between_them_sees_every_call_and_changes_nothing() {
    let program = Program::with_key();
    let home = &program.home;
    let arch = std::env::consts::ARCH;
    let spy = format!("/usr/lib/{arch}-linux-gnu/pkcs11-spy.so");
    assert!(Path::new(&spy).exists(), "{spy} (package opensc-pkcs11)");
    let log = file(home, "calls");
    let data = write(home, "data", "to be signed");
    let mut command = home.command("pkcs11-tool");
    command
        .env("PKCS11SPY", module())
        .env("PKCS11SPY_OUTPUT", &log);
    command.args(["--module", &spy, "--login", "--pin", PIN]);
    command.args([
        "--sign",
        "--mechanism",
        "ECDSA-SHA256",
        "--input-file",
        &data,
    ]);
    ok(command.args(["--output-file", &file(home, "signature")]));
    let calls = std::fs::read_to_string(log).unwrap();
    for call in ["C_GetInterface", "C_Login", "C_SignInit", "C_Sign"] {
        assert!(calls.contains(&format!(": {call}\n")), "{call}: {calls}");
    }
    assert_eq!(
        std::fs::metadata(file(home, "signature")).unwrap().len(),
        64
    );
}
