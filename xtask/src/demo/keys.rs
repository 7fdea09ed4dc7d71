//! Keys in the token, made by tpmssh and by OpenSC.

use std::fs;

use anyhow::{Context, Result, ensure};

use super::{
    show::{Show, expect},
    stage::{PIN_FILE, Stage},
};

/// The label of the key that pkcs11-tool makes, like a public key's comment.
const TOOL_LABEL: &str = "user@host key";

pub(super) fn make_keys(show: &mut Show, stage: &Stage) -> Result<()> {
    for (title, options, label) in [
        (
            "Make an RSA key in the TPM",
            ["-t", "rsa", "-b", "2048"],
            "rsa key",
        ),
        (
            "Make an ECDSA key in the TPM",
            ["-t", "ecdsa", "-b", "256"],
            "ecdsa key",
        ),
    ] {
        show.step(title)?;
        let mut keygen = stage.tpmssh(&["keygen"]);
        keygen.args(options).args(["--label", label]);
        show.run(keygen.args(["--pin-file", PIN_FILE]))?;
    }

    show.step("See them")?;
    let objects = show.run(&mut stage.tpmssh(&["list-objects"]))?;
    expect(&objects, "rsa key")?;
    expect(&objects, "ecdsa key")
}

pub(super) fn make_a_key_with_pkcs11_tool(show: &mut Show, stage: &Stage) -> Result<()> {
    let pin = fs::read_to_string(stage.home.path().join(PIN_FILE))?;

    show.step("Make a key with a program that knows nothing of us")?;
    let mut tool = stage.pkcs11_tool(&["--login", "--pin", "env:PIN", "--keypairgen", "-d", "01"]);
    tool.args(["-a", TOOL_LABEL, "--key-type", "rsa:2048"]);
    expect(&show.run(tool.env("PIN", &pin))?, "Key pair generated")?;

    show.step("Let it list what everyone may see")?;
    let objects = show.run(&mut stage.pkcs11_tool(&["-O"]))?;
    expect(&objects, TOOL_LABEL)?;
    expect(&objects, "Public Key Object")?;
    ensure!(
        !objects.contains("Private Key Object"),
        "private keys are shown without a login"
    );

    show.step("Let it list what the owner of the PIN may see")?;
    let mut tool = stage.pkcs11_tool(&["-O", "--login", "--pin", "env:PIN"]);
    let objects = show.run(tool.env("PIN", &pin))?;
    let private = objects.matches("Private Key Object").count();
    ensure!(
        private == 3,
        "{private} private keys are shown instead of 3"
    );
    expect(&objects, "never extractable")
}

pub(super) fn authorize_the_keys(show: &mut Show, stage: &Stage) -> Result<()> {
    show.step("Let the keys log in")?;
    let authorized_keys = stage.sshd.authorized_keys();
    let mut keygen = stage.home.command("ssh-keygen");
    show.run_into(&authorized_keys, keygen.arg("-D").arg(stage.module()))?;
    let text = show.run(stage.home.command("cat").arg(&authorized_keys))?;
    let keys = text
        .lines()
        .filter(|line| line.starts_with("ssh-rsa "))
        .count();
    ensure!(keys == 2, "{keys} RSA keys instead of 2");
    expect(&text, "ecdsa-sha2-nistp256 ")?;

    // ssh-keygen without a PIN must print the same key as tpmssh.
    let exported = show.run(stage.tpmssh(&["export"]).arg("ecdsa key"))?;
    let blob = exported
        .split(' ')
        .nth(1)
        .context("an authorized_keys line has three words")?;
    expect(&text, blob)
}
