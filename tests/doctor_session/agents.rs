//! What doctor says of agents that are not as they should be, and of ssh's configuration.

use std::fs;

use testing::SshAgent;

use super::{configure, doctor, line};
use crate::agent::served::{Served, socket};
use crate::program::{Outcome, Program, run, text};

#[test]
fn an_agent_with_another_store_tpm_or_proxy_than_this_session_is_told() {
    let program = Program::with_key();
    let agent = Served::with(&program.home, &["--no-ask", "--proxy", "/nonexistent"], &[]);
    let again = format!("-> kill {}, then: tpmssh agent --daemon", agent.pid());
    let proxy = line(&doctor(&program, &[]).ok(), "agent ");
    assert!(
        proxy.starts_with("warning")
            && proxy.contains("the agent behind it does not answer: /nonexistent")
            && proxy.ends_with("-> start that agent, or take its --proxy or proxy away"),
        "{proxy}"
    );
    let other = text(program.home.path().join("other"));
    let said = line(
        &doctor(&program, &[("TPMSSH_STORE", &other)]).stdout,
        "agent ",
    );
    let store = text(program.home.store());
    assert!(
        said.starts_with("warning")
            && said.contains(&format!("it serves another store, {store}"))
            && said.ends_with(&again),
        "{said}"
    );
    let tcti = "swtpm:host=127.0.0.1,port=1";
    let said = line(&doctor(&program, &[("TPMSSH_TCTI", tcti)]).stdout, "agent ");
    assert!(
        said.starts_with("warning")
            && said.contains(&format!("it uses another TPM, {}", program.swtpm.tcti()))
            && said.ends_with(&again),
        "{said}"
    );
}

#[test]
fn another_program_at_the_usual_socket_and_two_agents_of_ours_are_told() {
    let program = Program::with_key();
    let usual = text(socket(&program.home));
    let elsewhere = text(program.home.path().join("run/second.sock"));
    let second = Served::with(&program.home, &["--no-ask"], &[]);
    fs::rename(&usual, &elsewhere).unwrap();
    let said = doctor(&program, &[("SSH_AUTH_SOCK", &elsewhere)]);
    let said = line(&said.stdout, "SSH_AUTH_SOCK");
    let pid = second.pid();
    assert!(
        said.contains(&format!(
            "another agent of tpmssh, process {pid} at {elsewhere}"
        )),
        "{said}"
    );
    drop(second);

    let other = SshAgent::start(&program.home, "/usr/lib/*", &[]);
    std::os::unix::fs::symlink(other.socket(), &usual).unwrap();
    let said = line(&doctor(&program, &[]).ok(), "agent ");
    assert!(
        said.starts_with("warning")
            && said.contains(&format!("ssh-agent listens at {usual}"))
            && said.ends_with("-> end it, then: tpmssh agent --daemon"),
        "{said}"
    );
}

#[test]
fn an_agent_without_a_log_and_a_socket_that_is_dead_are_told() {
    let program = Program::with_key();
    configure(&program, "[agent]\nlog = false\n");
    let dead = [("SSH_AUTH_SOCK", "/nonexistent")];
    let said = line(&doctor(&program, &dead).ok(), "SSH_AUTH_SOCK");
    assert!(
        said.contains("/nonexistent, where no agent listens")
            && said.ends_with("-> unset SSH_AUTH_SOCK"),
        "{said}"
    );
    let _agent = Served::start(&program);
    let running = doctor(&program, &dead).ok();
    let said = line(&running, "SSH_AUTH_SOCK");
    assert!(said.ends_with("-> eval \"$(tpmssh agent env)\""), "{said}");
    assert!(
        line(&running, "agent's log").contains("none is kept (log = false)"),
        "{running}"
    );
}

