//! Files with public keys, and `tpmssh ssh-config`, with the real ssh.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use testing::Sshd;

use crate::agent::served::{Served, eventually};
use crate::certs::{key_file, sign, with_authority};
use crate::program::{Outcome, Program, text};

/// The names in `~/.ssh/tpmssh`, in order.
fn files(program: &Program) -> Vec<String> {
    let dir = program.home.path().join(".ssh/tpmssh");
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn file(program: &Program, name: &str) -> PathBuf {
    program.home.path().join(".ssh/tpmssh").join(name)
}

/// Logs in with the lines of `tpmssh ssh-config`, and with options that lead to the test's server.
fn login(program: &Program, sshd: &Sshd, stanza: &str) -> Outcome {
    let port = sshd.port();
    let known = sshd.known_hosts();
    let way = format!(
        "HostName 127.0.0.1\nPort {port}\nUser {}\nUserKnownHostsFile {}\nBatchMode yes\n",
        sshd.user(),
        known.display()
    );
    let config = program.secret("ssh_config", &format!("{stanza}{way}"));
    let mut ssh: Command = program.home.command("ssh");
    Outcome::of(ssh.args(["-F", &config, "server", "echo in"]))
}

#[test]
fn a_key_has_a_file_as_long_as_it_is_there() {
    let program = Program::with_key();
    let [name] = &files(&program)[..] else {
        panic!("{:?}", files(&program));
    };
    assert!(
        name.starts_with("first-") && name.ends_with(".pub"),
        "{name}"
    );
    let line = program.run(&["export", "first"]).ok();
    let path = file(&program, name);
    assert_eq!(fs::read_to_string(&path).unwrap(), line);
    program.keygen("second");
    assert_eq!(files(&program).len(), 2);
    // Commands that make and remove keys in another way.
    let imported = text(program.home.path().join("imported"));
    let args = [
        "-q", "-t", "ecdsa", "-N", "", "-C", "moved", "-f", &imported,
    ];
    Outcome::of(program.home.command("ssh-keygen").args(args)).ok();
    let import = ["import", "-y", "--pin-file", &program.pin, &imported];
    program.run(&import).ok();
    assert_eq!(files(&program).len(), 3);
    program.run(&["delete", "-y", "moved"]).ok();
    program.run(&["delete", "-y", "first"]).ok();
    assert_eq!(files(&program).len(), 1);
    assert!(!path.exists());
    let again = ["token", "init", "--token", "work", "--again", "-y"];
    let pins = ["--pin-file", &program.pin, "--so-pin-file", &program.so_pin];
    program.run(&[&again[..], &pins].concat()).ok();
    assert_eq!(files(&program), [""; 0]);
    program.keygen("third");
    assert_eq!(files(&program).len(), 1);
    program
        .run(&["token", "delete", "-y", "--token", "work"])
        .ok();
    assert_eq!(files(&program), [""; 0]);
}

#[test]
fn the_agent_keeps_the_files_of_keys_that_others_make() {
    let program = Program::with_key();
    let name = files(&program).remove(0);
    // As if a program with the module had made the key: the module writes no file.
    let dir = program.home.path().join(".ssh/tpmssh");
    fs::remove_dir_all(&dir).unwrap();
    fs::create_dir(&dir).unwrap();
    let agent = Served::start(&program);
    agent.ssh_add(&["-L"]).ok();
    eventually(|| files(&program) == [name.as_str()]);
}

#[test]
fn files_of_others_stay_and_a_home_that_cannot_be_written_is_told() {
    let program = Program::with_key();
    let name = files(&program).remove(0);
    let path = file(&program, &name);
    fs::write(&path, "mine\n").unwrap();
    let made = program.run(&["keygen", "--label", "second", "--pin-file", &program.pin]);
    let told = format!(
        "tpmssh: {} was not written by tpmssh and stays as it is\n",
        path.display()
    );
    assert_eq!(made.code, Some(0));
    assert_eq!(made.stderr, told);
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine\n");
    let refused = program.run(&["ssh-config", "server", "-k", "first"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused
            .stderr
            .contains("tpmssh: there is no file for the key: /"),
        "{refused:?}"
    );

    let dir = program.home.path().join(".ssh/tpmssh");
    fs::remove_dir_all(&dir).unwrap();
    fs::write(&dir, "").unwrap();
    let made = program.run(&["keygen", "--label", "third", "--pin-file", &program.pin]);
    assert_eq!(made.code, Some(0), "{made:?}");
    // The message names the cause too.
    program.run(&["ssh-config", "server", "-k", "first"]).fails(
        11,
        &format!(
            "tpmssh: there is no file for the key: cannot write {}: File exists (os error 17)\n",
            dir.display()
        ),
    );
    let told = format!("tpmssh: cannot write {}: ", dir.display());
    assert!(
        made.stderr.starts_with(&told) && made.stderr.lines().count() == 1,
        "{made:?}"
    );
}

#[test]
fn without_a_directory_of_ssh_it_is_made_for_this_user_alone() {
    let program = Program::with_token();
    let ssh = program.home.path().join(".ssh");
    fs::remove_dir(&ssh).unwrap();
    program.keygen("first");
    for dir in [ssh.clone(), ssh.join("tpmssh")] {
        let mode = fs::metadata(dir).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
}

/// A server that allows few tries, and more keys than that.
#[test]
fn the_lines_log_in_with_one_key_of_many() {
    let program = Program::with_token();
    for number in 0..5 {
        program.keygen(&format!("key {number}"));
    }
    let agent = Served::start(&program);
    program.run(&["unlock", "--pin-file", &program.pin]).ok();
    let sshd = Sshd::with_config(&program.home, "MaxAuthTries 3\n");
    let line = program.run(&["export", "key 4"]).ok();
    fs::write(sshd.authorized_keys(), line).unwrap();
    let socket = text(agent.socket().to_owned());
    let all = format!("Host server\nIdentityAgent {socket}\n");
    let refused = login(&program, &sshd, &all);
    assert!(
        refused.stderr.contains("Too many authentication failures"),
        "{refused:?}"
    );

    let printed = program.run(&["ssh-config", "anna@server", "-k", "key 4"]);
    assert_eq!(printed.stderr, "", "{printed:?}");
    let stanza = printed.ok();
    let name = files(&program)
        .into_iter()
        .find(|name| name.starts_with("key_4-"))
        .unwrap();
    assert_eq!(
        stanza,
        format!(
            "Host server\n    User anna\n    IdentityFile {}\n    IdentitiesOnly yes\n    IdentityAgent {socket}\n",
            file(&program, &name).display()
        )
    );
    let stanza = stanza.replace("    User anna\n", "");
    assert_eq!(
        login(&program, &sshd, &stanza).ok(),
        "in\n",
        "{}",
        sshd.log()
    );

    let which = program.run(&["ssh-config", "server"]);
    assert_eq!(which.code, Some(2), "{which:?}");
    program
        .run(&["ssh-config", "a b"])
        .fails(2, "tpmssh: \"a b\" is no host or user\n");
    let module = program.run(&["ssh-config", "server", "--module"]).ok();
    assert!(
        module.starts_with("Host server\n    PKCS11Provider /"),
        "{module}"
    );
}

#[test]
fn the_lines_log_in_with_a_certificate() {
    let program = with_authority();
    program.keygen("first");
    let public = program.run(&["export", "first"]).ok();
    let path = key_file(&program, "unused");
    fs::write(format!("{path}.pub"), public).unwrap();
    let sshd = {
        let ca = program.run(&["ca", "public-key"]).ok();
        let trusted = program.secret("trusted", &ca);
        Sshd::with_config(&program.home, &format!("TrustedUserCAKeys {trusted}\n"))
    };
    let certificate = sign(
        &program,
        "sign-user",
        &path,
        &["-n", sshd.user(), "-V", "+1h"],
    );
    program.run(&["cert", "add", &certificate]).ok();
    let names = files(&program);
    assert!(
        names
            .iter()
            .any(|name| name.starts_with("first-") && name.ends_with("-cert.pub")),
        "{names:?}"
    );
    let _agent = Served::start(&program);
    program.run(&["unlock", "--pin-file", &program.pin]).ok();
    let stanza = program.run(&["ssh-config", "server"]).ok();
    assert!(stanza.contains("    CertificateFile /"), "{stanza}");
    assert_eq!(
        login(&program, &sshd, &stanza).ok(),
        "in\n",
        "{}",
        sshd.log()
    );
    program.run(&["cert", "remove", "1"]).ok();
    assert!(
        !files(&program)
            .iter()
            .any(|name| name.ends_with("-cert.pub"))
    );
}

/// The store of another machine or service has no files in this home.
#[test]
fn another_store_has_no_files() {
    let program = Program::new();
    let store = text(program.home.path().join("elsewhere"));
    let run = |args: &[&str]| Outcome::of(program.command().env("TPMSSH_STORE", &store).args(args));
    run(&["token", "init", "--label", "t", "--pin-wall", "none"]).ok();
    run(&["keygen", "--label", "k"]).ok();
    assert_eq!(files(&program), [""; 0]);
    let usual = program.home.store();
    run(&["ssh-config", "server"]).fails(
        2,
        &format!(
            "tpmssh: public keys have files only if their store is the usual one, {}\n",
            usual.display()
        ),
    );
}
