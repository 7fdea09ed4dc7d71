//! The chip, a token in it, and its PIN.

use anyhow::{Context, Result, ensure};

use super::{
    show::{Show, expect, expect_no},
    stage::{PIN_FILE, SO_PIN_FILE, Stage, WRONG_PIN_FILE},
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
    init.args(["--pin-file", PIN_FILE, "--so-pin-file", SO_PIN_FILE]);
    show.run(&mut init)?;
    let tokens = show.run(&mut stage.tpmssh(&["token", "list"]))?;
    expect(&tokens, LABEL)
}

pub(super) fn give_a_wrong_pin(show: &mut Show, stage: &Stage) -> Result<()> {
    show.step("A wrong PIN is refused, and counted")?;
    let before = tries_left(show, stage)?;
    let mut keygen = stage.tpmssh(&["keygen", "-t", "ecdsa", "--label", "never made"]);
    keygen.args(["--pin-file", WRONG_PIN_FILE]);
    expect(&show.fail(&mut keygen, 3)?, "wrong")?;
    let after = tries_left(show, stage)?;
    ensure!(after == before - 1, "{before} tries became {after}");

    show.step("So is one that ssh was given")?;
    let mut ssh = stage.ssh_with_module(WRONG_PIN_FILE, "echo in");
    let refused = show.fail(&mut ssh, 255)?;
    expect(&refused, "Permission denied")?;
    let after = tries_left(show, stage)?;
    ensure!(after == before - 2, "{before} tries became {after}");

    show.step("The right PIN works, and forgives the mistakes")?;
    let mut ssh = stage.ssh_with_module(PIN_FILE, "echo in again");
    expect(&show.run(&mut ssh)?, "in again")?;
    let after = tries_left(show, stage)?;
    ensure!(after == before, "{before} tries became {after}");
    expect_no(
        &show.run(&mut stage.tpmssh(&["list-objects"]))?,
        "never made",
    )
}

/// The first number of `3 of 8 tries left`.
fn tries_left(show: &Show, stage: &Stage) -> Result<u32> {
    let list = show.run(&mut stage.tpmssh(&["token", "list"]))?;
    let words: Vec<&str> = list.split_whitespace().collect();
    let tries = words
        .windows(5)
        .find(|words| words[1] == "of" && words[3..] == ["tries", "left"])
        .context("the list does not say how many tries are left")?;
    tries[0]
        .parse()
        .context("the number of tries is not a number")
}
