//! `tpmssh doctor` on what is around the TPM: configuration, agent, ssh, git.

mod agents;

use std::fs;

use serde_json::Value;
use testing::{SshAgent, Swtpm};

use crate::agent::served::{Served, eventually, socket};
use crate::agent::ssh_add::public_key;
use crate::doctor::unwrapped;
use crate::program::{Outcome, Program, text};

/// The line of a check, and what is to be done, if any.
fn line(said: &str, name: &str) -> String {
    let said = unwrapped(said);
    let mut lines = said
        .lines()
        .skip_while(|line| line.get(9..9 + name.len()) != Some(name));
    let found = lines.next().unwrap_or_else(|| panic!("{name}: {said}"));
    let fix = lines.next().filter(|line| line.starts_with("         ->"));
    format!("{found}{}", fix.unwrap_or_default())
}

/// What doctor says with these variables besides.
fn doctor(program: &Program, env: &[(&str, &str)]) -> Outcome {
    Outcome::of(program.command().envs(env.iter().copied()).arg("doctor"))
}

fn configure(program: &Program, config: &str) {
    let path = program.home.config();
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, config).unwrap();
}

#[test]
fn with_an_unusable_configuration_it_names_the_line_and_goes_on() {
    let program = Program::with_key();
    configure(&program, "# mine\n[agent]\nsocket = \"x\"\n");
    let broken = doctor(&program, &[]);
    assert_eq!(broken.code, Some(2), "{broken:?}");
    let said = line(&broken.stdout, "configuration");
    assert!(said.starts_with("problem"), "{said}");
    assert!(
        said.contains("config.toml: line 3: unknown key \"agent.socket\""),
        "{said}"
    );
    assert!(
        line(&broken.stdout, "token ").contains("\"work\""),
        "{}",
        broken.stdout
    );
    // Other commands stop at an unusable configuration.
    assert_eq!(program.run(&["list"]).code, Some(2));

    configure(
        &program,
        "[agent]\npin = \"tomorrow\"\n[agent.pins]\nnone = \"8h\"\n",
    );
    let wrong = doctor(&program, &[]);
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
    let said = unwrapped(&wrong.stdout);
    assert!(
        said.contains("unusable agent.pin in the configuration file: it is never"),
        "{said}"
    );
    assert!(
        said.contains("it names token \"none\", which is not there"),
        "{said}"
    );

    configure(&program, "[agent]\npin = \"8h\"\n");
    assert!(line(&doctor(&program, &[]).ok(), "configuration").starts_with("ok "));
}

#[test]
fn it_looks_at_the_agent_and_at_what_ssh_asks() {
    let program = Program::with_key();
    let path = text(socket(&program.home));
    let ours = [("SSH_AUTH_SOCK", path.as_str())];
    let none = doctor(&program, &[]).ok();
    assert!(line(&none, "agent ").contains("none runs"), "{none}");
    assert!(line(&none, "agent ").ends_with("-> tpmssh agent install, or tpmssh agent --daemon"));
    assert!(line(&none, "SSH_AUTH_SOCK").starts_with("ok       SSH_AUTH_SOCK         not set"));
    let dead = doctor(&program, &ours).ok();
    assert!(
        line(&dead, "SSH_AUTH_SOCK").contains("where no agent listens"),
        "{dead}"
    );
    assert!(
        line(&dead, "SSH_AUTH_SOCK").starts_with("warning"),
        "{dead}"
    );

    let agent = Served::start(&program);
    let pid = agent.pid();
    let unset = doctor(&program, &[]).ok();
    let found = line(&unset, "agent ");
    assert!(
        found.contains(&format!("process {pid}, started by hand, 1 key")),
        "{found}"
    );
    let missed = line(&unset, "SSH_AUTH_SOCK");
    assert!(missed.starts_with("warning"), "{missed}");
    assert!(
        missed.ends_with("-> eval \"$(tpmssh agent env)\""),
        "{missed}"
    );
    let set = doctor(&program, &ours).ok();
    assert!(
        line(&set, "SSH_AUTH_SOCK")
            .starts_with("ok       SSH_AUTH_SOCK         the agent of tpmssh")
    );
    assert!(
        line(&set, "ssh's configuration").contains("keys come from the agent"),
        "{set}"
    );
    // Nobody can be asked, and the PIN was not given.
    assert!(line(&set, "PIN prompt").starts_with("warning"), "{set}");
    program.run(&["unlock", "--pin-file", &program.pin]).ok();
    assert!(line(&doctor(&program, &ours).ok(), "PIN prompt").starts_with("ok "));

    let other = SshAgent::start(&program.home, "/usr/lib/*", &[]);
    let theirs = text(other.socket().to_owned());
    let said = doctor(&program, &[("SSH_AUTH_SOCK", &theirs)]).ok();
    let said = line(&said, "SSH_AUTH_SOCK");
    assert!(
        said.contains("ssh-agent, 0 keys at ") && said.contains("and not the agent of tpmssh"),
        "{said}"
    );

    assert_eq!(agent.add(&["-x"]).code, Some(0));
    let locked = line(&doctor(&program, &ours).ok(), "agent ");
    assert!(
        locked.contains("locked by ssh-add -x") && locked.ends_with("-> ssh-add -X"),
        "{locked}"
    );
}

