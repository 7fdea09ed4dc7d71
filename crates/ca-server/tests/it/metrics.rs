//! The counters of a node.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use crate::node::Node;

/// A node with metrics, and their address.
fn counted() -> (Node, String) {
    let mut node = Node::initialised();
    // The port was free a moment ago. If another program takes it meanwhile, the node does not start.
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    node.change_policy("[ek]", &format!("[metrics]\naddress = {address:?}\n\n[ek]"));
    drop(free);
    node.serve();
    (node, address)
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(std::time::Duration::from_secs(30)))
        .unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn requests_are_counted_and_no_label_has_text_from_a_machine() {
    let (node, address) = counted();
    let tpm = node.host("web1");
    node.renew(&tpm).certificate();
    let hostile = "evil\"} 1";
    let mut stranger = crate::node::host(hostile, hostile);
    stranger.principals = vec![hostile.to_owned()];
    assert_eq!(node.begin(&stranger).status, 403);
    node.get("/evil");
    let text = get(&address, "/metrics");
    for line in [
        "tpmssh_ca_requests_total{path=\"/v1/renew\",code=\"200\"} 1",
        "tpmssh_ca_requests_total{path=\"/v1/enroll/begin\",code=\"200\"} 1",
        "tpmssh_ca_requests_total{path=\"/v1/enroll/begin\",code=\"403\"} 1",
        "tpmssh_ca_requests_total{path=\"other\",code=\"404\"} 1",
        "tpmssh_ca_refused_total{check=\"join-token\"} 1",
        "tpmssh_ca_issued_total{kind=\"host\",role=\"host\"} 2",
        "tpmssh_ca_seconds_count{step=\"verify\"} 2",
        "tpmssh_ca_seconds_count{step=\"db\"} 2",
        "tpmssh_ca_seconds_count{step=\"sign\"} 2",
        "tpmssh_ca_sign_queue 0",
        "tpmssh_ca_devices{state=\"active\"} 1",
        "tpmssh_ca_krl_number 1",
        "tpmssh_ca_time_regressions_total 0",
    ] {
        assert!(text.lines().any(|it| it == line), "{line}\n{text}");
    }
    let gauge = |name: &str| {
        let line = text.lines().find_map(|it| it.strip_prefix(name)).unwrap();
        line.trim().parse::<u64>().unwrap()
    };
    assert!(gauge("tpmssh_ca_krl_age_seconds ") < 60);
    assert!(gauge("tpmssh_ca_ticket_key_age_seconds ") < 60);
    assert!(text.contains("# EOF") && !text.contains("evil"), "{text}");

    assert_eq!(node.get("/metrics").refused().0, 404);
    assert!(get(&address, "/v1/renew").starts_with("HTTP/1.1 404 "));
    // The address of the metrics is used from the start, and cannot be changed by a reload.
    node.change_policy(&address, "127.0.0.1:1");
    let (code, _, said) = node.run(&["policy", "reload"]);
    assert!(
        code == 1 && said.contains("metrics.address is another one"),
        "{said}"
    );
    node.wait_until_printed("nothing is reloaded");
}

/// An alert for a counter that does not exist would never fire.
#[test]
fn each_alert_uses_counters_that_exist() {
    let (node, address) = counted();
    let tpm = node.host("web1");
    node.renew(&tpm).certificate();
    node.get("/v1/krl");
    assert_eq!(node.post("/v1/renew", b"{}").status, 400);
    let root = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../packaging/prometheus/tpmssh-ca.rules.yml"
    );
    let rules = fs::read_to_string(root).unwrap();
    let is_part = |letter: char| letter.is_ascii_lowercase() || letter == '_';
    let mut named = BTreeSet::new();
    for line in rules
        .lines()
        .filter(|it| it.trim_start().starts_with("expr:"))
    {
        for (at, _) in line.match_indices("tpmssh_ca_") {
            let name: String = line[at..].chars().take_while(|it| is_part(*it)).collect();
            named.insert(name);
        }
    }
    assert!(named.len() >= 6, "{named:?}");
    let text = get(&address, "/metrics");
    for name in named {
        let has = |line: &str| {
            line.strip_prefix(&name)
                .is_some_and(|it| it.starts_with(['{', ' ']))
        };
        assert!(text.lines().any(has), "no {name}\n{text}");
    }
    // Each alert has all its fields.
    let count = |what: &str| rules.matches(what).count();
    let alerts = count("- alert: ");
    assert!(alerts >= 6);
    for part in [
        "        expr: ",
        "labels: {severity: ",
        "          summary: ",
    ] {
        assert_eq!(count(part), alerts, "{part}");
    }
}
