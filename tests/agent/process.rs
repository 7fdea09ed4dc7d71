//! How an agent starts and ends.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use testing::{AgentClient, Bus, Service, message};

use super::served::{Served, eventually, socket};
use super::ssh_add::free;
use crate::program::{Outcome, Program, text};

const LIST: &[u8] = &[11];

/// In this time an agent has to end. Its own deadline is 1.5 s, and the machine may be busy. The
/// question and the clients for which it must not wait last ten minutes or longer.
const SOON: Duration = Duration::from_secs(20);

fn request(agent: &Served) -> Vec<u8> {
    let list = AgentClient::connect(agent.socket()).ask(LIST);
    let len = u32::from_be_bytes(list[5..9].try_into().unwrap()) as usize;
    let mut request = message(13, &[&list[9..9 + len], b"data"]);
    request.extend([0; 4]);
    request
}

#[test]
fn a_signal_ends_an_agent_well_also_during_a_signature() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let program = free(&["one"]);
        let agent = Served::start(&program);
        let request = request(&agent);
        let path = agent.socket().to_owned();
        let mut client = AgentClient::connect(&path);
        client.send_message(&request);
        let start = Instant::now();
        agent.signal(signal);
        let status = agent.wait();
        assert_eq!(status.code(), Some(0), "{signal:?}");
        assert!(start.elapsed() < SOON, "{signal:?}");
        assert!(!path.exists(), "{signal:?}");
        let tpm = tpm_core::Tpm::new(program.swtpm.tcti().parse().unwrap());
        let info = tpm_core::info::read(&tpm.begin().unwrap()).unwrap();
        let left = (info.loaded, info.active_sessions);
        assert_eq!(left, (0, 0), "objects and sessions left in the TPM");
    }
}

#[test]
fn a_signal_also_ends_open_questions_and_idle_clients() {
    let program = Program::with_key();
    // This is the only directory in which programs that an agent starts can write.
    let pid = program.home.path().join("run/tpmssh/pid");
    let script = format!(
        "#!/bin/sh\necho $$ > {0}.new\nmv {0}.new {0}\nexec sleep 600\n",
        pid.display()
    );
    let askpass = program.home.script("asks", &script);
    let env = [
        ("SSH_ASKPASS".into(), askpass.into()),
        ("SSH_ASKPASS_REQUIRE".into(), "force".into()),
    ];
    let agent = Served::with(&program.home, &[], &env);
    let mut idle = AgentClient::connect(agent.socket());
    let request = request(&agent);
    let mut asking = AgentClient::connect(agent.socket());
    asking.send_message(&request);
    eventually(|| pid.exists());
    let pid = fs::read_to_string(&pid).unwrap();
    let start = Instant::now();
    agent.signal(Signal::TERM);
    assert_eq!(agent.wait().code(), Some(0));
    assert!(start.elapsed() < SOON);
    // The process that inherits the question's program may take a while to wait for it.
    eventually(|| {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
        stat.is_err() || stat.is_ok_and(|stat| stat.contains(") Z "))
    });
    assert_eq!((idle.receive(), asking.receive()), (None, None));
}

#[test]
fn after_a_killed_agent_the_next_one_starts() {
    let program = free(&["one"]);
    let agent = Served::start(&program);
    let path = agent.socket().to_owned();
    agent.signal(Signal::KILL);
    agent.wait();
    assert!(path.exists(), "what is left is stale");
    let agent = Served::start(&program);
    assert_eq!(agent.ssh_add(&["-l"]).code, Some(0));
}

#[test]
fn a_live_agent_is_left_alone_and_odd_places_are_refused() {
    let program = free(&["one"]);
    let agent = Served::start(&program);
    let path = text(agent.socket().to_owned());
    program.run(&["agent"]).fails(
        10,
        &format!(
            "tpmssh: an agent is already running at {path}\n\
             hint: use that one, or give another --socket\n"
        ),
    );
    assert_eq!(agent.ssh_add(&["-l"]).code, Some(0));

    let link = text(program.home.path().join("run/link"));
    symlink("/nonexistent", &link).unwrap();
    program.run(&["agent", "--socket", &link]).fails(
        9,
        &format!(
            "tpmssh: unsafe path {link}: it is a symbolic link\n\
             hint: take a directory of your own with mode 0700 for the socket\n"
        ),
    );
}

