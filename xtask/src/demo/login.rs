//! Logging in, in the three ways in which OpenSSH uses a PKCS#11 module.

use std::fs;

use anyhow::{Context, Result, ensure};

use super::{
    show::{Show, expect, expect_no},
    stage::{PIN_FILE, SSH_CONFIG, Stage},
};

pub(super) fn by_ssh(show: &mut Show, stage: &Stage) -> Result<()> {
    show.step("Log in: ssh -I")?;
    show.run(stage.home.command("cat").arg(SSH_CONFIG))?;
    let mut ssh = stage.ssh_with_module(PIN_FILE, "echo in by ssh -I");
    expect(&show.run(&mut ssh)?, "in by ssh -I")?;
    ensure!(
        stage.sshd.log().contains("Accepted publickey"),
        "the server's log does not tell of a public key"
    );
    Ok(())
}

pub(super) fn by_configuration(show: &mut Show, stage: &Stage) -> Result<()> {
    show.step("Log in: PKCS11Provider in a configuration file")?;
    let file = stage.home.path().join(SSH_CONFIG);
    let config = fs::read_to_string(&file)?;
    let provider = format!("    PKCS11Provider {}\n", stage.module());
    fs::write(&file, config.clone() + &provider)?;
    let mut grep = stage.home.command("grep");
    show.run(grep.args(["PKCS11Provider", SSH_CONFIG]))?;
    let mut ssh = stage.ssh(&[], "echo in by configuration");
    expect(
        &show.run(ssh.envs(stage.askpass(PIN_FILE)))?,
        "in by configuration",
    )?;
    fs::write(&file, config)?;
    Ok(())
}

pub(super) fn by_agent(show: &mut Show, stage: &Stage) -> Result<()> {
    let ssh_add = |args: &[&str]| {
        let mut ssh_add = stage.home.command("ssh-add");
        ssh_add.args(args).envs(stage.agent.env());
        ssh_add
    };
    let ssh = |remote| {
        let mut ssh = stage.ssh(&[], remote);
        ssh.envs(stage.agent.env());
        ssh
    };

    show.step("Give the keys to ssh-agent")?;
    expect(&show.fail(&mut ssh_add(&["-l"]), 1)?, "no identities")?;
    show.run(ssh_add(&["-s", stage.module()]).envs(stage.askpass(PIN_FILE)))?;
    let listed = show.run(&mut ssh_add(&["-l"]))?;
    ensure!(
        listed.lines().count() == 3,
        "the agent does not list 3 keys"
    );
    expect(&listed, "(RSA)")?;
    expect(&listed, "(ECDSA)")?;

    show.step("Log in through the agent, without a PIN")?;
    expect(&show.run(&mut ssh("echo in by agent"))?, "in by agent")?;

    show.step("Take the keys from the agent")?;
    show.run(&mut ssh_add(&["-e", stage.module()]))?;
    expect(&show.fail(&mut ssh_add(&["-l"]), 1)?, "no identities")?;
    let refused = show.fail(&mut ssh("echo in without keys"), 255)?;
    expect(&refused, "Permission denied")?;
    expect_no(&refused, "in without keys")
}

/// Leaves one key in `authorized_keys`, so that a wrong PIN after it is tried once.
pub(super) fn with_one_key(show: &mut Show, stage: &Stage) -> Result<()> {
    show.step("Let only the ECDSA key log in, and do so")?;
    let file = stage.sshd.authorized_keys();
    let mut export = stage.tpmssh(&["export", "ecdsa key"]);
    show.run_into(&file, &mut export)?;
    let mut ssh = stage.ssh_with_module(PIN_FILE, "echo in by ECDSA");
    expect(&show.run(&mut ssh)?, "in by ECDSA")?;
    let log = stage.sshd.log();
    let last = log
        .lines()
        .rfind(|line| line.contains("Accepted publickey"));
    let last = last.context("the server's log does not tell of a public key")?;
    expect(last, "ECDSA SHA256:")
}
