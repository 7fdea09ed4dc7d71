//! Many clients, and few resources.

use std::fs;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use testing::{AgentClient, end_of, message};

use super::served::{Served, eventually, socket};
use super::ssh_add::free;
use crate::program::{Outcome, Program};

const LIST: &[u8] = &[11];

/// Raises the limit of descriptors of this process to the maximum.
fn many_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, most).unwrap();
    let enough = limit.maximum.is_none_or(|most| most > 2500);
    assert!(enough, "this test needs 2,500 descriptors: {limit:?}");
}

/// The best of twenty, because the machine may be busy with other tests. An agent that reads its
/// clients one after the other waits a minute for each slow one.
fn assert_quick(client: &mut AgentClient) {
    let times = (0..20).map(|_| {
        let start = Instant::now();
        assert_eq!(client.ask(LIST)[0], 12);
        start.elapsed()
    });
    let best = times.min().unwrap();
    assert!(best < Duration::from_secs(2), "{best:?}");
}

/// A number of kB from `/proc/PID/status`.
fn status(pid: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.unwrap().trim_start_matches(':').split_whitespace();
    number.into_iter().next().unwrap().parse().unwrap()
}

fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

#[test]
fn a_thousand_clients_that_send_half_a_message_delay_nobody_and_cost_little() {
    many_descriptors();
    let program = free(&["one"]);
    let agent = Served::start(&program);
    let mut other = AgentClient::connect(agent.socket());
    assert_quick(&mut other);
    let before = status(agent.pid(), "VmRSS");
    let half: Vec<_> = (0..1000)
        .map(|_| {
            let mut client = AgentClient::connect(agent.socket());
            client.send(&(256 * 1024_u32).to_be_bytes());
            client
        })
        .collect();
    assert_quick(&mut other);
    for length in [0xffff_fff0, 0x0004_0000_u32] {
        let mut lie = vec![13];
        lie.extend(length.to_be_bytes());
        assert_eq!(other.ask(&lie), [5]);
    }
    let grown = status(agent.pid(), "VmRSS") - before;
    assert!(grown < 32 * 1024, "{grown} kB");
    drop(half);
    eventually(|| descriptors(agent.pid()) < 50);
}

#[test]
fn two_thousand_clients_at_once_are_all_answered() {
    many_descriptors();
    let program = free(&["one"]);
    let agent = Served::start(&program);
    let key = AgentClient::connect(agent.socket()).ask(LIST);
    let key = key[9..9 + u32::from_be_bytes(key[5..9].try_into().unwrap()) as usize].to_vec();
    let mut sign = message(13, &[&key, b"data"]);
    sign.extend([0; 4]);
    let mut clients: Vec<_> = (0..2000)
        .map(|_| AgentClient::connect(agent.socket()))
        .collect();
    for client in &mut clients {
        client.send_message(LIST);
    }
    // Signatures take their turns at the TPM.
    for client in clients.iter_mut().step_by(20) {
        client.send_message(&sign);
    }
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.receive().unwrap()[0], 12, "{number}");
        if number % 20 == 0 {
            assert_eq!(client.receive().unwrap()[0], 14, "{number}");
        }
    }
    drop(clients);
    eventually(|| descriptors(agent.pid()) < 50);
}

/// An agent with this limit of open files.
fn with_files(program: &Program, files: u32) -> testing::Service {
    let socket = socket(&program.home);
    let mut command = program.home.daemon("prlimit");
    command
        .arg(format!("--nofile={files}"))
        .args(["--", env!("CARGO_BIN_EXE_tpmssh")])
        .args(["agent", "--no-ask"]);
    testing::Service::start("tpmssh agent", command, &socket)
}

/// Silent clients make room for others, and the agent uses no processor time.
#[test]
fn with_few_descriptors_idle_clients_make_room_and_the_agent_idles() {
    let program = free(&["one"]);
    let agent = with_files(&program, 64);
    let socket = socket(&program.home);
    let silent: Vec<_> = (0..100)
        .map(|_| UnixStream::connect(&socket).unwrap())
        .collect();
    let mut last = AgentClient::connect(&socket);
    assert_eq!(last.ask(LIST)[0], 12);
    let before = cpu_ticks(agent.pid());
    std::thread::sleep(Duration::from_millis(500));
    let spent = cpu_ticks(agent.pid()) - before;
    // 100 ticks a second: 5 % of half a second, rounded up.
    assert!(spent <= 3, "{spent} ticks of 50");
    drop(silent);
    assert_eq!(last.ask(LIST)[0], 12);
}