#[test]
fn without_an_agent_there_is_nothing_to_unlock_or_lock() {
    let program = Program::with_token();
    let path = text(socket(&program.home));
    for args in [&["unlock", "--pin-file", &program.pin][..], &["lock"]] {
        program.run(args).fails(
            1,
            &format!(
                "tpmssh: no agent is running at {path}: No such file or directory (os error 2)\n\
                 hint: start it: tpmssh agent install, or tpmssh agent --daemon\n"
            ),
        );
    }
    let mut nowhere = program.command();
    nowhere.env_remove("XDG_RUNTIME_DIR").arg("lock");
    crate::program::Outcome::of(&mut nowhere).fails(
        1,
        "tpmssh: no place for the socket: XDG_RUNTIME_DIR is not set\n\
         hint: say where the socket is to be with --socket PATH\n",
    );
}

#[test]
fn another_program_at_the_socket_is_not_given_a_pin() {
    let program = Program::with_token();
    let other = testing::SshAgent::start(&program.home, "none", &[]);
    let path = text(other.env()[0].1.clone().into());
    program
        .run(&["unlock", "--socket", &path, "--pin-file", &program.pin])
        .fails(
            1,
            &format!(
                "tpmssh: the agent at {path} is not tpmssh's\n\
                 hint: name the socket of tpmssh's own agent with --socket PATH\n"
            ),
        );
}

#[test]
fn a_wrong_pin_is_refused_by_the_agent_as_by_any_command() {
    let program = Program::with_key();
    let _agent = Served::start(&program);
    let wrong = program.secret("wrong", "incorrect");
    program
        .run(&["unlock", "--pin-file", &wrong])
        .fails(3, "tpmssh: wrong PIN, 2 tries left\n");
    let short = program.secret("short", "1");
    let outcome = program.run(&["unlock", "--pin-file", &short]);
    assert_eq!(outcome.code, Some(3), "{outcome:?}");
    program
        .run(&["unlock", "--pin-file", &wrong])
        .fails(3, "tpmssh: wrong PIN, 1 try left\n");
    // The last try is not spent without a yes.
    program.run(&["unlock", "--pin-file", &wrong]).fails(
        2,
        "tpmssh: only 1 try is left, and a wrong PIN would lock the token\n\
         hint: add --yes if you are sure of the PIN\n",
    );
    program
        .run(&["unlock", "--yes", "--pin-file", &program.pin])
        .ok();
    program.run(&["unlock", "--pin-file", &program.pin]).ok();
}

#[test]
fn a_signal_makes_it_forget_pins() {
    let program = Program::with_key();
    let agent = Served::start(&program);
    let key = super::ssh_add::public_key(&program, "first");
    let works = || agent.ssh_add(&["-T", &key]).code == Some(0);
    program.run(&["unlock", "--pin-file", &program.pin]).ok();
    assert!(works());
    agent.signal(Signal::USR1);
    eventually(|| !works());
    eventually(|| agent.log().contains("no way to ask"));
}

/// The unique name of the only client that stays on the bus. Each query is by a new client, which
/// leaves.
fn only_client(bus: &str) -> String {
    let ask = || {
        let list = ["--print-reply", "--dest=org.freedesktop.DBus", "/"];
        let method = "org.freedesktop.DBus.ListNames";
        let reply = crate::program::run("dbus-send", &[&[bus], &list[..], &[method]].concat());
        let names = reply.split('"').filter(|part| part.starts_with(":1."));
        names.map(str::to_owned).collect::<Vec<_>>()
    };
    let mut client = None;
    eventually(|| {
        let before = ask();
        client = ask().into_iter().find(|name| before.contains(name));
        client.is_some()
    });
    client.unwrap()
}

/// On a private bus without logind. A signal that is addressed to the agent needs no sender with
/// logind's name.
#[test]
fn before_sleep_and_with_the_session_pins_are_forgotten() {
    let program = Program::with_key();
    let bus = Bus::start();
    let env = [("DBUS_SYSTEM_BUS_ADDRESS".into(), bus.address().into())];
    let agent = Served::with(&program.home, &["--no-ask"], &env);
    let key = super::ssh_add::public_key(&program, "first");
    let works = || agent.ssh_add(&["-T", &key]).code == Some(0);
    let bus = format!("--bus={}", bus.address());
    let dest = format!("--dest={}", only_client(&bus));
    let send = |signal: &[&str]| {
        let common = [&bus, "--type=signal", &dest, "/org/freedesktop/login1"];
        crate::program::run("dbus-send", &[&common[..], signal].concat());
    };
    let manager = "org.freedesktop.login1.Manager.PrepareForSleep";
    for signal in [
        &[manager, "boolean:true"][..],
        &["org.freedesktop.login1.Session.Lock"],
    ] {
        program.run(&["unlock", "--pin-file", &program.pin]).ok();
        send(&[manager, "boolean:false"]);
        assert!(works());
        send(signal);
        eventually(|| !works());
    }
}

