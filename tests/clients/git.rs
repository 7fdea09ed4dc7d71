//! git, which signs commits and tags with SSH keys.

use std::{fs, process::Command};

use testing::SshAgent;

use super::{file, module_path, ok, refused, write};
use crate::program::Program;

#[test]
fn commits_and_tags_are_signed_and_verified() {
    let program = Program::with_key();
    let home = &program.home;
    let agent = SshAgent::start(home, &module_path(), &[]);
    let mut add = home.command("ssh-add");
    ok(add
        .args(["-s", &module_path()])
        .envs(home.askpass(program.pin.as_ref()))
        .envs(agent.env()));
    let public = program.run(&["export", "first"]).ok();
    write(home, "allowed", format!("alice@example.org {public}"));
    let key = write(home, "first.pub", public);
    write(
        home,
        ".gitconfig",
        format!(
            "[user]\nname = alice\nemail = alice@example.org\nsigningkey = {key}\n\
             [gpg]\nformat = ssh\n[gpg \"ssh\"]\nallowedSignersFile = {}\n",
            file(home, "allowed")
        ),
    );
    let repository = home.path().join("repository");
    fs::create_dir(&repository).unwrap();
    let git = |args: &[&str]| -> Command {
        let mut git = home.command("git");
        git.args(args)
            .current_dir(&repository)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .envs(agent.env());
        git
    };
    ok(&mut git(&["init", "--quiet"]));
    ok(&mut git(&[
        "commit",
        "-S",
        "--allow-empty",
        "-qm",
        "signed",
    ]));
    ok(&mut git(&["tag", "-s", "v1", "-m", "signed"]));
    for check in [&["verify-commit", "HEAD"], &["verify-tag", "v1"]] {
        let printed = ok(&mut git(check));
        assert!(
            printed.contains("Good \"git\" signature for alice@"),
            "{printed}"
        );
    }
    // The signature of one commit is none of another.
    let commit = ok(&mut git(&["cat-file", "commit", "HEAD"]));
    let forged = write(home, "forged", commit.replace("\nsigned", "\nforged"));
    let forged = ok(&mut git(&["hash-object", "-t", "commit", "-w", &forged]));
    let printed = refused(&mut git(&["verify-commit", forged.trim()]));
    assert!(!printed.contains("Good"), "{printed}");
    ok(&mut git(&["commit", "--allow-empty", "-qm", "unsigned"]));
    refused(&mut git(&["verify-commit", "HEAD"]));
}
