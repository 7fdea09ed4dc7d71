//! Every option of `ssh-add` that concerns an agent.

use super::served::{Served, eventually};
use crate::program::{Program, text};

/// A program with an open token: its keys need no PIN.
pub(super) fn free(keys: &[&str]) -> Program {
    let program = Program::new();
    let init = ["token", "init", "--label", "work", "--pin-wall", "none"];
    program.run(&init).ok();
    for key in keys {
        program.run(&["keygen", "--label", key]).ok();
    }
    program
}

/// The public key of this label in a file.
pub(crate) fn public_key(program: &Program, label: &str) -> String {
    let line = program.run(&["export", label]).ok();
    let path = program.home.path().join(format!("{label}.pub"));
    std::fs::write(&path, line).unwrap();
    text(path)
}

#[test]
fn keys_are_listed_tested_removed_and_added() {
    let program = free(&["one", "two"]);
    let agent = Served::start(&program);
    let lines = |option: &str| agent.ssh_add(&[option]).ok().lines().count();
    let listed = agent.ssh_add(&["-l"]).ok();
    let (first, second) = listed.split_once('\n').unwrap();
    assert!(
        first.starts_with("256 SHA256:") && first.ends_with(" one (ECDSA)"),
        "{listed}"
    );
    assert!(second.ends_with(" two (ECDSA)\n"), "{listed}");
    assert_eq!(lines("-L"), 2);
    let one = public_key(&program, "one");
    assert_eq!(agent.ssh_add(&["-T", &one]).code, Some(0));
    assert_eq!(agent.ssh_add(&["-d", &one]).code, Some(0));
    assert_eq!(lines("-L"), 1);
    assert_ne!(agent.ssh_add(&["-T", &one]).code, Some(0));
    assert_eq!(agent.ssh_add(&["-D"]).code, Some(0));
    let empty = agent.ssh_add(&["-l"]);
    assert_eq!(empty.stdout, "The agent has no identities.\n");
    assert_eq!(agent.add(&["-s", "tpmssh:work"]).code, Some(0));
    assert_eq!(lines("-L"), 2);
    assert_eq!(agent.ssh_add(&["-e", "tpmssh:work"]).code, Some(0));
    assert_eq!(agent.ssh_add(&["-l"]).code, Some(1));
    assert_eq!(agent.add(&["-s", "tpmssh"]).code, Some(0));
    assert_eq!(lines("-L"), 2);
}

#[test]
fn a_locked_agent_shows_nothing_until_it_is_unlocked() {
    let program = free(&["one"]);
    let agent = Served::start(&program);
    assert_eq!(agent.add(&["-x"]).code, Some(0));
    assert_eq!(
        agent.ssh_add(&["-l"]).stdout,
        "The agent has no identities.\n"
    );
    assert_eq!(agent.add(&["-X"]).code, Some(0));
    assert!(agent.ssh_add(&["-l"]).ok().contains("one"));
}

#[test]
fn a_key_is_there_for_some_seconds() {
    let program = free(&["one"]);
    let agent = Served::start(&program);
    let one = public_key(&program, "one");
    assert_eq!(agent.add(&["-t", "3600", "-s", "tpmssh"]).code, Some(0));
    assert_eq!(agent.ssh_add(&["-T", &one]).code, Some(0));
    assert_eq!(agent.add(&["-t", "1", "-s", "tpmssh"]).code, Some(0));
    eventually(|| agent.ssh_add(&["-l"]).code == Some(1));
}

#[test]
fn a_use_is_confirmed_or_refused() {
    let program = free(&["one"]);
    let answer = program.home.path().join("yes");
    let script = format!(
        "#!/bin/sh\n[ \"$SSH_ASKPASS_PROMPT\" = confirm ] && [ -e {} ]\n",
        answer.display()
    );
    let env = [
        (
            "SSH_ASKPASS".into(),
            program.home.script("confirm", &script).into_os_string(),
        ),
        ("SSH_ASKPASS_REQUIRE".into(), "force".into()),
    ];
    let agent = Served::with(&program.home, &[], &env);
    let one = public_key(&program, "one");
    assert_eq!(agent.ssh_add(&["-T", &one]).code, Some(0), "it is free");
    assert_eq!(agent.add(&["-c", "-s", "tpmssh"]).code, Some(0));
    assert_ne!(agent.ssh_add(&["-T", &one]).code, Some(0));
    std::fs::write(&answer, "").unwrap();
    assert_eq!(agent.ssh_add(&["-T", &one]).code, Some(0));
}

#[test]
fn the_desktop_is_told_of_a_use() {
    let program = free(&["one"]);
    let bin = program.home.path().join("run/bin");
    std::fs::create_dir(&bin).unwrap();
    let notes = program.home.path().join("run/tpmssh/notes");
    std::fs::create_dir(notes.parent().unwrap()).unwrap();
    let script = format!("#!/bin/sh\necho \"$*\" >>{}\n", notes.display());
    program.home.script("run/bin/notify-send", &script);
    let config = program.home.config();
    std::fs::create_dir_all(config.parent().unwrap()).unwrap();
    std::fs::write(config, "[agent]\nnotify = true\n").unwrap();
    let path = format!("{}:{}", text(bin), std::env::var("PATH").unwrap());
    let agent = Served::with(
        &program.home,
        &["--no-ask"],
        &[("PATH".into(), path.into())],
    );
    let one = public_key(&program, "one");
    assert_eq!(agent.ssh_add(&["-T", &one]).code, Some(0));
    let noted = || std::fs::read_to_string(&notes).unwrap_or_default();
    eventually(|| noted().contains("ssh-add"));
    let noted = noted();
    assert!(
        noted.starts_with("--app-name=tpmssh -- An SSH key was used \"one\" to sign"),
        "{noted}"
    );
}

#[test]
fn a_module_and_a_private_key_are_refused() {
    let program = free(&["one"]);
    let agent = Served::start(&program);
    let module = text(testing::module());
    assert_ne!(agent.add(&["-s", &module]).code, Some(0));
    let key = text(program.home.path().join("software"));
    let made = program
        .home
        .command("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f", &key])
        .status()
        .unwrap();
    assert!(made.success());
    assert_ne!(agent.ssh_add(&[&key]).code, Some(0));
    eventually(|| agent.log().contains("modules are not loaded here"));
    eventually(|| agent.log().contains("refused a key of software"));
    assert_eq!(agent.ssh_add(&["-L"]).ok().lines().count(), 1);
}
