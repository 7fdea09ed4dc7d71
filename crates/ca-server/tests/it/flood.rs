//! A flood of requests, more than a node can answer: known machines still renew.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::node::{Node, host};

/// The number of requests by unknown TPMs.
const BEGINS: usize = 10_000;
/// The number of connections of the flood.
const CONNECTIONS: usize = 8;

/// A connection that is kept for many requests.
struct Kept<'a> {
    node: &'a Node,
    stream: BufReader<TcpStream>,
}

impl<'a> Kept<'a> {
    fn new(node: &'a Node) -> Self {
        let stream = BufReader::new(node.connect());
        Self { node, stream }
    }

    /// The status of the answer. Connects again if the node has closed the connection, which it does after half a minute.
    fn begin(&mut self, body: &str) -> u16 {
        self.try_begin(body).unwrap_or_else(|| {
            *self = Self::new(self.node);
            self.try_begin(body).unwrap()
        })
    }

    fn try_begin(&mut self, body: &str) -> Option<u16> {
        let head = format!(
            "POST /v1/enroll/begin HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.get_mut().write_all(head.as_bytes()).ok()?;
        let (mut status, mut len) = (None, 0);
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if status.is_none() {
                status = line.split(' ').nth(1)?.parse().ok();
            } else if let Some(value) = line.strip_prefix("content-length:") {
                len = value.trim().parse().ok()?;
            }
        }
        self.stream.read_exact(&mut vec![0; len]).ok()?;
        status
    }
}

/// A request by another TPM each time. The node checks first whether it knows the endorsement key.
fn stranger(request: &serde_json::Value, number: usize) -> String {
    use base64ct::{Base64, Encoding};
    let mut request = request.clone();
    let mut ek = Base64::decode_vec(request["ek"].as_str().unwrap()).unwrap();
    let end = ek.len();
    ek[end - 8..].copy_from_slice(&number.to_be_bytes());
    request["ek"] = Base64::encode_string(&ek).into();
    request.to_string()
}

/// The memory of the node, in KiB.
fn memory(node: &Node) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", node.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.unwrap().split_whitespace().next().unwrap();
    kib.parse().unwrap()
}

/// The processor time of the node.
fn computed(node: &Node) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{}/stat", node.pid())).unwrap();
    let (_, rest) = stat.rsplit_once(')').unwrap();
    // utime and stime are fields 14 and 15, in hundredths of a second.
    let ticks = rest.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.map(|it| it.parse::<u64>().unwrap()).sum();
    Duration::from_millis(10 * ticks)
}

/// `cargo xtask bench --only fleet` measures the optimised program. The limits here hold on any machine.
#[test]
fn ten_thousand_strangers_do_not_keep_a_machine_from_its_renewal() {
    let node = Node::start();
    let tpm = host("web1", &node.token("host", "web1"));
    node.enrol(&tpm).certificate();
    let request = host("web2", "").request().to_json();
    let request: serde_json::Value = serde_json::from_str(&request).unwrap();
    let lines = || {
        let log = fs::read_to_string(node.own("audit.log")).unwrap();
        log.lines().filter(|it| it.contains("\"V3\"")).count()
    };
    // The first requests fill the memory that the node reuses.
    let mut first = Kept::new(&node);
    for number in 0..100 {
        assert_eq!(first.begin(&stranger(&request, BEGINS + number)), 403);
    }
    let (before, computed_before) = (memory(&node), computed(&node));
    let next = AtomicUsize::new(0);
    let (mut slowest, mut renewals) = (Duration::ZERO, 0);
    thread::scope(|scope| {
        let flood: Vec<_> = (0..CONNECTIONS)
            .map(|_| {
                scope.spawn(|| {
                    let mut connection = Kept::new(&node);
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= BEGINS {
                            return;
                        }
                        assert_eq!(connection.begin(&stranger(&request, number)), 403);
                    }
                })
            })
            .collect();
        while !flood.iter().all(|it| it.is_finished()) {
            let begun = Instant::now();
            node.renew(&tpm).certificate();
            slowest = slowest.max(begun.elapsed());
            renewals += 1;
        }
    });
    assert!(renewals > 0);
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    let each = (computed(&node) - computed_before) / u32::try_from(BEGINS).unwrap();
    assert!(each < Duration::from_millis(5), "{each:?} for each");
    let more = memory(&node).saturating_sub(before);
    assert!(more < 16 * 1024, "{more} KiB more than before");
    assert_eq!(lines(), BEGINS + 100);
    let said = node.ok(&["audit", "verify"]);
    assert!(said.contains(" lines, each follows"), "{said}");
}

/// The requests of all networks come through one proxy, which names their sources.
#[test]
fn behind_a_proxy_each_network_has_a_limit_of_its_own() {
    let mut node = Node::start();
    let tpm = node.host("web1");
    let stranger = host("web2", "").request().to_json();
    let begin =
        |node: &Node, head: &str| node.ask("POST", "/v1/enroll/begin", head, stranger.as_bytes());
    let from = |node: &Node, source: &str| {
        begin(node, &format!("X-Forwarded-For: 127.0.0.1, {source}\r\n"))
    };
    // The part of the header that the client wrote is ignored.
    for _ in 0..30 {
        assert_eq!(from(&node, "192.0.2.1").status, 403);
    }
    node.restart_with(
        "[listen]\n",
        "[listen]\ntrusted_proxies = [\"127.0.0.1\"]\n",
    );
    let asked: Vec<_> = (0..60).map(|_| from(&node, "192.0.2.1")).collect();
    let last = asked.iter().find(|it| it.status == 429).unwrap();
    let too_often = (
        429,
        "too-often".to_owned(),
        "too many requests come from there".to_owned(),
    );
    assert_eq!(last.refused(), too_often);
    assert!((1..=11).contains(&last.retry_after()), "{}", last.head);
    // With the same key from another network: six at once, and then one every ten seconds.
    let passed = (0..20).filter(|_| from(&node, "198.51.100.1").status == 403);
    assert!((6..=12).contains(&passed.count()));
    assert_eq!(from(&node, "203.0.113.1").status, 403);
    assert_eq!(begin(&node, "").status, 403);
    node.renew(&tpm).certificate();

    // A text that is not a network.
    assert_eq!(node.terminate(), Some(0));
    node.change_policy("\"127.0.0.1\"]", "\"127.0.0.1/8\"]");
    let (code, _, said) = node.run(&["policy", "check"]);
    let why = "\"127.0.0.1/8\" is no network, such as 192.0.2.7 or 10.0.0.0/8";
    assert!(code != 0 && said.contains(why), "{code} {said}");
}
