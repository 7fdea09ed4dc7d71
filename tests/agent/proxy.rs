//! OpenSSH's agent behind this one.

use testing::{SshAgent, Sshd};

use super::served::{Served, eventually};
use super::ssh_add::free;
use crate::program::{Outcome, text};

#[test]
fn a_software_key_goes_to_the_other_agent_and_logs_in_from_there() {
    let program = free(&["one"]);
    let other = SshAgent::start(&program.home, "none", &[]);
    let socket = text(other.env()[0].1.clone().into());
    let agent = Served::with(&program.home, &["--proxy", &socket], &[]);
    let key = text(program.home.path().join("software"));
    let mut keygen = program.home.command("ssh-keygen");
    keygen.args([
        "-q", "-t", "ed25519", "-N", "", "-C", "software", "-f", &key,
    ]);
    assert!(keygen.status().unwrap().success());
    assert_eq!(agent.ssh_add(&[&key]).code, Some(0));
    let listed = agent.ssh_add(&["-l"]).ok();
    assert!(listed.contains(" one (ECDSA)\n") && listed.contains(" software (ED25519)\n"));
    assert_eq!(agent.ssh_add(&["-T", &format!("{key}.pub")]).code, Some(0));

    let sshd = Sshd::start(&program.home);
    std::fs::copy(format!("{key}.pub"), sshd.authorized_keys()).unwrap();
    let login = || sshd.run(&program.home, &agent.env(), &[], "echo in");
    assert_eq!(login().stdout, b"in\n", "{}", agent.log());

    // The other agent may end and start again.
    drop(other);
    assert!(!login().status.success());
    assert_eq!(agent.ssh_add(&["-L"]).ok().lines().count(), 1);
    let _other = SshAgent::start(&program.home, "none", &[]);
    assert_eq!(agent.ssh_add(&[&key]).code, Some(0));
    assert_eq!(login().stdout, b"in\n", "{}", agent.log());
    assert_eq!(agent.ssh_add(&["-D"]).code, Some(0));
    assert_eq!(agent.ssh_add(&["-l"]).code, Some(1));
}

/// Two agents of two homes are each other's proxy, which cannot be noticed at the start. A request
/// goes round once.
#[test]
fn agents_behind_each_other_end_a_request_that_comes_back() {
    let [one, two] = [free(&["one"]), free(&["two"])];
    let [first, second] = [&one, &two].map(|program| text(super::served::socket(&program.home)));
    let agents = [
        Served::with(&one.home, &["--proxy", &second], &[]),
        Served::with(&two.home, &["--proxy", &first], &[]),
    ];
    for agent in &agents {
        let listed = agent.ssh_add(&["-l"]).ok();
        let keys = [" one (ECDSA)\n", " two (ECDSA)\n"];
        assert!(keys.iter().all(|key| listed.contains(key)), "{listed}");
        assert_eq!(listed.lines().count(), 2, "{listed}");
        // A request for an unknown key is refused by both.
        assert_eq!(agent.ssh_add(&["-d", "/etc/ssh/none"]).code, Some(1));
    }
    assert_eq!(agents[0].ssh_add(&["-D"]).code, Some(0));
    for agent in &agents {
        let said = "a request came back: it goes no further; see --proxy of the agents it passed";
        assert_eq!(agent.log().matches(said).count(), 1, "{}", agent.log());
        let threads = || std::fs::read_dir(format!("/proc/{}/task", agent.pid())).unwrap();
        eventually(|| threads().count() <= 3);
        assert_eq!(agent.ssh_add(&["-l"]).code, Some(1), "all keys are removed");
    }
}

#[test]
fn an_agent_behind_itself_does_not_start() {
    let program = free(&["one"]);
    let socket = super::served::socket(&program.home);
    let link = program.home.path().join("link.sock");
    std::os::unix::fs::symlink(&socket, &link).unwrap();
    for proxy in [text(socket), text(link)] {
        let mut agent = program.command();
        agent.args(["agent", "--no-ask", "--proxy", &proxy]);
        Outcome::of(&mut agent).fails(
            2,
            &format!("tpmssh: {proxy} is this agent's own socket, which it cannot ask (--proxy)\n"),
        );
    }
}
