//! Logins.

use testing::Sshd;

use super::served::{Served, eventually};
use crate::program::{PIN, Program};

#[test]
fn keys_are_listed_without_the_tpm_and_log_in_once_the_pin_is_given() {
    let program = Program::with_key();
    let agent = Served::start(&program);
    let key = program.run(&["export"]).ok();
    assert_eq!(agent.ssh_add(&["-L"]).ok(), key);
    let sshd = Sshd::start(&program.home);
    std::fs::write(sshd.authorized_keys(), key).unwrap();
    let login = || sshd.run(&program.home, &agent.env(), &[], "echo in");
    let refused = login();
    assert!(!refused.status.success());
    eventually(|| agent.log().contains("cannot get the PIN: no way to ask"));

    let unlocked = program.run(&["unlock", "--pin-file", &program.pin]);
    assert_eq!(unlocked.stderr, "tpmssh: token \"work\" is unlocked\n");
    unlocked.ok();
    let output = login();
    assert_eq!(output.stdout, b"in\n", "{}{}", agent.log(), sshd.log());
    assert!(!agent.log().contains(PIN));

    program.run(&["lock"]).ok();
    assert!(!login().status.success());
}

/// Also for a key that was used before, which the chip still holds.
#[test]
fn a_login_ends_when_the_so_resets_the_pin() {
    let program = Program::with_key();
    let agent = Served::start(&program);
    let key = super::ssh_add::public_key(&program, "first");
    let new = program.secret("new", "another pin");
    let unlock = |file: &str| program.run(&["unlock", "--pin-file", file]);
    let signs = || agent.ssh_add(&["-T", &key]).code == Some(0);
    unlock(&program.pin).ok();
    assert!(signs() && signs());
    let reset = ["token", "reset-pin", "--so-pin-file", &program.so_pin];
    program
        .run(&[&reset[..], &["--new-pin-file", &new]].concat())
        .ok();
    assert!(!signs(), "{}", agent.log());
    assert_eq!(unlock(&program.pin).code, Some(3));
    unlock(&new).ok();
    assert!(signs(), "{}", agent.log());
}

#[test]
fn every_kind_of_key_logs_in() {
    let program = Program::new();
    let init = ["token", "init", "--label", "host", "--pin-wall", "none"];
    program.run(&init).ok();
    let sshd = Sshd::start(&program.home);
    let agent = Served::start(&program);
    for (key_type, bits, algorithm) in [
        ("rsa", "2048", "rsa-sha2-512"),
        ("rsa", "2048", "rsa-sha2-256"),
        ("ecdsa", "256", "ecdsa-sha2-nistp256"),
        ("ecdsa", "384", "ecdsa-sha2-nistp384"),
        ("ecdsa", "521", "ecdsa-sha2-nistp521"),
    ] {
        let name = format!("{key_type}-{bits}");
        if !sshd.authorized_keys().with_file_name(&name).exists() {
            program
                .run(&["keygen", "-t", key_type, "-b", bits, "--label", &name])
                .ok();
        }
        let key = program.run(&["export", &name]).ok();
        std::fs::write(sshd.authorized_keys(), &key).unwrap();
        let file = sshd.authorized_keys().with_file_name(&name);
        std::fs::write(&file, key).unwrap();
        let accepted = format!("PubkeyAcceptedAlgorithms={algorithm}");
        let only = [
            "-o",
            "IdentitiesOnly=yes",
            "-i",
            file.to_str().unwrap(),
            "-o",
            &accepted,
        ];
        let output = sshd.run(&program.home, &agent.env(), &only, "echo in");
        assert_eq!(output.stdout, b"in\n", "{algorithm}: {}", agent.log());
    }
}

#[test]
fn the_shell_is_told_where_the_agent_is() {
    let program = Program::new();
    let socket = program.home.path().join("run/tpmssh/agent.sock");
    let line = program.run(&["agent", "env"]).ok();
    assert_eq!(
        line,
        format!(
            "SSH_AUTH_SOCK={}; export SSH_AUTH_SOCK;\n",
            socket.display()
        )
    );
    let line = program.run(&["agent", "env", "--socket", "/a b/c"]).ok();
    assert_eq!(line, "SSH_AUTH_SOCK='/a b/c'; export SSH_AUTH_SOCK;\n");
}

/// The host is named by the fingerprint of its key, which ssh binds to the connection.
#[test]
fn a_question_names_the_key_the_program_and_the_host() {
    let program = Program::with_key();
    let questions = program.home.path().join("run/tpmssh/questions");
    let script = format!(
        "#!/bin/sh\nprintf '%s\\n' \"$1\" >>{}\ncat {}\n",
        questions.display(),
        program.pin
    );
    let askpass = program.home.script("ask", &script);
    let env = [
        ("SSH_ASKPASS".into(), askpass.into_os_string()),
        ("SSH_ASKPASS_REQUIRE".into(), "force".into()),
    ];
    let agent = Served::with(&program.home, &[], &env);
    let sshd = Sshd::start(&program.home);
    std::fs::write(sshd.authorized_keys(), program.run(&["export"]).ok()).unwrap();
    let output = sshd.run(&program.home, &agent.env(), &[], "echo in");
    assert_eq!(output.stdout, b"in\n", "{}", agent.log());
    let host = crate::program::run(
        "ssh-keygen",
        &[
            "-l",
            "-f",
            sshd.authorized_keys()
                .with_file_name("host_key.pub")
                .to_str()
                .unwrap(),
        ],
    );
    let host = host.split(' ').nth(1).unwrap();
    let question = std::fs::read_to_string(questions).unwrap();
    let user = sshd.user();
    for part in [
        "Token \"work\", key \"first\" SHA256:",
        "\nfor ssh < ",
        &format!("to log in as \"{user}\" at the host {host}"),
        "3 tries left",
    ] {
        assert!(question.contains(part), "{part} is not in {question}");
    }
    let log = || program.run(&["agent", "log"]).ok();
    eventually(|| log().contains(host) && log().contains("first"));
}
