//! Files that a user names: written ones, refused ones, and the messages if a disk, a limit or a
//! reader fails.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use rustix::process::geteuid;
use testing::namespace;

use crate::certs::{key_file, with_authority};
use crate::program::{Outcome, Program, text};

impl Program {
    fn at(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Runs it with a stdout that has no room.
    fn run_full(&self, args: &[&str]) -> Outcome {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        Outcome::of(self.command().args(args).stdout(full))
    }

    /// Runs it with the limit of file sizes at 0.
    fn run_limited(&self, args: &[&str]) -> Outcome {
        let mut command = self.home.command("prlimit");
        command.args(["--fsize=0", env!("CARGO_BIN_EXE_tpmssh")]);
        Outcome::of(command.args(args))
    }
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = entries.map(|it| text(it.unwrap().path())).collect();
    names.sort();
    names
}

/// The list of revocations is one of several files that are written in the same way; here it
/// stands for all.
#[test]
fn a_file_keeps_its_mode_and_its_links_and_what_is_no_file_stays() {
    let program = with_authority();
    let list = program.at("list");
    let path = text(list.clone());
    program.run(&["ca", "krl", &path]).ok();
    assert_eq!(fs::metadata(&list).unwrap().mode() & 0o7777, 0o644);
    fs::set_permissions(&list, fs::Permissions::from_mode(0o640)).unwrap();
    symlink("list", program.at("link")).unwrap();
    let before = fs::metadata(&list).unwrap().ino();
    program.run(&["ca", "krl", &text(program.at("link"))]).ok();
    let after = fs::metadata(&list).unwrap();
    assert_ne!(after.ino(), before);
    assert_eq!(after.mode() & 0o7777, 0o640);
    assert!(
        fs::symlink_metadata(program.at("link"))
            .unwrap()
            .is_symlink()
    );

    let mut cases = vec![
        ("directory", "a directory"),
        ("gone", "a symbolic link to nothing"),
    ];
    fs::create_dir(program.at("directory")).unwrap();
    symlink("nothing", program.at("gone")).unwrap();
    if geteuid().is_root() {
        // The program must not open these: they are the real /dev/null and /dev/loop0.
        for (name, kind, device) in [
            ("null", FileType::CharacterDevice, makedev(1, 3)),
            ("disk", FileType::BlockDevice, makedev(7, 0)),
        ] {
            let mode = Mode::from_raw_mode(0o600);
            mknodat(CWD, program.at(name), kind, mode, device).unwrap();
        }
        symlink("null", program.at("to-null")).unwrap();
        cases.extend([
            ("null", "a device"),
            ("disk", "a device"),
            ("to-null", "a device"),
        ]);
    }
    let before = names(program.home.path());
    for (name, what) in cases {
        let path = text(program.at(name));
        let kind = fs::symlink_metadata(&path).unwrap().file_type();
        let expected = format!("tpmssh: cannot write {path}: it is {what}\n");
        program.run(&["ca", "krl", &path]).fails(9, &expected);
        assert_eq!(fs::symlink_metadata(&path).unwrap().file_type(), kind);
    }
    assert_eq!(names(program.home.path()), before);
}

#[test]
fn a_pipe_and_a_descriptor_are_written() {
    let program = with_authority();
    for name in ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] {
        let found = program
            .command()
            .args(["ca", "krl", name])
            .output()
            .unwrap()
            .stdout;
        assert!(found.starts_with(b"SSHKRL\n"), "{name}: {found:?}");
    }
    let script = format!(
        "cd '{}' && exec 3>third && \"$0\" ca krl /dev/fd/3 && mkfifo pipe && {{ cat pipe >read & }} && \
         \"$0\" ca krl pipe && wait && test -p pipe",
        program.home.path().display()
    );
    let mut shell = program.home.command("sh");
    Outcome::of(shell.args(["-c", &script, env!("CARGO_BIN_EXE_tpmssh")])).ok();
    for name in ["third", "read"] {
        let found = fs::read(program.at(name)).unwrap();
        assert!(found.starts_with(b"SSHKRL\n"), "{name}");
    }
    assert!(
        fs::metadata(program.at("pipe"))
            .unwrap()
            .file_type()
            .is_fifo()
    );
}

#[test]
fn a_full_disk_and_a_limit_leave_the_old_file_and_are_told() {
    let program = with_authority();
    let path = text(program.at("list"));
    program.run(&["ca", "krl", &path]).ok();
    let before = (fs::read(&path).unwrap(), names(program.home.path()));
    let expected = format!("tpmssh: cannot write {path}: File too large (os error 27)\n");
    program
        .run_limited(&["ca", "krl", &path])
        .fails(11, &expected);
    let after = (fs::read(&path).unwrap(), names(program.home.path()));
    assert_eq!(after, before);

    if !namespace::can_mount() {
        return;
    }
    let full = program.at("full");
    fs::create_dir(&full).unwrap();
    let list = full.join("list");
    let script = format!(
        "mount -t tmpfs -o size=16k none '{0}' && echo old >'{0}/list' && \
         dd if=/dev/zero of='{0}/filler' status=none 2>/dev/null; \
         \"$0\" ca krl --force '{0}/list'; code=$?; ls -A '{0}'; cat '{0}/list'; exit $code",
        full.display()
    );
    let mut command = program.home.command("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", &script]);
    let outcome = Outcome::of(command.arg(env!("CARGO_BIN_EXE_tpmssh")));
    let expected = format!(
        "tpmssh: cannot write {}: No space left on device (os error 28)\n",
        list.display()
    );
    assert_eq!(outcome.stderr, expected);
    assert_eq!(outcome.code, Some(11));
    assert_eq!(outcome.stdout, "filler\nlist\nold\n");
}