#[test]
fn it_tells_what_the_agent_refused_last_until_it_was_done() {
    let program = Program::with_key();
    let agent = Served::start(&program);
    let key = public_key(&program, "first");
    let ask = || line(&doctor(&program, &[]).ok(), "agent's log");
    assert!(ask().starts_with("ok "), "{}", ask());
    assert_ne!(agent.ssh_add(&["-T", &key]).code, Some(0));
    eventually(|| ask().starts_with("warning"));
    let told = ask();
    assert!(
        told.contains("sign \"first\": cannot get the PIN: no way to ask"),
        "{told}"
    );
    assert!(told.ends_with("-> tpmssh agent log -n 10"), "{told}");
    program.run(&["unlock", "--pin-file", &program.pin]).ok();
    assert_eq!(agent.ssh_add(&["-T", &key]).code, Some(0));
    eventually(|| ask().starts_with("ok "));
}

#[test]
fn more_keys_than_a_server_looks_at_are_told() {
    let program = Program::new();
    let init = ["token", "init", "--label", "work", "--pin-wall", "none"];
    program.run(&init).ok();
    for number in 0..7 {
        program
            .run(&["keygen", "--label", &number.to_string()])
            .ok();
    }
    let _agent = Served::start(&program);
    let path = text(socket(&program.home));
    let said = doctor(&program, &[("SSH_AUTH_SOCK", &path)]).ok();
    let said = line(&said, "ssh's configuration");
    assert!(
        said.starts_with("warning") && said.contains("offered 7 keys"),
        "{said}"
    );
    assert!(said.contains("-> tpmssh ssh-config HOST"), "{said}");
}

#[test]
fn a_prompt_that_is_not_there_is_told() {
    let program = Program::with_key();
    let env = [
        ("SSH_ASKPASS", "/nonexistent"),
        ("SSH_ASKPASS_REQUIRE", "force"),
    ];
    let said = line(&doctor(&program, &env).ok(), "PIN prompt");
    assert!(
        said.contains("an agent would ask with /nonexistent: No such file"),
        "{said}"
    );
    assert!(said.starts_with("warning"), "{said}");
}

#[test]
fn it_knows_whether_git_signs_with_a_key_that_is_there() {
    let program = Program::with_key();
    let ask = || line(&doctor(&program, &[]).ok(), "git ");
    assert!(
        ask().contains("does not sign with a key of the TPM"),
        "{}",
        ask()
    );
    program.run(&["git", "setup", "--global"]).ok();
    assert!(
        ask().starts_with("ok       git                   signs with the key \"first\""),
        "{}",
        ask()
    );
    program.run(&["delete", "-y", "first"]).ok();
    let gone = ask();
    assert!(
        gone.starts_with("warning") && gone.contains("\"first\", which is in no token"),
        "{gone}"
    );
    assert!(gone.ends_with("-> tpmssh git setup --global"), "{gone}");
}

