//! `tpmssh sign`, `verify` and `git setup`, with the real ssh-keygen and git on the other side.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::certs::{Keygen, key_file};
use crate::program::{Outcome, Program, text};

const MESSAGE: &str = "what is signed\n";

/// A program with a key, a message, our signature of it, and a file that allows the key.
struct Signed {
    program: Program,
    message: String,
    signature: String,
    allowed: String,
}

impl Signed {
    fn new() -> Self {
        let program = Program::with_key();
        let message = program.secret("message", MESSAGE);
        let args = ["sign", "-n", "file", &message, "--pin-file", &program.pin];
        let signature = program.secret("message.sig", &program.run(&args).ok());
        let allow = ["export", "--allowed-signer", "anna@example.org"];
        let allowed = program.secret("allowed", &program.run(&allow).ok());
        Self {
            program,
            message,
            signature,
            allowed,
        }
    }

    fn verify(&self, options: &[&str]) -> Outcome {
        let mut args = vec!["verify", "-s", &self.signature];
        args.extend(options);
        self.program.run(&args)
    }
}

/// Runs `ssh-keygen -Y` with a message on its standard input.
fn keygen(program: &Program, args: &[&str], message: &str) -> Outcome {
    let mut command = program.home.command("ssh-keygen");
    Outcome::with_input(command.arg("-Y").args(args), message.as_bytes())
}

#[test]
fn ssh_keygen_believes_our_signature_and_so_do_we() {
    let it = Signed::new();
    let check = |namespace, message| {
        let args = [
            "verify",
            "-f",
            &it.allowed,
            "-I",
            "anna@example.org",
            "-n",
            namespace,
            "-s",
            &it.signature,
        ];
        keygen(&it.program, &args, message)
    };
    let good = check("file", MESSAGE).ok();
    assert!(
        good.starts_with("Good \"file\" signature for anna@example.org"),
        "{good}"
    );
    assert_ne!(check("git", MESSAGE).code, Some(0));
    assert_ne!(check("file", "something else\n").code, Some(0));

    let who = ["-f", &it.allowed, "-I", "anna@example.org", &it.message];
    let ours = it.verify(&who).ok();
    assert!(ours.starts_with("signed by  anna@example.org\n"), "{ours}");
    let json = it.verify(&["-f", &it.allowed, &it.message, "--json"]).ok();
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["signers"], serde_json::json!(["anna@example.org"]));
    let nobody = it.verify(&[&it.message]);
    assert_eq!(
        nobody.stderr,
        "tpmssh: the signature is intact, but the signer was not checked: see --allowed-signers\n"
    );
    nobody.ok();
    let mut piped = it.program.command();
    piped.args(["verify", "-s", &it.signature, "-f", &it.allowed]);
    Outcome::with_input(&mut piped, MESSAGE.as_bytes()).ok();
}

#[test]
fn we_believe_signatures_of_ssh_keygen_by_a_key_and_by_a_certificate() {
    let program = Program::new();
    let key = key_file(&program, "bert");
    let message = program.secret("message", MESSAGE);
    let signature = format!("{message}.sig");
    keygen(
        &program,
        &["sign", "-q", "-n", "mail", "-f", &key, &message],
        "",
    )
    .ok();
    let public = fs::read_to_string(format!("{key}.pub")).unwrap();
    let allowed = program.secret(
        "allowed",
        &format!("*@example.org namespaces=\"mail\" {public}"),
    );
    let verify = |options: &[&str]| {
        let mut args = vec!["verify", "-s", &signature, "-n", "mail", &message];
        args.extend(options);
        program.run(&args)
    };
    verify(&["-f", &allowed, "-I", "bert@example.org"]).ok();

    let authority = Keygen::new(&program.home);
    let trusted = program.secret(
        "trusted",
        &format!("b* cert-authority {}", authority.public()),
    );
    let refused = verify(&["-f", &trusted]);
    assert_eq!(
        refused.code,
        Some(8),
        "the key alone is not certified: {refused:?}"
    );
    fs::remove_file(&signature).unwrap();
    let certificate = authority.sign("bert", &public, &["-n", "bert,carl", "-V", "-1h:+1h"]);
    keygen(
        &program,
        &["sign", "-q", "-n", "mail", "-f", &certificate, &message],
        "",
    )
    .ok();
    let shown = verify(&["-f", &trusted]).ok();
    assert!(
        shown.starts_with("signed by  bert\nkey        SHA256:"),
        "{shown}"
    );
    verify(&["-f", &trusted, "-I", "bert"]).ok();
    assert_eq!(
        verify(&["-f", &trusted, "-I", "carl"]).code,
        Some(8),
        "it is not a b*"
    );
    assert_eq!(
        verify(&["-f", &trusted, "-I", "bill"]).code,
        Some(8),
        "it is not certified"
    );
}

