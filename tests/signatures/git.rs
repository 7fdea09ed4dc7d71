//! `tpmssh git setup`, with the real git on the other side.

use std::fs;
use std::process::Command;

use crate::certs::key_file;
use crate::program::{Outcome, Program, text};

/// A repository in the home of a program, with a file to commit.
fn repository(program: &Program) -> String {
    let path = text(program.home.path().join("repository"));
    for args in [
        &["init", "-q", &path][..],
        &["-C", &path, "config", "user.name", "Anna"],
        &["-C", &path, "config", "user.email", "anna@example.org"],
    ] {
        Outcome::of(program.home.command("git").args(args)).ok();
    }
    path
}

fn git(program: &Program, repository: &str) -> Command {
    let mut git = program.home.command("git");
    git.args(["-C", repository]);
    git
}

/// Commits something with a signature and looks whether git believes it.
fn commit_and_verify(
    program: &Program,
    repository: &str,
    env: &[(std::ffi::OsString, std::ffi::OsString)],
) {
    let mut commit = git(program, repository);
    commit.args(["commit", "-q", "-S", "--allow-empty", "-m", "signed"]);
    Outcome::of(commit.envs(env.iter().cloned())).ok();
    let shown = Outcome::of(git(program, repository).args(["verify-commit", "HEAD"]));
    assert_eq!(shown.code, Some(0), "{shown:?}");
    assert!(
        shown
            .stderr
            .starts_with("Good \"git\" signature for anna@example.org with ECDSA key"),
        "{shown:?}"
    );
    let verdict = git(program, repository)
        .args(["log", "-1", "--format=%G?%GS"])
        .output();
    assert_eq!(verdict.unwrap().stdout, b"Ganna@example.org\n");
}

#[test]
fn git_signs_commits_with_the_key_in_the_tpm() {
    let program = Program::with_key();
    let repository = repository(&program);
    let setup = |options: &[&str]| {
        let mut command = program.command();
        command
            .args(["git", "setup"])
            .args(options)
            .current_dir(&repository);
        Outcome::of(&mut command)
    };
    let planned = setup(&["--dry-run", "--always"]).ok();
    assert!(
        planned.contains("git config --local gpg.format ssh\n"),
        "{planned}"
    );
    assert!(
        planned.contains("git config --local commit.gpgsign true\n"),
        "{planned}"
    );
    let format = git(&program, &repository)
        .args(["config", "gpg.format"])
        .output();
    assert_eq!(format.unwrap().stdout, b"", "nothing was set");
    assert!(!program.home.path().join(".config/tpmssh/git-sign").exists());

    let done = setup(&[]).ok();
    assert!(
        done.contains("user.signingkey 'key::ecdsa-sha2-nistp256 "),
        "{done}"
    );
    commit_and_verify(
        &program,
        &repository,
        &program.home.askpass(program.pin.as_ref()),
    );
    // Once more changes nothing, and the signer is there once.
    setup(&[]).ok();
    let signers = program.home.path().join(".config/tpmssh/allowed_signers");
    assert_eq!(fs::read_to_string(signers).unwrap().lines().count(), 1);

    // A wrong PIN: git says that it failed, and nothing is committed.
    let wrong = program.home.secret_file("wrong", "incorrect horse");
    let mut commit = git(&program, &repository);
    commit.args(["commit", "-q", "-S", "--allow-empty", "-m", "unsigned"]);
    let failed = Outcome::of(commit.envs(program.home.askpass(&wrong)));
    assert_ne!(failed.code, Some(0));
    assert!(
        failed.stderr.contains("tpmssh: wrong PIN, 2 tries left"),
        "{failed:?}"
    );
    let count = git(&program, &repository)
        .args(["rev-list", "--count", "HEAD"])
        .output();
    assert_eq!(count.unwrap().stdout, b"1\n");

    // A key that is in a file is ssh-keygen's to sign with.
    let key = key_file(&program, "file");
    let config = format!("user.signingkey={key}.pub");
    let mut commit = git(&program, &repository);
    commit.args([
        "-c",
        &config,
        "commit",
        "-q",
        "-S",
        "--allow-empty",
        "-m",
        "by a file",
    ]);
    Outcome::of(&mut commit).ok();
}

#[test]
fn git_signs_through_the_agent() {
    let program = Program::with_key();
    let repository = repository(&program);
    let agent = crate::agent::served::Served::start(&program);
    program.run(&["unlock", "--pin-file", &program.pin]).ok();
    let mut setup = program.command();
    setup.args([
        "git",
        "setup",
        "--agent",
        "--global",
        "--email",
        "anna@example.org",
    ]);
    let done = Outcome::of(&mut setup).ok();
    assert!(
        done.contains("git config --global gpg.ssh.program ssh-keygen\n"),
        "{done}"
    );
    commit_and_verify(&program, &repository, &agent.env());
}

