//! The agent has the token open, so a proof needs no second PIN.

use serde_json::Value;

use super::{Files, manufactured};
use crate::agent::served::{Served, eventually};
use crate::program::{Outcome, Program};

/// `prove` with the challenge, without anybody who could be asked for a PIN.
fn answer(files: &Files, program: &Program) -> Outcome {
    let request = ["prove", "--request", &files.request];
    let challenge = ["--challenge", &files.challenge, "-o", &files.proof];
    program.run(&[&request[..], &challenge[..]].concat())
}

const NO_PIN: &str = "tpmssh: no way to ask for the PIN for token \"work\"\n\
                      hint: use a terminal, set SSH_ASKPASS, or see --help for options that end in -file and -fd\n";

#[test]
fn with_an_unlocked_agent_the_whole_way_takes_one_pin() {
    let program = manufactured();
    let agent = Served::start(&program);
    let files = Files::of(&program);
    files.ask(&program, &[]);
    files.challenge(&program);
    answer(&files, &program).fails(1, NO_PIN);

    // The only PIN.
    program.run(&["unlock", "--pin-file", &program.pin]).ok();
    answer(&files, &program).ok();
    let args = ["verify-proof", &files.proof, "--ek-roots", &files.roots];
    let shown = program.run(&[&args[..], &["--json"]].concat()).ok();
    let report: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(report["wall"], "counter");
    let request = &report["request"].as_str().unwrap()[..16];

    let log = || program.run(&["agent", "log"]).ok();
    eventually(|| log().contains("  attest "));
    let log = log();
    let lines: Vec<_> = log.lines().filter(|it| it.contains("  attest ")).collect();
    let [line] = lines[..] else { panic!("{log}") };
    assert!(
        line.contains("  attest \"first\" of token \"work\" SHA256:"),
        "{line}"
    );
    let purpose =
        format!(" to prove that it cannot leave the TPM, for request {request}: done; by ");
    assert!(line.contains(&purpose), "{line}");
    assert!(!agent.log().contains("panicked"), "{}", agent.log());
}

/// The agent refuses a key that it limits to hosts. A person who has the PIN can still prove it.
#[test]
fn what_the_agent_refuses_takes_the_pin() {
    let program = manufactured();
    let agent = Served::start(&program);
    let files = Files::of(&program);
    files.ask(&program, &[]);
    files.challenge(&program);
    program.run(&["unlock", "--pin-file", &program.pin]).ok();
    let hosts = program.secret(
        "hosts",
        "example.org ssh-ed25519 \
        AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ\n",
    );
    let mut add = agent.client("ssh-add");
    add.envs(program.home.askpass(program.pin.as_ref()));
    add.args(["-q", "-H", &hosts, "-h", "example.org", "-s", "tpmssh"]);
    Outcome::of(&mut add).ok();
    answer(&files, &program).fails(
        1,
        &format!(
            "tpmssh: the agent does not answer: refused: the key is limited to hosts\n{NO_PIN}"
        ),
    );
    files.answer(&program).ok();
    let verify = ["verify-proof", &files.proof, "--any-tpm"];
    program.run(&verify).ok();
}

/// Another store may have another attestation key, whose answer would be refused. Here the other
/// store is a copy, so only its path differs.
#[test]
fn the_agent_of_another_store_is_left_alone() {
    let program = manufactured();
    let files = Files::of(&program);
    files.ask(&program, &[]);
    files.challenge(&program);
    let store = program.home.path().join("elsewhere");
    let mut copy = program.home.command("cp");
    Outcome::of(copy.arg("-rp").arg(program.home.store()).arg(&store)).ok();
    let env = [("TPMSSH_STORE".into(), store.into())];
    let _agent = Served::with(&program.home, &["--no-ask"], &env);
    program.run(&["unlock", "--pin-file", &program.pin]).ok();
    answer(&files, &program).fails(1, NO_PIN);
}
