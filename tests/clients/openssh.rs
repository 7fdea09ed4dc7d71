//! OpenSSH, beyond the journey of `journey.rs`: certificates, signatures, the agent, host keys.

use std::{ffi::OsString, fs, process::Command};

use testing::{Home, SshAgent, Sshd};

use super::{file, module_path, ok, refused, write};
use crate::program::{PIN, Program};

type Env = Vec<(OsString, OsString)>;

/// The token with the key `first`, whose public key is in `first.pub`, and the variables that
/// answer OpenSSH's questions for the PIN.
fn start() -> (Program, Env) {
    let program = Program::with_key();
    let public = program.run(&["export", "first"]).ok();
    write(&program.home, "first.pub", public);
    let askpass = program.home.askpass(program.pin.as_ref());
    (program, askpass)
}

fn ssh_keygen(home: &Home, args: &[&str]) -> Command {
    let mut command = home.command("ssh-keygen");
    command.args(args);
    command
}

/// Puts the keys of the token into `agent`.
fn add_to(agent: &SshAgent, home: &Home, askpass: &Env) {
    ok(ssh_add(agent, home, &["-s", &module_path()]).envs(askpass.clone()));
}

fn ssh_add(agent: &SshAgent, home: &Home, args: &[&str]) -> Command {
    let mut command = home.command("ssh-add");
    command.args(args).envs(agent.env());
    command
}

#[test]
fn the_agent_adds_lists_tests_and_removes_the_keys() {
    let (program, askpass) = start();
    let home = &program.home;
    let agent = SshAgent::start(home, &module_path(), &[]);
    let wrong = home.secret_file("wrong", "incorrect horse");
    let mut add = ssh_add(&agent, home, &["-s", &module_path()]);
    let printed = refused(add.envs(home.askpass(&wrong)));
    assert!(printed.contains("agent refused operation"), "{printed}");

    add_to(&agent, home, &askpass);
    let public = fs::read_to_string(file(home, "first.pub")).unwrap();
    let [kind, key] = [0, 1].map(|field| public.split(' ').nth(field).unwrap());
    let listed = ok(&mut ssh_add(&agent, home, &["-L"]));
    assert!(listed.starts_with(&format!("{kind} {key} ")), "{listed}");
    let listed = ok(&mut ssh_add(&agent, home, &["-l"]));
    assert!(listed.starts_with("256 SHA256:"), "{listed}");
    ok(&mut ssh_add(&agent, home, &["-T", "first.pub"]));
    ok(&mut ssh_add(&agent, home, &["-e", &module_path()]));
    refused(&mut ssh_add(&agent, home, &["-T", "first.pub"]));
    let listed = refused(&mut ssh_add(&agent, home, &["-l"]));
    assert!(listed.contains("no identities"), "{listed}");

    // Keys with a lifetime are added too, and `-D` removes all keys.
    let mut add = ssh_add(&agent, home, &["-t", "600", "-s", &module_path()]);
    ok(add.envs(askpass));
    ok(&mut ssh_add(&agent, home, &["-D"]));
    refused(&mut ssh_add(&agent, home, &["-l"]));
}

/// OpenSSH leaves out a token whose login fails and adds the others. The module cannot change that:
/// it lists keys without the TPM, and is not told that the tokens belong to one `ssh-add`.
#[test]
fn with_the_tpm_away_only_keys_that_need_no_pin_are_added() {
    let (mut program, askpass) = start();
    program.swtpm.stop();
    let home = &program.home;
    let agent = SshAgent::start(home, &module_path(), &[]);
    let mut add = ssh_add(&agent, home, &["-s", &module_path()]);
    let printed = refused(add.envs(askpass.clone()));
    assert!(printed.contains("agent refused operation"), "{printed}");
    program.swtpm.restart();

    let init = ["token", "init", "--label", "open", "--pin-wall", "none"];
    program.run(&init).ok();
    program
        .run(&["--token", "open", "keygen", "--label", "without"])
        .ok();
    let listed = |home| ok(&mut ssh_add(&agent, home, &["-L"]));
    program.swtpm.stop();
    let home = &program.home;
    add_to(&agent, home, &askpass);
    let keys = listed(home);
    assert!(
        keys.contains(" without") && !keys.contains(" first"),
        "{keys}"
    );
    program.swtpm.restart();
    let home = &program.home;
    ok(&mut ssh_add(&agent, home, &["-e", &module_path()]));
    add_to(&agent, home, &askpass);
    assert!(listed(home).contains(" first"), "{}", listed(home));
}

