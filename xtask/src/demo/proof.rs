//! An authority certifies a key because its owner can prove that it cannot leave the TPM.

use std::fs;

use anyhow::{Context, Result};

use super::{
    show::{Show, expect},
    stage::{PIN_FILE, SO_PIN_FILE, Stage, TRUSTED_AUTHORITIES},
};

/// Files of the proof, below the home.
const REQUEST: &str = "request.json";
const CHALLENGE: &str = "challenge.json";
const PROOF: &str = "proof.json";

pub(super) fn make_an_authority(show: &mut Show, stage: &Stage) -> Result<()> {
    show.step("Make an authority that certifies only what is proven, which the server trusts")?;
    let mut init = stage.tpmssh(&["token", "init", "--label", "ca"]);
    init.args(["--pin-file", PIN_FILE, "--so-pin-file", SO_PIN_FILE]);
    show.run(&mut init)?;
    let mut init = stage.tpmssh(&["ca", "init", "--token", "ca", "--proof-required"]);
    show.run(init.args(["--pin-file", PIN_FILE]))?;
    let trusted = stage.home.path().join(TRUSTED_AUTHORITIES);
    show.run_into(&trusted, &mut stage.tpmssh(&["ca", "public-key"]))?;
    // From here on no key logs in without a certificate.
    fs::write(stage.sshd.authorized_keys(), "")?;
    Ok(())
}

pub(super) fn prove_and_log_in(show: &mut Show, stage: &Stage) -> Result<()> {
    show.step("Prove that a key was born in this TPM: request, challenge, proof")?;
    show.run(&mut stage.tpmssh(&["tpm", "create-ek", "-t", "ecc-p384"]))?;
    show.run(&mut stage.tpmssh(&["prove", "ecdsa key", "-o", REQUEST]))?;
    show.run(&mut stage.tpmssh(&["ca", "challenge", REQUEST, "-o", CHALLENGE]))?;
    let mut prove = stage.tpmssh(&["prove", "--request", REQUEST, "--challenge", CHALLENGE]);
    show.run(prove.args(["--pin-file", PIN_FILE, "-o", PROOF]))?;

    show.step("Have it certified: the authority knows this TPM by its name")?;
    let listed = show.run(&mut stage.tpmssh(&["ek", "export"]))?;
    let name = listed
        .split(' ')
        .next()
        .context("there is no endorsement key")?;
    let public = stage.home.path().join("key.pub");
    show.run_into(&public, &mut stage.tpmssh(&["export", "ecdsa key"]))?;
    let certificate = stage.home.path().join("key-cert.pub");
    let mut sign = sign(stage, "key.pub");
    let trust = ["--ek", name, "--require-wall", "counter"];
    show.run_into(&certificate, sign.args(["--proof", PROOF]).args(trust))?;

    show.step("Log in with the certificate: the server knows no key of this user")?;
    let without = &mut stage.ssh_with_module(PIN_FILE, "echo in without a certificate");
    expect(&show.fail(without, 255)?, "Permission denied")?;
    let option = "CertificateFile=key-cert.pub";
    let mut ssh = stage.ssh(
        &["-I", stage.module(), "-o", option],
        "echo in with a proof",
    );
    let output = show.run(ssh.envs(stage.askpass(PIN_FILE)))?;
    expect(&output, "in with a proof")
}

pub(super) fn refuse_a_software_key(show: &mut Show, stage: &Stage) -> Result<()> {
    show.step("A key of software is not certified, nor does it borrow the proof of another")?;
    let mut keygen = stage.home.command("ssh-keygen");
    show.run(keygen.args(["-q", "-t", "ecdsa", "-N", "", "-f", "software"]))?;
    let refused = show.fail(&mut sign(stage, "software.pub"), 8)?;
    expect(&refused, "certifies only keys with a proof")?;
    let mut with_another = sign(stage, "software.pub");
    with_another.args(["--proof", PROOF, "--any-tpm"]);
    expect(&show.fail(&mut with_another, 8)?, "for another key")
}

/// Certifies a public key for the user of the demo.
fn sign(stage: &Stage, public: &str) -> std::process::Command {
    let mut sign = stage.tpmssh(&["ca", "sign-user", public, "--ca", "ca", "-I", "demo"]);
    sign.args(["-n", stage.sshd.user(), "-V", "+1h", "--pin-file", PIN_FILE]);
    sign
}
