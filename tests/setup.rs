//! `tpmssh setup`: what it makes, offers and says.

use std::fs;

use testing::Home;

use crate::agent::served::eventually;
use crate::program::{Outcome, Program};
use crate::terminal::Session;

/// A fresh home with git's address and a `systemctl` of a user manager that records its calls.
fn with_manager() -> Program {
    let program = Program::new();
    let home = &program.home;
    fs::create_dir(home.path().join("bin")).unwrap();
    let script = format!("#!/bin/sh\necho \"$*\" >>{}/calls\n", home.path().display());
    home.script("bin/systemctl", &script);
    fs::write(
        home.path().join(".gitconfig"),
        "[user]\n\temail = anna@example.org\n",
    )
    .unwrap();
    program
}

fn path(home: &Home) -> String {
    let path = std::env::var("PATH").unwrap();
    format!("{}:{path}", home.path().join("bin").display())
}

/// Runs `setup` without anybody who could be asked.
fn setup(program: &Program, options: &[&str]) -> Outcome {
    let mut command = program.command();
    command.env("PATH", path(&program.home));
    Outcome::of(
        command
            .args(["setup", "--pin-file", &program.pin])
            .args(["--so-pin-file", &program.so_pin])
            .args(options),
    )
}

fn read(program: &Program, file: &str) -> String {
    fs::read_to_string(program.home.path().join(file)).unwrap_or_default()
}

const UNIT: &str = ".config/systemd/user/tpmssh-agent.socket";

#[test]
fn setup_makes_everything_once() {
    let program = Program::new();
    let setup = || program.run(&["setup", "--pin-file", &program.pin, "--key-label", "mine"]);
    let first = setup();
    assert!(
        first.stderr.starts_with("TPM: IBM SW TPM at swtpm:"),
        "{first:?}"
    );
    assert!(
        first.stderr.contains("\nRecovery code (SO PIN): "),
        "{first:?}"
    );
    assert!(
        first.stderr.contains("\nKey: ecdsa-p256 \"mine\" made\n"),
        "{first:?}"
    );
    assert!(
        first.stderr.contains("libtpmssh_pkcs11.so HOST\n"),
        "{first:?}"
    );
    let line = first.ok();
    assert_eq!(line, program.run(&["export"]).ok());

    let second = setup();
    assert!(
        second
            .stderr
            .contains("Token: \"ssh\" exists\nKey: ecdsa-p256 \"mine\" exists\n"),
        "{second:?}"
    );
    assert_eq!(second.ok(), line);
}

#[test]
fn a_label_names_the_token_and_the_key_that_are_made_or_used() {
    let program = Program::with_key();
    let made = setup(&program, &["--label", "two", "--key-label", "other"]);
    let said = "Token: \"two\" made\nKey: ecdsa-p256 \"other\" made\n";
    assert!(made.stderr.contains(said), "{made:?}");
    // There are two keys now: the commands name this one.
    assert!(
        made.stderr.contains("\n       tpmssh copy-id -k SHA256:"),
        "{made:?}"
    );
    assert!(
        made.stderr
            .contains("\n       tpmssh ssh-config -k SHA256:"),
        "{made:?}"
    );
    let line = made.ok();
    assert_eq!(program.run(&["export", "other"]).ok(), line);

    let again = setup(&program, &["--label", "two", "--key-label", "other"]);
    let said = "Token: \"two\" exists\nKey: ecdsa-p256 \"other\" exists\n";
    assert!(again.stderr.contains(said), "{again:?}");
    assert_eq!(again.ok(), line);
    let another = setup(&program, &["--label", "two", "--key-label", "third"]);
    let said = "Token: \"two\" exists\nKey: ecdsa-p256 \"third\" made\n";
    assert!(another.stderr.contains(said), "{another:?}");
    another.ok();

    // Without a label, one of two tokens has to be named.
    let both = setup(&program, &[]);
    both.fails(
        2,
        &format!(
            "TPM: IBM SW TPM at {}\ntpmssh: there are several tokens: \"work\" and \"two\"\n\
             hint: say which one with --token LABEL\n",
            program.swtpm.tcti()
        ),
    );
    setup(&program, &["--token", "work", "--label", "two"])
        .fails(2, "tpmssh: --token and --label name two tokens\n");
}