#[test]
fn a_pin_is_good_for_the_time_that_was_said() {
    let program = Program::with_key();
    let agent = Served::start(&program);
    let key = super::ssh_add::public_key(&program, "first");
    let works = || agent.ssh_add(&["-T", &key]).code == Some(0);
    let unlock = |time: &str| program.run(&["unlock", "--time", time, "--pin-file", &program.pin]);
    unlock("1h").ok();
    assert!(works());
    unlock("1s").ok();
    eventually(|| !works());
    unlock("0").fails(
        2,
        "tpmssh: invalid value '0' for '--time <TIME>': it is at least a second\n\
         hint: see tpmssh unlock --help\n",
    );
}

#[test]
fn an_unusable_configuration_is_refused() {
    let program = Program::new();
    let refused = |text: &str, why: &str| {
        fs::create_dir_all(program.home.config().parent().unwrap()).unwrap();
        fs::write(program.home.config(), text).unwrap();
        let line = format!(
            "tpmssh: unusable {why} in the configuration file: it is never, until-locked, \
             confirm, or a time such as 30m\n"
        );
        program.run(&["agent"]).fails(2, &line);
    };
    refused("[agent]\npin = 'often'\n", "agent.pin");
    refused("[agent.pins]\nwork = '0s'\n", "agent.pins.work");
}

/// As systemd does it: the socket is the third descriptor.
#[test]
fn a_socket_of_systemd_is_taken_and_left_in_place() {
    let program = free(&["one"]);
    let path = socket(&program.home);
    let listener = UnixListener::bind(&path).unwrap();
    let mut command = program.home.daemon("sh");
    command.args([
        "-c",
        "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" agent",
    ]);
    command.arg(env!("CARGO_BIN_EXE_tpmssh"));
    let mut agent = Service::with_stdin("tpmssh agent", command, &path, OwnedFd::from(listener));
    assert_eq!(AgentClient::connect(&path).ask(LIST)[0], 12);
    agent.signal(Signal::TERM);
    assert_eq!(agent.wait().code(), Some(0));
    assert!(path.exists(), "it belongs to systemd");
}

/// If another store replaces the unlocked one, only the keys and logins of the new one count.
#[test]
fn a_store_that_was_replaced_takes_its_logins_with_it_and_one_that_comes_back_does_not() {
    let program = Program::with_key();
    let agent = Served::start(&program);
    let run = |args: &[&str]| Outcome::of(program.command().envs(agent.env()).args(args)).ok();
    run(&["unlock", "--pin-file", &program.pin]);
    let (store, away) = (program.home.store(), program.home.path().join("away"));
    let key = program.home.path().join("first.pub");
    fs::write(&key, run(&["export", "first"])).unwrap();
    let signs = || agent.ssh_add(&["-T", key.to_str().unwrap()]).code == Some(0);
    assert!(signs());

    fs::rename(&store, &away).unwrap();
    assert_eq!(agent.ssh_add(&["-l"]).code, Some(1), "there is no store");
    fs::rename(&away, &store).unwrap();
    assert!(signs(), "the same store is back: {}", agent.log());

    fs::rename(&store, &away).unwrap();
    program.init("other");
    program.keygen("second");
    let listed = agent.ssh_add(&["-l"]).ok();
    assert!(
        listed.contains(" second (ECDSA)\n") && !listed.contains("first"),
        "{listed}"
    );
    fs::remove_dir_all(&store).unwrap();
    fs::rename(&away, &store).unwrap();
    assert!(!signs(), "the login ended with its store");
    run(&["unlock", "--pin-file", &program.pin]);
    assert!(signs());
}

#[test]
fn an_agent_whose_socket_was_removed_is_named() {
    let program = Program::with_key();
    let agent = Served::start(&program);
    let socket = socket(&program.home);
    fs::remove_file(&socket).unwrap();
    let pid = agent.pid();
    let said = format!(
        "tpmssh: the agent in process {pid} runs, but its socket {} was removed\n\
         hint: end it with: kill {pid}, then start it again\n",
        socket.display()
    );
    program.run(&["agent", "--no-ask"]).fails(10, &said);
    let unlock = program.run(&["unlock", "--pin-file", &program.pin]);
    unlock.fails(10, &said);
    let status = program.run(&["agent", "status"]);
    assert_eq!(
        (status.code, &status.stderr),
        (Some(10), &said),
        "{status:?}"
    );
    let line = said
        .lines()
        .next()
        .unwrap()
        .strip_prefix("tpmssh: ")
        .unwrap();
    let begin = format!(
        "agent          {line}\nsocket         {}\n",
        socket.display()
    );
    assert!(status.stdout.starts_with(&begin), "{status:?}");
}
