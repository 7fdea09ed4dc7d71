//! The chip, a token in it, and its PIN.

use anyhow::{Result, ensure};

use super::{
    show::{Show, expect, expect_no},
    stage::Stage,
};

/// The label of the token.
pub(super) const LABEL: &str = "demo";

pub(super) fn look_at_the_tpm(show: &mut Show, stage: &Stage) -> Result<()> {
    show.step("Look at the TPM")?;
    expect(&show.run(&mut stage.tpmssh(&["tpm", "info"]))?, "IBM")?; // who wrote the simulator

    show.step("Let the TPM test itself")?;
    expect(
        &show.run(&mut stage.tpmssh(&["tpm", "selftest"]))?,
        "passed",
    )
}

pub(super) fn make_a_token(show: &mut Show, stage: &Stage) -> Result<()> {
    show.step("Make a token: a place for keys, with a PIN")?;
    let mut init = stage.tpmssh(&["token", "init", "--label", LABEL]);
    init.arg("--new-pin-file").arg(&stage.pin_file);
    init.arg("--so-pin-file").arg(&stage.so_pin_file);
    show.run(&mut init)?;
    let tokens = show.run(&mut stage.tpmssh(&["token", "list"]))?;
    expect(&tokens, LABEL)
}

pub(super) fn give_a_wrong_pin(show: &mut Show, stage: &Stage) -> Result<()> {
    let tokens = || stage.tpmssh(&["--json", "token", "list"]);

    show.step("A wrong PIN is refused, and counted")?;
    let before = tries_left(&show.run(&mut tokens())?)?;
    let mut keygen = stage.tpmssh(&["keygen", "-t", "ecdsa", "--label", "never made"]);
    keygen.arg("--pin-file").arg(&stage.wrong_pin_file);
    expect(&show.fail(&mut keygen, 3)?, "left")?;
    let after = tries_left(&show.run(&mut tokens())?)?;
    ensure!(after == before - 1, "{before} tries became {after}");

    show.step("So is one that ssh was given")?;
    let askpass = stage.home.askpass(&stage.wrong_pin_file);
    let mut ssh = stage
        .sshd
        .ssh(&stage.home, &["-I", stage.module()], "echo in");
    show.fail(ssh.envs(askpass), 255)?;
    let after = tries_left(&show.run(&mut tokens())?)?;
    ensure!(after < before - 1, "ssh's wrong PIN was not counted");

    show.step("The right PIN works, and forgives the mistakes")?;
    let mut ssh = stage
        .sshd
        .ssh(&stage.home, &["-I", stage.module()], "echo in again");
    expect(&show.run(ssh.envs(stage.askpass()))?, "in again")?;
    let after = tries_left(&show.run(&mut tokens())?)?;
    ensure!(after == before, "{before} tries did not come back: {after}");
    expect_no(
        &show.run(&mut stage.tpmssh(&["list-objects"]))?,
        "never made",
    )
}

/// The number in `"left": 3`, the only one of that name.
fn tries_left(json: &str) -> Result<i64> {
    todo!("{json}")
}