#[test]
fn the_key_of_an_authority_is_not_taken_for_logins() {
    let program = Program::with_token();
    program
        .run(&["ca", "init", "--pin-file", &program.pin])
        .ok();
    let made = setup(&program, &["--key-label", "mine"]);
    assert!(
        made.stderr.contains("Key: ecdsa-p256 \"mine\" made\n"),
        "{made:?}"
    );
    made.ok();
    let used = setup(&program, &[]);
    assert!(
        used.stderr.contains("Key: ecdsa-p256 \"mine\" exists\n"),
        "{used:?}"
    );
}

#[test]
fn where_nobody_can_be_asked_it_says_what_is_not_done() {
    let program = with_manager();
    let outcome = setup(&program, &[]);
    let said = "\nNot done: the agent is not installed; --agent or -y installs it\n\
                Not done: git is not set up; --git or -y sets it up\n\
                Next:\n  1. Let the key in on a server:\n       tpmssh copy-id HOST\n";
    assert!(outcome.stderr.contains(said), "{outcome:?}");
    assert!(
        outcome.stderr.contains("\n       tpmssh agent install\n"),
        "{outcome:?}"
    );
    outcome.ok();
    assert_eq!(read(&program, UNIT), "");
    assert!(!read(&program, ".gitconfig").contains("gpg"));

    // Without a user manager, and with git that signs with something else, nothing is offered.
    program.home.script("bin/systemctl", "#!/bin/sh\nexit 1\n");
    fs::write(
        program.home.path().join(".gitconfig"),
        "[user]\n\tsigningkey = 0xABCD\n",
    )
    .unwrap();
    let outcome = setup(&program, &["-y"]);
    let said = "\nNot done: the agent is not installed: systemd does not run for this user\n\
                Not done: git is not set up: it is not installed, or signs with something else\n";
    assert!(outcome.stderr.contains(said), "{outcome:?}");
    assert!(
        outcome
            .stderr
            .contains("\n       eval \"$(tpmssh agent --daemon)\"\n"),
        "{outcome:?}"
    );
    outcome.ok();
    assert_eq!(
        read(&program, ".gitconfig"),
        "[user]\n\tsigningkey = 0xABCD\n"
    );
    // It can be asked for anyway.
    setup(&program, &["--git"]).ok();
    assert!(read(&program, ".gitconfig").contains("format = ssh"));
}

#[test]
fn a_yes_beforehand_does_both_and_json_says_so() {
    let program = with_manager();
    let outcome = setup(&program, &["-y", "--json"]);
    assert!(!outcome.stderr.contains("Next:"), "{outcome:?}");
    let report: serde_json::Value = serde_json::from_str(&outcome.ok()).unwrap();
    assert_eq!(
        [&report["token"], &report["agent"], &report["git"]],
        ["ssh", "done", "done"]
    );
    assert!(
        read(&program, "calls").ends_with("--user enable --now tpmssh-agent.socket\n"),
        "{}",
        read(&program, "calls")
    );
    assert!(read(&program, ".gitconfig").contains("format = ssh"));
    let key = report["key"]["public_key"].as_str().unwrap();
    assert!(read(&program, ".gitconfig").contains(&format!("signingkey = key::{key}")));
    assert!(read(&program, ".config/tpmssh/allowed_signers").starts_with("anna@example.org "));
    // Both are taken back by their own commands.
    let mut uninstall = program.command();
    uninstall.env("PATH", path(&program.home));
    Outcome::of(uninstall.args(["agent", "uninstall"])).ok();
    program.run(&["git", "setup", "--global", "--unset"]).ok();
    assert_eq!(read(&program, UNIT), "");
    assert!(!read(&program, ".gitconfig").contains("gpg"));
}

#[test]
fn on_a_terminal_it_offers_the_agent_and_git() {
    let program = with_manager();
    let start = || {
        let mut command = program.home.command("setsid");
        command
            .env("PATH", path(&program.home))
            .args(["--ctty", env!("CARGO_BIN_EXE_tpmssh"), "setup"])
            .args(["--pin-file", &program.pin, "--so-pin-file", &program.so_pin]);
        Session::spawn(command)
    };
    const AGENT: &str = "Install the agent, which asks for the PIN once a session? [y/N] ";
    const GIT: &str = "Have git commit -S sign with the key, in all repositories? [y/N] ";
    let mut session = start();
    session.expect(AGENT);
    session.type_in("n\n");
    session.expect(GIT);
    session.type_in("y\n");
    session.expect("Git: signs with \"");
    session.expect("\r\n       tpmssh agent install\r\n");
    session.expect("  4. Sign a commit: git commit -S\r\n");
    let (status, rest) = session.end();
    assert!(status.success(), "{rest}");
    assert_eq!(read(&program, UNIT), "");
    // What is there is not offered again.
    let mut session = start();
    session.expect(AGENT);
    session.type_in("y\n");
    session.expect("Agent: installed (tpmssh agent uninstall undoes it)\r\n");
    session.expect("tpmssh agent env");
    let (status, rest) = session.end();
    assert!(status.success() && !rest.contains("[y/N]"), "{rest}");
    eventually(|| !read(&program, UNIT).is_empty());
}

