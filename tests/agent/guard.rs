//! How an agent is protected from other programs.

use std::fs::{self, File, Permissions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;

use argon2::{Algorithm, Argon2, AssociatedData, ParamsBuilder, Version};
use rustix::process::{Signal, geteuid};
use testing::{AgentClient, Service, message};

use super::served::{Served, socket};
use crate::program::{Outcome, PIN, Program};

/// The user nobody, for tests that need another user.
const NOBODY: &str = "65534";

fn as_nobody(program: &str) -> std::process::Command {
    let mut command = std::process::Command::new("setpriv");
    command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]);
    command.args(["--", program]);
    command
}

/// Only root can act as another user. Without root the test does nothing.
#[test]
fn another_user_is_hung_up_on_even_where_the_socket_lets_everybody_in() {
    if !testing::namespace::is_root() {
        return;
    }
    let program = Program::with_key();
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    let path = dir.path().join("agent.sock");
    let mut command = program.home.daemon(env!("CARGO_BIN_EXE_tpmssh"));
    command.arg("agent").arg("--socket").arg(&path);
    let agent = Service::start("tpmssh agent", command, &path);
    fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
    let list = |mut command: std::process::Command| {
        Outcome::of(command.arg("-l").env("SSH_AUTH_SOCK", &path))
    };
    let refused = list(as_nobody("ssh-add"));
    // `ssh-add` ends by SIGPIPE or with an error: that depends on when it finds the connection
    // closed.
    assert_ne!(refused.code, Some(0), "{refused:?}");
    assert_eq!(refused.stdout, "", "{refused:?}");
    assert!(agent.log().contains("refused a client of user 65534"));
    assert_eq!(list(std::process::Command::new("ssh-add")).code, Some(0));
}

/// The other way round: an agent of somebody else gets no PIN, and is named.
#[test]
fn an_agent_of_another_user_is_named_and_gets_no_pin() {
    if !testing::namespace::is_root() {
        return;
    }
    let program = Program::with_key();
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o777)).unwrap();
    let path = dir.path().join("agent.sock");
    let socket = path.to_str().unwrap();
    let mut theirs = program.home.daemon("setpriv");
    theirs.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]);
    theirs.args(["--", "ssh-agent", "-D", "-a", socket]);
    let _theirs = Service::start("ssh-agent", theirs, &path);
    let said = format!(
        "tpmssh: the agent at {socket} belongs to another user\n\
         hint: name the socket of tpmssh's own agent with --socket PATH\n"
    );
    let status = program.run(&["agent", "status", "--socket", socket]);
    assert_eq!(
        (status.code, &status.stderr),
        (Some(9), &said),
        "{status:?}"
    );
    let line = format!("agent          the agent at {socket} belongs to another user\n");
    assert!(status.stdout.starts_with(&line), "{status:?}");
    let unlock = ["unlock", "--pin-file", &program.pin, "--socket", socket];
    program.run(&unlock).fails(9, &said);
    program.run(&["lock", "--socket", socket]).fails(9, &said);
}

/// Makes nobody the owner of all files below `path`.
fn give_away(path: &Path) {
    let nobody = NOBODY.parse().ok();
    chown(path, nobody, nobody).unwrap();
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            give_away(&entry.unwrap().path());
        }
    }
}

