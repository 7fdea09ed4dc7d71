//! `tpmssh agent` with the real OpenSSH: from listing to a login.

mod served;

use testing::Sshd;

use crate::program::{PIN, Program};
use served::Served;

#[test]
fn keys_are_listed_without_the_tpm_and_log_in_once_the_pin_is_given() {
    let program = Program::with_key();
    let agent = Served::start(&program);
    let key = program.run(&["export"]).ok();
    assert_eq!(agent.ssh_add(&["-L"]).ok(), key);
    let listed = agent.ssh_add(&["-l"]).ok();
    assert!(
        listed.starts_with("256 SHA256:") && listed.ends_with(" first (ECDSA)\n"),
        "{listed}"
    );

    let sshd = Sshd::start(&program.home);
    std::fs::write(sshd.authorized_keys(), key).unwrap();
    let login = || sshd.run(&program.home, &agent.env(), &[], "echo in");
    let refused = login();
    assert!(!refused.status.success());
    let log = agent.log();
    assert!(log.contains("cannot get the PIN: no way to ask"), "{log}");

    let unlocked = program.run(&["unlock", "--pin-file", &program.pin]);
    assert_eq!(unlocked.stderr, "tpmssh: token \"work\" is unlocked\n");
    unlocked.ok();
    let output = login();
    assert_eq!(output.stdout, b"in\n", "{}{}", agent.log(), sshd.log());
    assert!(!agent.log().contains(PIN));

    program.run(&["lock"]).ok();
    assert!(!login().status.success());
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