#[test]
fn an_offer_that_fails_leaves_the_key_and_says_so() {
    let program = with_manager();
    let unit = program.home.path().join(UNIT);
    fs::create_dir_all(unit.parent().unwrap()).unwrap();
    fs::write(&unit, "[Socket]\n").unwrap();
    let outcome = setup(&program, &["-y"]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    let error = format!(
        "tpmssh: the key is there, but the agent is not installed: {} was not written by tpmssh\n",
        unit.display()
    );
    assert!(outcome.stderr.contains(&error), "{outcome:?}");
    assert_eq!(program.run(&["export"]).ok(), outcome.stdout);
    assert_eq!(fs::read_to_string(unit).unwrap(), "[Socket]\n");
}

#[test]
fn both_failures_are_told() {
    let program = with_manager();
    let at = |file: &str| program.home.path().join(file);
    fs::create_dir_all(at(UNIT).parent().unwrap()).unwrap();
    fs::write(at(UNIT), "[Socket]\n").unwrap();
    // Git's program for signatures cannot be written where a directory is.
    fs::create_dir_all(at(".config/tpmssh/git-sign")).unwrap();
    let outcome = setup(&program, &["-y"]);
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    for what in ["the agent is not installed", "git is not set up"] {
        let line = format!("tpmssh: the key is there, but {what}: ");
        assert!(outcome.stderr.contains(&line), "{outcome:?}");
    }
}

#[test]
fn git_signs_with_the_key_of_the_last_setup_that_was_told_so() {
    let program = with_manager();
    setup(&program, &["--key-label", "old", "--git"]).ok();
    let with_old = read(&program, ".gitconfig");
    // Without the option git stays as it is.
    setup(&program, &["--key-label", "new"]).ok();
    assert_eq!(read(&program, ".gitconfig"), with_old);
    let line = setup(&program, &["--key-label", "new", "--git"]).ok();
    let with_new = read(&program, ".gitconfig");
    assert!(
        with_new.contains(line.split(' ').nth(1).unwrap()),
        "{with_new}"
    );
}

/// The environment names a token for all commands; `--label` names another for this one.
#[test]
fn a_label_counts_more_than_the_token_of_the_environment() {
    let program = with_manager();
    setup(&program, &["--label", "ssh"]).ok();
    let mut command = program.command();
    command.env("PATH", path(&program.home));
    command.env("TPMSSH_TOKEN", "ssh");
    command.args(["setup", "--pin-file", &program.pin]);
    command.args(["--so-pin-file", &program.so_pin]);
    let outcome = Outcome::of(command.args(["--label", "work", "--key-label", "mine", "--git"]));
    let made = "Token: \"work\" made\nKey: ecdsa-p256 \"mine\" made\n";
    assert!(outcome.stderr.contains(made), "{outcome:?}");
    outcome.ok();
    let key = program.run(&["export", "mine"]).ok();
    let key = key.split(' ').nth(1).unwrap();
    assert!(read(&program, ".gitconfig").contains(key));
}

/// The same for the token that the configuration file names.
#[test]
fn a_label_counts_more_than_the_token_of_the_configuration() {
    let program = Program::with_key();
    let config = program.home.config();
    fs::create_dir_all(config.parent().unwrap()).unwrap();
    program
        .home
        .secret_file(".config/tpmssh/config.toml", "token = \"work\"\n");
    let made = setup(&program, &["--label", "two", "--key-label", "mine"]);
    let said = "Token: \"two\" made\nKey: ecdsa-p256 \"mine\" made\n";
    assert!(made.stderr.contains(said), "{made:?}");
    made.ok();
    // Without one it is the configured token.
    let usual = setup(&program, &[]);
    assert!(
        usual.stderr.contains("Token: \"work\" exists\n"),
        "{usual:?}"
    );
}
