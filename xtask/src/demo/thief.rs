//! A thief takes the disk, and knows the PIN.

use anyhow::Result;
use testing::Home;

use super::{
    show::{Show, expect},
    stage::{PIN_FILE, Stage},
};

pub(super) fn copy_the_store(show: &mut Show, stage: &Stage) -> Result<()> {
    show.step("Copy the store to another machine: its TPM refuses the keys, PIN or not")?;
    let mut there = Home::with_tcti(stage.other.tcti());
    let mut copy = stage.home.command("cp");
    show.run(copy.arg("-a").arg(stage.home.store()).arg(there.store()))?;
    show.environment("On the other machine the environment is:", &there);

    let mut keygen = stage.tpmssh(&["keygen", "-t", "ecdsa", "--label", "stolen"]);
    keygen.envs(there.env()).args(["--pin-file", PIN_FILE]);
    expect(&show.fail(&mut keygen, 6)?, "another TPM")?;

    let mut ssh = stage.ssh_with_module(PIN_FILE, "echo in with a stolen key");
    let refused = show.fail(ssh.envs(there.env()), 255)?;
    expect(&refused, "Permission denied")?;

    show.step("It is the TPM that makes the difference: with the right one that copy works")?;
    there.set_tcti(stage.swtpm.tcti());
    show.environment("The environment is now:", &there);
    let mut ssh = stage.ssh_with_module(PIN_FILE, "echo in at home");
    expect(&show.run(ssh.envs(there.env()))?, "in at home")
}
