//! Logging in, in the three ways in which OpenSSH uses a PKCS#11 module.

use std::fs;

use anyhow::{Context, Result, ensure};

use super::{
    show::{Show, expect, expect_no},
    stage::Stage,
};

pub(super) fn by_ssh(show: &mut Show, stage: &Stage) -> Result<()> {
    show.step("Log in: ssh -I")?;
    let mut ssh = stage
        .sshd
        .ssh(&stage.home, &["-I", stage.module()], "echo in by ssh -I");
    expect(&show.run(ssh.envs(stage.askpass()))?, "in by ssh -I")?;
    ensure!(
        stage.sshd.log().contains("Accepted publickey"),
        "the server's log does not tell of a public key"
    );

    show.step("Log in with the ECDSA key alone")?;
    let file = stage.sshd.authorized_keys();
    let all = fs::read_to_string(&file)?;
    let ecdsa = all.lines().find(|line| line.starts_with("ecdsa-"));
    fs::write(
        &file,
        format!("{}\n", ecdsa.context("there is an ECDSA key")?),
    )?;
    let mut ssh = stage
        .sshd
        .ssh(&stage.home, &["-I", stage.module()], "echo in by ECDSA");
    expect(&show.run(ssh.envs(stage.askpass()))?, "in by ECDSA")?;
    ensure!(
        stage.sshd.log().contains("ssh2: ECDSA SHA256:"),
        "the server's log does not tell of an ECDSA key"
    );
    fs::write(&file, all)?;
    Ok(())
}

pub(super) fn by_configuration(show: &mut Show, stage: &Stage) -> Result<()> {
    show.step("Log in: PKCS11Provider in a configuration file")?;
    let config = stage.home.path().join(".ssh/config");
    let mut text = format!(
        "Host demo\n    HostName 127.0.0.1\n    User {}\n",
        stage.sshd.user()
    );
    text += &format!("    PKCS11Provider {}\n", stage.module());
    for option in stage.sshd.options() {
        text += &format!("    {}\n", option.replacen('=', " ", 1));
    }
    fs::write(&config, text)?;
    show.run(stage.home.command("cat").arg(&config))?;
    let mut ssh = stage.home.command("ssh");
    ssh.arg("-F")
        .arg(&config)
        .args(["demo", "echo in by configuration"]);
    expect(&show.run(ssh.envs(stage.askpass()))?, "in by configuration")
}

pub(super) fn by_agent(show: &mut Show, stage: &Stage) -> Result<()> {
    let ssh_add = |args: &[&str]| {
        let mut ssh_add = stage.home.command("ssh-add");
        ssh_add.args(args).envs(stage.agent.env());
        ssh_add
    };
    let ssh = |remote| {
        let mut ssh = stage.sshd.ssh(&stage.home, &[], remote);
        ssh.envs(stage.agent.env());
        ssh
    };

    show.step("Give the keys to ssh-agent")?;
    expect(&show.fail(&mut ssh_add(&["-l"]), 1)?, "no identities")?;
    show.run(ssh_add(&["-s", stage.module()]).envs(stage.askpass()))?;
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