#[test]
fn git_setup_outside_of_a_repository() {
    let program = Program::with_key();
    program.run(&["git", "setup"]).fails(
        2,
        "tpmssh: there is no git repository here\nhint: go to one, or add --global\n",
    );
    let mut without = program.command();
    without.args(["git", "setup"]).env("PATH", "/nonexistent");
    Outcome::of(&mut without).fails(
        1,
        "tpmssh: git is not installed\nhint: sudo apt install git\n",
    );
}

#[test]
fn git_setup_is_taken_back() {
    let program = Program::with_key();
    let repository = repository(&program);
    let second = text(program.home.path().join("second"));
    Outcome::of(program.home.command("git").args(["init", "-q", &second])).ok();
    let config = |at: &str| fs::read_to_string(format!("{at}/.git/config")).unwrap();
    let setup = |at: &str, options: &[&str]| {
        let mut command = program.command();
        command.args(["git", "setup", "--email", "anna@example.org"]);
        if options.contains(&"--unset") {
            command = program.command();
            command.args(["git", "setup"]);
        }
        Outcome::of(command.args(options).current_dir(at))
    };
    // A setting of one's own comes back.
    Outcome::of(git(&program, &repository).args(["config", "gpg.format", "openpgp"])).ok();
    let before = config(&repository);
    let empty = config(&second);
    let nothing = setup(&repository, &["--unset"]);
    assert_eq!(
        nothing.stderr.lines().last(),
        Some("tpmssh: nothing of tpmssh git setup is here")
    );
    nothing.ok();

    for _ in 0..2 {
        setup(&repository, &["--always"]).ok();
    }
    setup(&second, &[]).ok();
    let with = config(&repository);
    let planned = setup(&repository, &["--unset", "--dry-run", "--json"]).ok();
    let planned: serde_json::Value = serde_json::from_str(&planned).unwrap();
    assert_eq!(planned["dry_run"], true);
    assert_eq!(
        planned["settings"][0],
        serde_json::json!({ "name": "gpg.format", "value": "openpgp" })
    );
    assert_eq!(planned["settings"][1]["value"], serde_json::Value::Null);
    assert_eq!(config(&repository), with);
    let done = setup(&repository, &["--unset"]).ok();
    assert!(
        done.starts_with("git config --local gpg.format openpgp\n"),
        "{done}"
    );
    assert_eq!(settings(&config(&repository)), settings(&before));

    // The second repository still needs the files.
    let files = program.home.path().join(".config/tpmssh");
    assert!(files.join("git-sign").exists());
    // A setting that was changed since stays.
    Outcome::of(git(&program, &second).args(["config", "user.signingkey", "mine"])).ok();
    let done = setup(&second, &["--unset"]);
    assert!(
        done.stderr
            .contains("tpmssh: left: user.signingkey was changed since\n"),
        "{done:?}"
    );
    done.ok();
    let left = config(&second);
    assert!(left.contains("signingkey = mine"), "{left}");
    assert!(!left.contains("tpmssh"), "{left}");
    assert_eq!(
        settings(&left.replace("signingkey = mine", "")),
        settings(&empty)
    );
    for name in ["git-sign", "allowed_signers", "git-setups"] {
        assert!(!files.join(name).exists(), "{name}");
    }
}

/// The settings of a configuration file; git leaves empty sections behind.
fn settings(config: &str) -> Vec<&str> {
    let lines = config.lines().map(str::trim);
    lines.filter(|line| line.contains('=')).collect()
}

/// The first version noted nothing of what was there before.
#[test]
fn git_settings_of_an_older_version_are_taken_back() {
    let program = Program::with_key();
    let repository = repository(&program);
    let files = text(program.home.path().join(".config/tpmssh"));
    let config = || fs::read_to_string(format!("{repository}/.git/config")).unwrap();
    let before = config();
    for (name, value) in [
        ("gpg.format", "ssh"),
        ("user.signingkey", "key::ecdsa-sha2-nistp256 AAAA"),
        ("gpg.ssh.program", &format!("{files}/git-sign")),
        (
            "gpg.ssh.allowedSignersFile",
            &format!("{files}/allowed_signers"),
        ),
    ] {
        Outcome::of(git(&program, &repository).args(["config", name, value])).ok();
    }
    let mut unset = program.command();
    unset
        .args(["git", "setup", "--unset"])
        .current_dir(&repository);
    let done = Outcome::of(&mut unset);
    assert!(
        done.stderr
            .contains("an older version made the files git-sign and allowed_signers"),
        "{done:?}"
    );
    done.ok();
    assert_eq!(settings(&config()), settings(&before));
}