#[test]
fn each_check_is_an_object_of_json() {
    let program = Program::with_key();
    let said = program.run(&["doctor", "--json"]).ok();
    let said: Value = serde_json::from_str(&said).unwrap();
    let checks = said["checks"].as_array().unwrap();
    for name in [
        "configuration",
        "agent",
        "SSH_AUTH_SOCK",
        "ssh's configuration",
        "PIN prompt",
        "agent's log",
        "host keys",
        "git",
        "EK certificate",
    ] {
        let check = checks.iter().find(|check| check["name"] == name);
        let check = check.unwrap_or_else(|| panic!("{name}: {said}"));
        assert!(
            check["detail"].is_string() && check["status"].is_string(),
            "{check}"
        );
    }
}

/// A session by su has no directory for sockets.
#[test]
fn without_a_runtime_directory_it_goes_on() {
    let program = Program::with_key();
    let mut command = program.command();
    command.env_remove("XDG_RUNTIME_DIR").arg("doctor");
    let said = Outcome::of(&mut command).ok();
    assert!(
        line(&said, "agent ").contains("XDG_RUNTIME_DIR is not set"),
        "{said}"
    );
    assert!(line(&said, "git ").starts_with("ok "), "{said}");
}

/// What a TPM may hold in the place of the certificate of its endorsement key.
#[test]
fn a_certificate_of_another_key_and_bytes_that_are_none_are_called_that() {
    let program = Program::with_tpm(Swtpm::manufactured());
    let ask = || line(&program.run(&["doctor"]).stdout, "EK certificate");
    let index = "0x1c00002";
    let tpm2 = |tool: &str, args: &[&str]| {
        let mut command = program.home.command(tool);
        command.args(["-T", &program.swtpm.tcti()]).args(args);
        Outcome::of(&mut command).ok()
    };
    assert!(
        ask().contains("of an emulated TPM, which proves nothing: rsa2048 by "),
        "{}",
        ask()
    );
    let replace = |owner: &str, file: &str| {
        let size = fs::metadata(file).unwrap().len().to_string();
        let attributes = "ownerread|ownerwrite|authread|ppread|no_da";
        tpm2("tpm2_nvundefine", &["-C", owner, index]);
        tpm2(
            "tpm2_nvdefine",
            &["-C", "o", "-s", &size, "-a", attributes, index],
        );
        tpm2("tpm2_nvwrite", &["-C", "o", "-i", file, index]);
    };
    let other = text(program.home.path().join("other.der"));
    let key = text(program.home.path().join("other.key"));
    let mut openssl = program.home.command("openssl");
    openssl.args([
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-subj",
        "/CN=Other",
    ]);
    openssl.args(["-outform", "DER", "-out", &other, "-keyout", &key]);
    Outcome::of(&mut openssl).ok();
    replace("p", &other);
    let said = ask();
    assert!(said.starts_with("problem"), "{said}");
    assert!(
        said.contains("index 0x01c00002, by CN=Other, is of another endorsement key"),
        "{said}"
    );
    assert_eq!(program.run(&["doctor"]).code, Some(6));

    let zeros = program.home.secret_file("zeros", "");
    fs::write(&zeros, [0; 64]).unwrap();
    replace("o", &text(zeros));
    let said = ask();
    assert!(said.starts_with("warning"), "{said}");
    assert!(
        said.contains("NV index 0x01c00002 has 64 bytes that are no certificate"),
        "{said}"
    );
    let made = program.run(&["tpm", "create-ek"]);
    assert_eq!(
        made.stderr,
        "tpmssh: NV index 0x01c00002 has 64 bytes that are no certificate\n"
    );
    assert!(made.ok().contains("certificate      none\n"));
}