/// Another process opens as many connections as it can and keeps them. A host to which the agent
/// is forwarded can do so.
#[test]
fn a_process_that_takes_all_places_keeps_no_other_from_being_served() {
    let program = free(&["one"]);
    let agent = with_files(&program, 256);
    let socket = socket(&program.home);
    let mut other = AgentClient::connect(&socket);
    assert_eq!(other.ask(LIST)[0], 12);
    let flood = "import socket, sys\nopen = []\nprint('begun', flush=True)\n\
                 for _ in range(3000):\n s = socket.socket(socket.AF_UNIX)\n \
                 s.connect(sys.argv[1])\n open.append(s)\n open = open[-900:]\n\
                 print('done', flush=True)\nsys.stdin.read()\n";
    let mut flooding = std::process::Command::new("python3")
        .args(["-c", flood])
        .arg(&socket)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufReader::new(flooding.stdout.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut lines, &mut line).unwrap();
    // While the process opens connections, and when it gets no more, old clients stay and new ones
    // are served.
    while !line.ends_with("done\n") {
        assert_eq!(AgentClient::connect(&socket).ask(LIST)[0], 12);
        if lines.buffer().is_empty() && flooding.try_wait().unwrap().is_none() {
            let mut ready = [rustix::event::PollFd::new(
                lines.get_ref(),
                rustix::event::PollFlags::IN,
            )];
            let at_once = rustix::event::Timespec::default();
            if rustix::event::poll(&mut ready, Some(&at_once)).unwrap() == 0 {
                continue;
            }
        }
        let read = std::io::BufRead::read_line(&mut lines, &mut line).unwrap();
        assert!(
            read > 0,
            "the other process has failed: {:?}",
            end_of(&mut flooding)
        );
    }
    for _ in 0..20 {
        assert_eq!(AgentClient::connect(&socket).ask(LIST)[0], 12);
    }
    assert_eq!(other.ask(LIST)[0], 12);
    drop(flooding.stdin.take());
    assert!(end_of(&mut flooding).success());
    eventually(|| descriptors(agent.pid()) < 50);
}

#[test]
fn with_too_few_descriptors_it_does_not_start_and_says_why() {
    let program = free(&["one"]);
    // With 3 files, the loader of the system does not find a library.
    for files in [4, 5, 6, 8, 39] {
        for way in ["--no-ask", "--daemon"] {
            let mut command = program.home.command("prlimit");
            command
                .arg(format!("--nofile={files}"))
                .args(["--", env!("CARGO_BIN_EXE_tpmssh")])
                .args(["agent", way]);
            Outcome::of(&mut command).fails(
                1,
                &format!(
                    "tpmssh: the limit of open files is {files}, and an agent needs 40\n\
                     hint: raise it: ulimit -n 1024\n"
                ),
            );
        }
    }
    assert!(!socket(&program.home).exists());
}

fn cpu_ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let fields: Vec<_> = fields.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// The memory of a login (19 MiB, by Argon2) is freed each time, not only the first time.
#[test]
fn logins_leave_no_memory_behind() {
    let program = Program::new();
    // With the real cost of the derivation, which other tests leave out.
    let init = ["token", "init", "--label", "work", "--pin-file"];
    let init = [&init[..], &[&program.pin, "--so-pin-file", &program.so_pin]].concat();
    let mut command = program.command();
    Outcome::of(command.args(init).env_remove("TPMSSH_TEST_KDF")).ok();
    program.keygen("first");
    let agent = Served::start(&program);
    let after_login = || {
        let unlock = ["unlock", "--pin-file", &program.pin];
        program.run(&unlock).ok();
        status(agent.pid(), "VmRSS")
    };
    let first = after_login();
    for _ in 0..3 {
        let later = after_login();
        assert!(later < first + 4 * 1024, "{first} then {later} kB");
    }
}

/// Neither descriptors nor memory grow.
#[test]
fn a_thousand_uses_leave_nothing_behind() {
    let program = free(&["one"]);
    let agent = Served::start(&program);
    let list = AgentClient::connect(agent.socket()).ask(LIST);
    let key = &list[9..9 + u32::from_be_bytes(list[5..9].try_into().unwrap()) as usize];
    let mut sign = message(13, &[key, b"data"]);
    sign.extend([0; 4]);
    let some_uses = |count: usize| {
        for number in 0..count {
            let mut client = AgentClient::connect(agent.socket());
            assert_eq!(client.ask(LIST)[0], 12);
            if number % 10 == 0 {
                assert_eq!(client.ask(&sign)[0], 14);
            }
        }
        // The last connections may not have been noticed as closed yet. A leak for each signature
        // would be 50, for each client 500.
        eventually(|| descriptors(agent.pid()) < 30);
        status(agent.pid(), "VmRSS")
    };
    let memory = some_uses(500);
    let memory_later = some_uses(500);
    assert!(
        memory_later <= memory + 512,
        "{memory} then {memory_later} kB"
    );
}