/// OpenSSH takes every public key of a token for a login (`pkcs11_fetch_keys` of ssh-pkcs11.c asks
/// for the class alone). The module cannot hide one: OpenSSL and pkcs11-tool ask in the same way.
#[test]
fn a_key_that_does_not_sign_is_listed_and_passed_over() {
    let program = Program::with_token();
    let askpass = program.home.askpass(program.pin.as_ref());
    for [usage, label] in [["derive", "agrees"], ["sign", "signs"]] {
        let keygen = ["keygen", "--usage", usage, "--label", label];
        program
            .run(&[&keygen[..], &["--pin-file", &program.pin]].concat())
            .ok();
    }
    let home = &program.home;
    let listed = ok(&mut ssh_keygen(home, &["-D", &module_path()]));
    let labels: Vec<_> = listed.lines().map(|line| line.rsplit(' ').next()).collect();
    assert_eq!(labels, [Some("agrees"), Some("signs")]);
    let sshd = Sshd::start(home);
    fs::write(sshd.authorized_keys(), listed).unwrap();
    let module = module_path();
    let login = sshd.run(home, &askpass, &["-I", &module], "echo in");
    assert_eq!(login.stdout, b"in\n", "{}", sshd.log());
    let errors = String::from_utf8_lossy(&login.stderr);
    assert!(errors.contains("signing failed"), "{errors}");
}

#[test]
fn an_authority_in_the_token_signs_certificates_that_log_in() {
    let (program, askpass) = start();
    let home = &program.home;
    let sshd = Sshd::start(home);
    let authority = fs::read_to_string(file(home, "first.pub")).unwrap();
    let line = format!("cert-authority {authority}");
    fs::write(sshd.authorized_keys(), line).unwrap();
    let args = ["-q", "-t", "ed25519", "-N", "", "-f", "user"];
    ok(&mut ssh_keygen(home, &args));
    let with = ["-i", "user", "-o", "CertificateFile=user-cert.pub"];
    let login = || sshd.run(home, &[], &with, "echo in");
    assert!(
        !login().status.success(),
        "not before there is a certificate"
    );

    let module = module_path();
    let sign = ["-s", "first.pub", "-D", &module, "-I", "alice"];
    let whom = ["-n", sshd.user(), "-V", "-1m:+1h", "user.pub"];
    let args = [&sign[..], &whom].concat();
    ok(ssh_keygen(home, &args).envs(askpass.clone()));
    assert_eq!(login().stdout, b"in\n", "{}", sshd.log());

    // The same by way of an agent that holds the authority.
    fs::remove_file(file(home, "user-cert.pub")).unwrap();
    let agent = SshAgent::start(home, &module, &[]);
    add_to(&agent, home, &askpass);
    let args = [&["-U", "-s", "first.pub", "-I", "alice"], &whom[..]].concat();
    ok(ssh_keygen(home, &args).envs(agent.env()));
    assert_eq!(login().stdout, b"in\n", "{}", sshd.log());
}

#[test]
fn a_certificate_of_a_key_in_the_token_logs_in_through_the_agent() {
    let (program, askpass) = start();
    let home = &program.home;
    let sshd = Sshd::start(home);
    ok(&mut ssh_keygen(
        home,
        &["-q", "-t", "ed25519", "-N", "", "-f", "ca"],
    ));
    let authority = fs::read_to_string(file(home, "ca.pub")).unwrap();
    let line = format!("cert-authority {authority}");
    fs::write(sshd.authorized_keys(), line).unwrap();
    let sign = ["-s", "ca", "-I", "alice", "-n", sshd.user(), "first.pub"];
    ok(&mut ssh_keygen(home, &sign));
    let agent = SshAgent::start(home, &module_path(), &[]);
    add_to(&agent, home, &askpass);
    let login = |with: &[&str]| sshd.run(home, &agent.env(), with, "echo in");
    assert!(!login(&[]).status.success(), "the key alone is not known");
    let with = ["-i", "first.pub", "-o", "CertificateFile=first-cert.pub"];
    assert_eq!(login(&with).stdout, b"in\n", "{}", sshd.log());
}