#[test]
fn what_was_not_signed_so_or_not_by_them_is_refused() {
    let it = Signed::new();
    let other = it.program.secret("other", "something else\n");
    it.verify(&[&other])
        .fails(8, "tpmssh: the signature does not match\n");
    it.verify(&["-n", "git", &it.message]).fails(
        8,
        "tpmssh: the signature is for the namespace \"file\" and not \"git\"\n",
    );
    let fingerprint = {
        let keys = it.program.run(&["export", "--json"]).ok();
        let keys: Value = serde_json::from_str(&keys).unwrap();
        keys[0]["fingerprint"].as_str().unwrap().to_owned()
    };
    let hint = "hint: its owner gets the line with: tpmssh export --allowed-signer WHO KEY\n";
    it.verify(&["-f", &it.allowed, "-I", "bert@example.org", &it.message])
        .fails(
            8,
            &format!(
                "tpmssh: the signature is good, but its key {fingerprint} is not one of \
             \"bert@example.org\" in the allowed signers\n{hint}"
            ),
        );
    let nobody = it.program.secret("nobody", "# nobody\n");
    it.verify(&["-f", &nobody, &it.message]).fails(
        8,
        &format!(
            "tpmssh: the signature is good, but its key {fingerprint} is not one of the allowed \
             signers\n{hint}"
        ),
    );
    let wrong = it.program.secret("wrong", "anna sometimes ssh-rsa AAAA\n");
    it.verify(&["-f", &wrong, &it.message]).fails(
        8,
        &format!(
            "tpmssh: {wrong}: line 1 of the allowed signers is skipped: the public key is cut \
             short\n\
             tpmssh: the signature is good, but its key {fingerprint} is not one of the allowed \
             signers\n{hint}"
        ),
    );
    // Somebody else's bad line stops nobody.
    let allowed = fs::read_to_string(&it.allowed).unwrap();
    let mixed = it
        .program
        .secret("mixed", &format!("anna sometimes ssh-rsa AAAA\n{allowed}"));
    let good = it.verify(&["-f", &mixed, &it.message]);
    assert_eq!(good.code, Some(0), "{good:?}");
    assert!(
        good.stderr
            .contains("line 1 of the allowed signers is skipped"),
        "{good:?}"
    );
    let spoilt = it.program.secret("spoilt", "no signature");
    it.program
        .run(&["verify", "-s", &spoilt, &it.message])
        .fails(
            2,
            &format!("tpmssh: {spoilt}: the signature is malformed: its first line is missing\n"),
        );
    it.program.run(&["sign", "-n", "", &it.message]).fails(
        2,
        "tpmssh: a namespace has at least one character, and no control characters\n",
    );
    it.program.run(&["sign", "/nowhere"]).fails(
        1,
        "tpmssh: cannot read /nowhere: No such file or directory (os error 2)\n",
    );
    it.program
        .run(&["export", "--allowed-signer", "a b"])
        .fails(
            2,
            "tpmssh: a principal or namespace is one word without wildcards\n",
        );
    it.program.keygen("second");
    it.program.run(&["sign", &it.message]).fails(
        2,
        "tpmssh: there are several keys: \"first\" and \"second\"\n\
         hint: say which one with --key LABEL\n",
    );
}

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
    // What was changed since is not ours any more.
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
