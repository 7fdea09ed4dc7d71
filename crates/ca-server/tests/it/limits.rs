//! Bodies that are too long, too deep, too slow or missing, and limits of the system.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};

use rustix::process::{Resource, Rlimit};

use crate::node::{Node, shown};

#[test]
fn bodies_that_are_not_requests_are_refused_and_the_node_goes_on() {
    let node = Node::start();
    let deep = "[".repeat(60_000);
    let deep_field = format!("{{\"format\":\"tpmssh-request-v1\",\"ek\":{deep}");
    for path in ["/v1/enroll/begin", "/v1/enroll/finish", "/v1/renew"] {
        for body in [
            "",
            "{}",
            "null",
            "\u{0}",
            &deep,
            &deep_field,
            "{\"format\":\"tpmssh-statement-v1\"}",
        ] {
            let answer = node.post(path, body.as_bytes());
            assert_eq!(answer.refused().0, 400, "{path} {:.40}", body);
            assert_eq!(answer.refused().1, "malformed");
        }
        let long = vec![b' '; 64 * 1024 + 1];
        let too_long = (
            413,
            "too-long".to_owned(),
            "the body is longer than 64 KiB".to_owned(),
        );
        assert_eq!(node.post(path, &long).refused(), too_long);
    }
    assert_eq!(node.get("/v1/renew").refused().0, 405);
    assert_eq!(node.post("/v1/nonce", b"").refused().0, 405);
    assert_eq!(node.get("/admin").refused().0, 404);
    assert_eq!(node.get("/healthz").status, 200);
    let head = format!("X: {}\r\n", "y".repeat(16 * 1024));
    assert_eq!(node.ask("GET", "/healthz", &head, b"").status, 431);
    assert_eq!(node.get("/healthz").status, 200);
}

#[test]
fn a_machine_that_sends_nothing_is_disconnected() {
    let node = Node::start();
    let mut silent = node.connect();
    let mut slow = node.connect();
    slow.write_all(b"POST /v1/renew HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
        .unwrap();
    let begun = std::time::Instant::now();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    silent.read_to_end(&mut Vec::new()).unwrap();
    assert!(begun.elapsed().as_secs() < 20);
}

/// The program with `ulimit OPTIONS`.
fn limited(node: &Node, options: &str) -> Command {
    let mut shell = Command::new("sh");
    let script = format!("ulimit {options} && exec \"$0\" --dir \"$1\" serve");
    let program = env!("CARGO_BIN_EXE_tpmssh-ca");
    shell.args(["-c", &script, program]).arg(node.at("ca"));
    shell
}

#[test]
fn a_node_raises_its_limit_of_open_files_and_says_so_if_it_is_low() {
    let mut node = Node::initialised();
    node.serve_by(&mut limited(&node, "-S -n 40"));
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", node.pid())).unwrap();
    let files = limits.lines().find(|it| it.starts_with("Max open files"));
    let soft = files.unwrap().split_whitespace().nth(3);
    assert_eq!(soft, Some("1152"), "{limits}");
    assert_eq!(node.terminate(), Some(0));

    let output = limited(&node, "-n 191").output().unwrap();
    let says =
        "tpmssh-ca: a node needs 192 open files, and may have 191 (ulimit -n, LimitNOFILE=)\n";
    assert_eq!(shown(&output), (1, String::new(), says.to_owned()));

    let few = "tpmssh-ca: with 192 open files there are 64 connections at a time, and not 1024 (ulimit -n, LimitNOFILE=)";
    let mut child = limited(&node, "-n 192")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    let _ = child.kill();
    child.wait().unwrap();
    assert_eq!(first, few);
}

/// All connections are open and silent. The administrator can still stop the node.
#[test]
fn a_node_whose_connections_are_all_taken_ends_at_once() {
    // Each connection needs an open file in this process and in the node.
    let mut files = rustix::process::getrlimit(Resource::Nofile);
    files.current = files.maximum;
    rustix::process::setrlimit(Resource::Nofile, Rlimit { ..files }).unwrap();
    let mut node = Node::start();
    let begun = std::time::Instant::now();
    let _silent: Vec<_> = (0..1024)
        .map(|_| {
            // The kernel's queue for connections that are not accepted yet may be full.
            std::thread::sleep(std::time::Duration::from_millis(1));
            node.connect()
        })
        .collect();
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert_eq!(node.terminate(), Some(0));
    // After ten seconds the node would close the first connection.
    assert!(begun.elapsed().as_secs() < 9, "{:?}", begun.elapsed());
}
