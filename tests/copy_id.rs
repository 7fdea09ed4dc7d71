//! `tpmssh copy-id` with a real server: a key goes there, and an old one goes away.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use testing::Sshd;

use crate::certs::key_file;
use crate::program::{Program, text};

/// A server whose keys are in `~/.ssh/authorized_keys` of the home of the program.
pub(crate) fn server(program: &Program) -> (Sshd, String) {
    let home = program.home.path().display();
    // With `SetEnv` the shell of the server uses the home of the test.
    let config = format!("AuthorizedKeysFile {home}/.ssh/authorized_keys\nSetEnv HOME={home}\n");
    let sshd = Sshd::with_config(&program.home, &config);
    let options = sshd.options().join("\n").replace('=', " ");
    let options = options.replace("IdentityFile none\n", "");
    let config = format!(
        "Host here\nHostName 127.0.0.1\nUser {}\n{options}\n",
        sshd.user()
    );
    (sshd, program.secret("ssh_config", &config))
}

#[test]
fn a_new_key_is_let_in_and_an_old_one_out_only_then() {
    let program = Program::with_key();
    let (sshd, config) = server(&program);
    let old = key_file(&program, "old");
    let allowed = text(program.home.path().join(".ssh/authorized_keys"));
    let old_line = fs::read_to_string(format!("{old}.pub")).unwrap();
    // Without a line feed at its end, and with options before the key.
    let before = format!("# mine\nno-pty {}", old_line.trim_end());
    fs::write(&allowed, &before).unwrap();
    let public = format!("{old}.pub");
    let copy = |options: &[&str]| {
        let common = [
            "copy-id",
            "-F",
            &config,
            "-i",
            &old,
            "--pin-file",
            &program.pin,
        ];
        program.run(&[&common[..], options].concat())
    };
    let dry = copy(&["--dry-run", "--replace", &public, "here"]);
    assert!(
        dry.stderr.contains("here: would add \"first\", log in"),
        "{dry:?}"
    );
    assert_eq!(fs::read_to_string(&allowed).unwrap(), before);

    let line = program.run(&["export", "first"]).ok();
    let added = copy(&["here"]);
    assert!(added.stdout.contains("added"), "{added:?}{}", sshd.log());
    let expected = format!("{before}\n{line}");
    assert_eq!(fs::read_to_string(&allowed).unwrap(), expected);
    // A second run changes nothing. A server that cannot be reached is reported, and the other one is
    // still handled.
    let twice = copy(&["nowhere.invalid", "here"]);
    assert_eq!(twice.code, Some(1), "{twice:?}");
    assert!(
        twice.stderr.ends_with("tpmssh: 1 of 2 servers failed\n"),
        "{twice:?}"
    );
    assert_eq!(fs::read_to_string(&allowed).unwrap(), expected);

    // A link, as people have who keep such files elsewhere.
    let elsewhere = text(program.home.path().join("elsewhere"));
    fs::rename(&allowed, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &allowed).unwrap();
    fs::set_permissions(&elsewhere, fs::Permissions::from_mode(0o640)).unwrap();
    let replaced = copy(&["--replace", &public, "here"]);
    assert!(
        replaced.stdout.contains("replaced"),
        "{replaced:?}{}",
        sshd.log()
    );
    assert_eq!(
        fs::read_to_string(&allowed).unwrap(),
        format!("# mine\n{line}")
    );
    assert!(fs::symlink_metadata(&allowed).unwrap().is_symlink());
    assert_eq!(fs::metadata(&elsewhere).unwrap().mode() & 0o777, 0o640);
    let left = fs::read_dir(program.home.path()).unwrap();
    let left = left.map(|entry| text(entry.unwrap().path()));
    assert_eq!(left.filter(|name| name.starts_with(&elsewhere)).count(), 1);
    let again = copy(&["--replace", &public, "here"]);
    assert!(again.stdout.contains("there"), "{again:?}");
    let why =
        "here: the old key is not in ~/.ssh/authorized_keys; if it still logs in, it is elsewhere";
    assert!(again.stderr.contains(why), "{again:?}");
}

/// A server that takes the key and does not let it in.
#[test]
fn an_old_key_stays_where_the_new_one_does_not_log_in() {
    let program = Program::with_key();
    let home = program.home.path().display().to_string();
    let (_sshd, config) = {
        let lines = format!(
            "PubkeyAcceptedAlgorithms ssh-ed25519\nAuthorizedKeysFile {home}/.ssh/authorized_keys\n\
             SetEnv HOME={home}\n"
        );
        let sshd = Sshd::with_config(&program.home, &lines);
        let options = sshd.options().join("\n").replace('=', " ");
        let options = options.replace("IdentityFile none\n", "");
        let config = format!(
            "Host here\nHostName 127.0.0.1\nUser {}\n{options}\n",
            sshd.user()
        );
        (sshd, program.secret("ssh_config", &config))
    };
    let old = key_file(&program, "old");
    let public = format!("{old}.pub");
    let allowed = format!("{home}/.ssh/authorized_keys");
    fs::copy(&public, &allowed).unwrap();
    let refused = program.run(&[
        "copy-id",
        "-F",
        &config,
        "-i",
        &old,
        "--pin-file",
        &program.pin,
        "--replace",
        &public,
        "here",
    ]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let why = "tpmssh: here: the key was added and does not log in; nothing was removed: ";
    assert!(refused.stderr.contains(why), "{refused:?}");
    let old_line = fs::read_to_string(&public).unwrap();
    assert!(fs::read_to_string(&allowed).unwrap().starts_with(&old_line));
}

#[test]
fn the_key_of_an_authority_is_not_copied() {
    let program = Program::with_key();
    program.run(&["ca", "init", "--key", "first"]).ok();
    program
        .run(&["copy-id", "-k", "first", "--dry-run", "here"])
        .fails(
            2,
            "tpmssh: \"first\" is the key of an authority, and no login\n",
        );
}