/// A completed change is reported as done, also if the output cannot be written.
#[test]
fn what_is_done_is_told_when_stdout_is_full() {
    let program = Program::with_key();
    let (pin, so_pin) = (&program.pin, &program.so_pin);
    let full = "cannot write to stdout: No space left on device (os error 28)";
    let key = key_file(&program, "anna");
    let public = format!("{key}.pub");

    let args = ["keygen", "-C", "second", "--pin-file", pin];
    let expected =
        format!("tpmssh: the key \"second\" is made, but {full}\nhint: see it with: tpmssh list\n");
    program.run_full(&args).fails(11, &expected);
    assert!(
        program
            .run(&["export", "second"])
            .ok()
            .ends_with(" second\n")
    );

    let args = ["ca", "init", "--pin-file", pin];
    let outcome = program.run_full(&args);
    assert_eq!(outcome.code, Some(11));
    let expected = format!(
        "tpmssh: the authority \"ca\" is made, but {full}\nhint: see it with: tpmssh ca public-key\n"
    );
    assert!(outcome.stderr.ends_with(&expected), "{outcome:?}");
    program.run(&["ca", "public-key"]).ok();

    let args = [
        "ca",
        "sign-user",
        &public,
        "-I",
        "anna",
        "-n",
        "anna",
        "-V",
        "+1h",
        "--pin-file",
        pin,
    ];
    let outcome = program.run_full(&args);

    let list: serde_json::Value =
        serde_json::from_str(&program.run(&["ca", "list", "--json"]).ok()).unwrap();
    let serial = list[0]["serial"].as_str().unwrap();
    let expected = format!(
        "tpmssh: certificate {serial} is signed and recorded, but {full}\n\
         hint: sign again; tpmssh ca list shows this one, and tpmssh ca revoke revokes it\n"
    );
    outcome.fails(11, &expected);

    let args = [
        "token",
        "init",
        "--label",
        "other",
        "--pin-file",
        pin,
        "--so-pin-file",
        so_pin,
    ];
    let expected = format!(
        "tpmssh: token \"other\" is made, but {full}\nhint: see it with: tpmssh token list\n"
    );
    program.run_full(&args).fails(11, &expected);
    assert!(program.run(&["token", "list"]).ok().contains("other"));
}

/// A generated SO PIN that was not shown is lost. Only the exit code can tell.
#[test]
fn an_so_pin_that_nobody_saw_is_no_success() {
    let program = Program::with_token();
    let full = || OpenOptions::new().write(true).open("/dev/full").unwrap();
    let args = [
        "token",
        "init",
        "--label",
        "other",
        "--pin-file",
        &program.pin,
    ];
    let outcome = Outcome::of(program.command().args(args).stderr(full()));
    assert_eq!((outcome.code, outcome.stdout.as_str()), (Some(11), ""));
}

/// All files of all commands that write some, each in the place of a device.
#[test]
fn no_command_replaces_a_device() {
    if !namespace::is_root() {
        return;
    }
    let program = Program::with_key();
    let etc = text(program.at("etc"));
    let store = text(program.at("host-store"));
    fs::create_dir(program.at("repository")).unwrap();
    let git = program
        .home
        .command("git")
        .arg("-C")
        .arg(program.at("repository"))
        .arg("init")
        .output();
    assert!(git.unwrap().status.success());
    let host = ["host", "setup", "--etc", &etc, "--store", &store];
    let cases: [(&str, &[&str]); 7] = [
        ("etc/ssh/ssh_host_tpm_ecdsa_key.pub", &host),
        ("etc/ssh/sshd_config.d/10-tpmssh.conf", &host),
        ("etc/systemd/system/tpmssh-host.service", &host),
        (
            ".config/systemd/user/tpmssh-agent.service",
            &["agent", "install"],
        ),
        (".config/tpmssh/git-sign", &["git", "setup"]),
        ("pages/tpmssh.1", &["man", "pages"]),
        ("krl", &["ca", "krl", "krl"]),
    ];
    program.run(&["ca", "init", "--key", "first"]).ok();
    fs::create_dir(program.at("bin")).unwrap();
    // systemd does not run.
    program.home.script("bin/systemctl", "#!/bin/sh\nexit 1\n");
    let bin = text(program.at("bin"));
    for (name, args) in cases {
        let path = program.at(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mode = Mode::from_raw_mode(0o600);
        mknodat(CWD, &path, FileType::CharacterDevice, mode, makedev(1, 3)).unwrap();
        let mut command = program.command();
        let dir = match args[0] {
            "git" => program.at("repository"),
            _ => program.home.path().to_owned(),
        };
        let outcome = Outcome::of(
            command
                .args(args)
                .current_dir(dir)
                .env("PATH", format!("{bin}:/usr/bin:/bin")),
        );
        let refused = outcome.stderr.contains("it is a device\n")
            || outcome.stderr.contains("was not written by tpmssh\n");
        assert!(
            refused && [Some(9), Some(1)].contains(&outcome.code),
            "{name}: {outcome:?}"
        );
        let kind = fs::symlink_metadata(&path).unwrap().file_type();
        assert!(kind.is_char_device(), "{name}");
        fs::remove_file(&path).unwrap();
    }
}