/// ssh as it is with the configuration in the home of the test: ssh itself takes the home of
/// the user database, so a script gives it the file.
#[test]
fn a_configuration_of_ssh_that_is_wrong_or_leads_elsewhere_is_told() {
    let program = Program::with_key();
    let _agent = Served::start(&program);
    let file = program.home.path().join("ssh_config");
    let bin = program.home.path().join("bin");
    fs::create_dir(&bin).unwrap();
    let ssh = run("sh", &["-c", "command -v ssh"]);
    let script = format!(
        "#!/bin/sh\nexec {} -F {} \"$@\"\n",
        ssh.trim(),
        file.display()
    );
    let script = program.home.script("ssh", &script);
    fs::rename(script, bin.join("ssh")).unwrap();
    let path = format!("{}:/usr/bin:/bin", bin.display());
    let said = |config: &str| {
        fs::write(&file, config).unwrap();
        let mut command = program.command();
        command.env("PATH", &path).arg("doctor");
        line(&Outcome::of(&mut command).ok(), "ssh's configuration")
    };
    let ours = socket(&program.home).display().to_string();
    for (config, status, detail, fix) in [
        (
            "Nonsense yes\n".to_owned(),
            "warning",
            "ssh does not read it: ",
            "-> correct that line; ssh -G server shows when it is right",
        ),
        (
            "PKCS11Provider /nonexistent.so\n".to_owned(),
            "warning",
            "PKCS11Provider /nonexistent.so: there is no such file",
            "-> tpmssh ssh-config HOST --module prints the line",
        ),
        (
            "IdentityAgent /nonexistent\n".to_owned(),
            "warning",
            "IdentityAgent /nonexistent: ssh does not ask the agent of tpmssh",
            &format!("-> IdentityAgent {ours} in that place"),
        ),
        (
            format!("IdentityAgent {ours}\n"),
            "ok",
            "keys come from the agent",
            "",
        ),
        (
            String::new(),
            "ok",
            "names neither agent nor module; ssh -I uses the module for one login",
            "-> tpmssh ssh-config HOST prints the lines",
        ),
    ] {
        let said = said(&config);
        assert!(
            said.starts_with(status) && said.contains(detail) && said.ends_with(fix),
            "{config}: {said}"
        );
    }
}

/// With settings of git that a person made, and with those of `tpmssh git setup`.
#[test]
fn what_git_signs_with_is_found_however_the_key_is_named() {
    let program = Program::with_key();
    let git = |name: &str, value: &str| {
        let mut git = program.home.command("git");
        Outcome::of(git.args(["config", "--global", name, value])).ok();
    };
    let said = || line(&doctor(&program, &[]).ok(), "git ");
    program.run(&["git", "setup", "--global"]).ok();
    let home = program.home.path();
    fs::write(
        home.join("mine.pub"),
        program.run(&["export", "first"]).ok(),
    )
    .unwrap();
    git("user.signingkey", "~/mine.pub");
    assert!(
        said().contains("signs with the key \"first\""),
        "{}",
        said()
    );
    git("user.signingkey", "~/nowhere.pub");
    let none = said();
    assert!(
        none.starts_with("warning") && none.contains("user.signingkey is no key"),
        "{none}"
    );
    git("user.signingkey", "~/mine.pub");
    let program_file = home.join(".config/tpmssh/git-sign");
    fs::remove_file(&program_file).unwrap();
    let gone = said();
    let detail = format!("{}, which is to sign, is not there", program_file.display());
    assert!(
        gone.starts_with("warning")
            && gone.contains(&detail)
            && gone.ends_with("-> tpmssh git setup --global"),
        "{gone}"
    );
    // Another program that signs with a key of its own is no concern.
    run(
        "ssh-keygen",
        &[
            "-q",
            "-t",
            "ed25519",
            "-N",
            "",
            "-f",
            &text(home.join("file")),
        ],
    );
    git("gpg.ssh.program", "ssh-keygen");
    git("user.signingkey", "~/file.pub");
    let other = said();
    assert!(
        other.starts_with("ok ") && other.contains("signs with a key that is not in the TPM"),
        "{other}"
    );
}