#[test]
fn files_are_copied_with_the_key_of_the_token() {
    let (program, askpass) = start();
    let home = &program.home;
    let sshd = Sshd::with_config(home, "Subsystem sftp internal-sftp\n");
    fs::copy(file(home, "first.pub"), sshd.authorized_keys()).unwrap();
    let content = "copied ".repeat(10_000);
    let [from, to] = [write(home, "from", &content), file(home, "to")];
    let batch = write(home, "batch", format!("put {from} {to}\n"));
    let provider = format!("PKCS11Provider={}", module_path());
    let mut sftp = home.command("sftp");
    // -b switches questions off, which the later option switches on again.
    sftp.args(["-o", "BatchMode=no", "-b", &batch, "-o", &provider])
        .args(sshd.ssh_args())
        .arg(sshd.destination())
        .envs(askpass);
    ok(&mut sftp);
    assert_eq!(fs::read_to_string(to).unwrap(), content);
}

#[test]
fn files_are_signed_through_the_agent() {
    let (program, askpass) = start();
    let home = &program.home;
    let agent = SshAgent::start(home, &module_path(), &[]);
    add_to(&agent, home, &askpass);
    let data = write(home, "data", "to be signed");
    let sign = ["-Y", "sign", "-f", "first.pub", "-n", "file", &data];
    ok(ssh_keygen(home, &sign).envs(agent.env()));
    let public = fs::read_to_string(file(home, "first.pub")).unwrap();
    write(home, "allowed", format!("alice {public}"));
    let verify = || {
        let signature = ["-s", "data.sig", "-f", "allowed", "-I", "alice"];
        let mut verify = ssh_keygen(home, &["-Y", "verify", "-n", "file"]);
        verify.args(signature).stdin(fs::File::open(&data).unwrap());
        verify
    };
    let printed = ok(&mut verify());
    assert!(
        printed.contains("Good \"file\" signature for alice"),
        "{printed}"
    );
    write(home, "data", "something else");
    refused(&mut verify());
}

#[test]
fn a_server_proves_a_host_key_in_the_token() {
    let (program, askpass) = start();
    let home = &program.home;
    let agent = SshAgent::start(home, &module_path(), &[]);
    add_to(&agent, home, &askpass);
    let (_, socket) = &agent.env()[0];
    let [socket, key] = [socket.to_str().unwrap(), &file(home, "first.pub")];
    let config = format!("HostKeyAgent {socket}\nHostKey {key}\n");
    let sshd = Sshd::with_config(home, &config);
    // Clients know this host key and no other.
    let known = fs::read_to_string(key).unwrap();
    let known = format!("[127.0.0.1]:{} {known}", sshd.port());
    fs::write(sshd.known_hosts(), known).unwrap();
    ok(&mut ssh_keygen(
        home,
        &["-q", "-t", "ed25519", "-N", "", "-f", "user"],
    ));
    fs::copy(file(home, "user.pub"), sshd.authorized_keys()).unwrap();
    let login = || sshd.run(home, &[], &["-i", "user"], "echo in");
    assert_eq!(login().stdout, b"in\n", "{}", sshd.log());
    // Without the agent the server has no host key to prove.
    ok(&mut ssh_add(&agent, home, &["-e", &module_path()]));
    assert!(!login().status.success(), "{}", sshd.log());
}

/// A second token with another PIN is no way to lose tries: the configuration names the one
/// that the agent is to see.
#[test]
fn a_token_that_is_not_shown_loses_no_try() {
    let (program, askpass) = start();
    let other = program.secret("other", "another pin");
    let init = ["token", "init", "--label", "other", "--pin-file", &other];
    program
        .run(&[&init[..], &["--so-pin-file", &program.so_pin]].concat())
        .ok();
    let keygen = ["--token", "other", "keygen", "--pin-file", &other];
    program.run(&keygen).ok();
    let home = &program.home;
    let shown = [("TPMSSH_TOKEN".into(), "work".into())];
    let agent = SshAgent::start(home, &module_path(), &shown);
    add_to(&agent, home, &askpass);
    let listed = ok(&mut ssh_add(&agent, home, &["-l"]));
    assert_eq!(listed.lines().count(), 1, "{listed}");
    let tries = program.run(&["token", "list"]).ok();
    assert_eq!(tries.matches("3 of 3 tries left").count(), 2, "{tries}");
    assert_ne!(PIN, "another pin");
}