/// Root can read all processes. So if root runs the test, the agent runs as nobody.
#[test]
fn a_process_of_the_same_user_cannot_look_into_it_and_it_leaves_no_core() {
    let program = Program::with_key();
    let path = socket(&program.home);
    let binary = program.home.path().join("tpmssh");
    fs::copy(env!("CARGO_BIN_EXE_tpmssh"), &binary).unwrap();
    let mut command = program.home.daemon("setpriv");
    if geteuid().is_root() {
        give_away(program.home.path());
        command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]);
    }
    command.arg("--").arg(&binary).arg("agent");
    let mut agent = Service::start("tpmssh agent", command, &path);
    let can_read = |pid: u32| {
        let memory = format!("/proc/{pid}/environ");
        let mut cat = if geteuid().is_root() {
            as_nobody("cat")
        } else {
            std::process::Command::new("cat")
        };
        Outcome::of(cat.arg(memory)).code == Some(0)
    };
    let mut sleep = if geteuid().is_root() {
        as_nobody("sleep")
    } else {
        std::process::Command::new("sleep")
    };
    let mut control = sleep.arg("600").spawn().unwrap();
    super::served::eventually(|| can_read(control.id()));
    control.kill().unwrap();
    control.wait().unwrap();
    assert!(!can_read(agent.pid()));

    let limits = fs::read_to_string(format!("/proc/{}/limits", agent.pid())).unwrap();
    let cores = limits
        .lines()
        .find(|line| line.starts_with("Max core"))
        .unwrap();
    assert!(cores.contains("0                    0"), "{cores}");
    // Rust's handler returns from the first SIGSEGV: a real fault would come again.
    super::served::eventually(|| {
        agent.signal(Signal::SEGV);
        agent.ended().is_some()
    });
    let status = agent.wait();
    assert_eq!(status.signal(), Some(11));
    assert!(!status.core_dumped());
}

/// Programs that it starts have the same restrictions, so the program that asks for a PIN can test
/// them. On a kernel without Landlock there are none, and the agent logs that.
#[test]
fn it_can_change_no_file_but_its_own() {
    let program = Program::with_key();
    let home = program.home.path();
    for dir in [
        ".ssh",
        ".config/systemd/user",
        "run/systemd/user",
        "run/dconf",
        "bin",
    ] {
        fs::create_dir_all(home.join(dir)).unwrap();
    }
    fs::write(home.join("bin/ours"), "").unwrap();
    fs::set_permissions(home.join(".ssh"), Permissions::from_mode(0o700)).unwrap();
    // Each line is tried by itself. Each action that succeeds adds a word to `done`.
    let tries = [
        ("reached", "echo >run/tpmssh/reached"),
        ("log", "echo >.local/state/tpmssh/other"),
        ("store", "echo >store/other"),
        ("dconf", "echo >run/dconf/user"),
        ("null", "echo >/dev/null"),
        ("profile", "echo >.bashrc"),
        ("unit", "echo >run/systemd/user/evil.service"),
        ("own unit", "echo >.config/systemd/user/evil.service"),
        ("runtime", "echo >run/evil"),
        (
            "shm",
            "echo >/dev/shm/tpmssh-test-evil && rm /dev/shm/tpmssh-test-evil",
        ),
        ("dir", "mkdir run/tpmssh/dir"),
        ("link", "ln -s /etc run/tpmssh/link"),
        ("fifo", "mkfifo run/tpmssh/fifo"),
        (
            "rename",
            "echo >run/tpmssh/x; mv run/tpmssh/x .ssh/authorized_keys",
        ),
        ("hard link", "echo >run/tpmssh/y; ln run/tpmssh/y .ssh/rc"),
        ("remove", "rm bin/ours"),
        ("mode", "chmod 0777 .ssh"),
        ("owner", "chown $(id -u) .ssh"),
        ("attribute", "setfattr -n user.x -v y .ssh"),
    ];
    let lines = tries
        .map(|(name, line)| format!("( {line} ) 2>/dev/null && echo '{name}' >>run/tpmssh/done\n"));
    let script = format!(
        "#!/bin/bash\ncd {home} || exit 1\n: >run/tpmssh/done\n{}\nexit 1\n",
        lines.concat(),
        home = home.display()
    );
    let askpass = program.home.script("ask", &script);
    let env = [
        ("SSH_ASKPASS".into(), askpass.clone().into_os_string()),
        ("SSH_ASKPASS_REQUIRE".into(), "force".into()),
    ];
    let agent = Served::with(&program.home, &["--verbose"], &env);
    std::os::unix::fs::symlink(program.home.store(), home.join("store")).unwrap();
    let key = super::ssh_add::public_key(&program, "first");
    let done = || fs::read_to_string(home.join("run/tpmssh/done")).unwrap();
    assert_ne!(agent.ssh_add(&["-T", &key]).code, Some(0));
    if agent.log().contains("no Landlock") {
        return;
    }
    assert_eq!(
        done(),
        "reached\nlog\nstore\ndconf\nnull\n",
        "{}",
        agent.log()
    );
    let mode = fs::metadata(home.join(".ssh"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o700);
    // Started without the agent, the same program can do each action.
    let _ = Outcome::of(&mut std::process::Command::new(askpass));
    let free = done();
    for (name, _) in tries.iter().filter(|(name, _)| *name != "attribute") {
        assert!(free.lines().any(|line| line == *name), "{name}: {free}");
    }
    // The agent can still remove its own socket when it ends.
    let path = agent.socket().to_owned();
    agent.signal(Signal::TERM);
    agent.wait();
    assert!(!path.exists());
}

/// The writable memory of a process.
fn memory(pid: u32) -> Vec<u8> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let mut mem = File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut all = Vec::new();
    for line in maps.lines().filter(|line| line.contains(" rw")) {
        let (range, _) = line.split_once(' ').unwrap();
        let (from, to) = range.split_once('-').unwrap();
        let number = |text| u64::from_str_radix(text, 16).unwrap();
        let mut part = vec![0; usize::try_from(number(to) - number(from)).unwrap()];
        mem.seek(SeekFrom::Start(number(from))).unwrap();
        // Some mappings cannot be read, such as those that the kernel shares.
        if mem.read_exact(&mut part).is_ok() {
            all.extend(part);
        }
    }
    all
}

fn holds(memory: &[u8], secret: &[u8]) -> bool {
    memory.windows(secret.len()).any(|bytes| bytes == secret)
}

/// The value that `token-store` derives from the PIN.
fn auth_value(program: &Program) -> Vec<u8> {
    let database = fs::read_dir(program.home.store()).unwrap();
    let database = database
        .map(|entry| entry.unwrap().path())
        .find(|path| fs::read(path).unwrap().starts_with(b"SQLite format 3"))
        .unwrap();
    let database = rusqlite::Connection::open(database).unwrap();
    let (salt, memory): (Vec<u8>, u32) = database
        .query_row("SELECT salt, kdf_memory FROM token", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    let params = ParamsBuilder::new()
        .m_cost(memory)
        .t_cost(2)
        .p_cost(1)
        .output_len(32)
        .data(AssociatedData::new(b"tpmssh user PIN").unwrap())
        .build()
        .unwrap();
    let mut value = vec![0; 32];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(PIN.as_bytes(), &salt, &mut value)
        .unwrap();
    value
}

/// Only root can read the memory of an agent. Without root the test does nothing.
#[test]
fn after_a_lock_no_secret_is_in_memory() {
    if !testing::namespace::is_root() {
        return;
    }
    let program = Program::with_key();
    let agent = Served::start(&program);
    let key = super::ssh_add::public_key(&program, "first");
    let secret = b"a private key of software".as_slice();
    let mut client = AgentClient::connect(agent.socket());
    assert_eq!(client.ask(&message(17, &[b"ssh-ed25519", secret])), [5]);
    program.run(&["unlock", "--pin-file", &program.pin]).ok();
    assert_eq!(agent.ssh_add(&["-T", &key]).code, Some(0));
    // Without its last byte, which `token-store` may have changed after Argon2.
    let auth = &auth_value(&program)[..31];
    let open = memory(agent.pid());
    assert!(
        holds(&open, auth),
        "the value is in memory while the token is unlocked"
    );
    assert!(!holds(&open, PIN.as_bytes()));
    assert!(!holds(&open, secret));
    program.run(&["lock"]).ok();
    let locked = memory(agent.pid());
    assert!(!holds(&locked, auth));
    assert!(!holds(&locked, PIN.as_bytes()));
}
