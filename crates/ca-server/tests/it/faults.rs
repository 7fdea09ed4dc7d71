//! The node and its agent end at the worst moments.

use std::fs;
use std::io::Read;
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::sync::mpsc;

use rustix::process::{Resource, Rlimit};

use crate::node::{Node, host};

#[test]
fn without_the_agent_there_is_no_certificate_and_no_row() {
    let mut node = Node::start();
    let tpm = node.host("web1");
    let new = host("web2", &node.token("host", "web2"));
    let proof = node.proof(&new);
    node.stop_agent();
    for answer in [node.renew(&tpm), node.finish(&proof)] {
        assert_eq!(answer.refused().0, 503);
        assert!(answer.head.contains("retry-after: 30"), "{}", answer.head);
    }
    assert_eq!((node.rows("issued"), node.rows("device")), (1, 1));
    node.start_agent();
    node.renew(&tpm).certificate();
    node.finish(&proof).certificate();
}

/// Killed while the key signs: no row, and the token is still good.
#[test]
fn a_node_that_is_killed_while_it_signs_has_issued_nothing() {
    let mut node = Node::start();
    let tpm = host("web1", &node.token("host", "web1"));
    let proof = node.proof(&tpm);
    node.stop_agent();
    let socket = node.at("agent");
    let _ = std::fs::remove_file(&socket);
    // An agent that takes the question and never answers.
    let listener = UnixListener::bind(&socket).unwrap();
    let (asked, was_asked) = mpsc::channel();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut len = [0; 4];
        stream.read_exact(&mut len).unwrap();
        asked.send(()).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    std::thread::scope(|scope| {
        let waiting = &node;
        let finish = scope.spawn(|| waiting.finish(&proof));
        was_asked.recv().unwrap();
        let pid = rustix::process::Pid::from_raw(i32::try_from(waiting.pid()).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        assert_eq!(finish.join().unwrap().status, 0);
    });
    node.kill();
    assert_eq!(
        (
            node.rows("issued"),
            node.rows("device"),
            node.rows("used_nonce")
        ),
        (0, 0, 0)
    );
    node.start_agent();
    node.serve();
    node.enrol(&tpm).certificate();
}

#[test]
fn a_registry_that_cannot_be_written_gives_no_certificate() {
    let node = Node::start();
    let tpm = node.host("web1");
    let locked = rusqlite::Connection::open(node.own("registry.db")).unwrap();
    locked.execute_batch("BEGIN EXCLUSIVE").unwrap();
    assert_eq!(node.renew(&tpm).refused().0, 503);
    locked.execute_batch("ROLLBACK").unwrap();
    assert_eq!(node.rows("issued"), 1);
    node.renew(&tpm).certificate();
}

/// A disk that is full takes half of a line. Once there is room, the log goes on as if nothing had been.
#[test]
fn a_full_disk_stops_certificates_and_not_the_authority() {
    let mut node = Node::initialised();
    // Longer than the files of the registry, which are to have room.
    let log = node.own("audit.log");
    let audit = ca_server::audit::Audit::open(&log).unwrap();
    let long = "\u{e0001}".repeat(128);
    for _ in 0..100 {
        let facts = ["a", "b", "c", "d", "e"].map(|name| (name, long.clone()));
        audit.write(0, "test", &facts).unwrap();
    }
    drop(audit);
    let len = || fs::metadata(&log).unwrap().len();
    assert!(len() > 600_000);
    // The signal of the limit would end it; a full disk sends none.
    let mut command = Command::new("sh");
    command.args([
        "-c",
        "trap '' XFSZ; exec \"$0\" \"$@\"",
        env!("CARGO_BIN_EXE_tpmssh-ca"),
    ]);
    node.serve_by(command.arg("--dir").arg(node.at("ca")).arg("serve"));
    let tpm = node.host("web1");
    let limit = |bytes: Option<u64>| {
        let pid = rustix::process::Pid::from_raw(i32::try_from(node.pid()).unwrap());
        let maximum = rustix::process::getrlimit(Resource::Fsize).maximum;
        let current = bytes.or(maximum);
        rustix::process::prlimit(pid, Resource::Fsize, Rlimit { current, maximum }).unwrap();
    };
    for room in [0, 1, 100] {
        limit(Some(len() + room));
        assert_eq!(node.renew(&tpm).refused().0, 503, "{room}");
        assert_eq!(node.renew(&tpm).refused().0, 503, "{room}");
        limit(None);
        node.renew(&tpm).certificate();
        node.ok(&["audit", "verify"]);
    }
    limit(Some(len() + 10));
    let (code, _, said) = node.run(&["device", "revoke", "1"]);
    let says = "tpmssh-ca: it is done, but it cannot be written into the audit log: ";
    assert!(code == 1 && said.starts_with(says), "{said}");
    limit(None);
    assert_eq!(node.renew(&tpm).refused().0, 410);
    assert_eq!(node.terminate(), Some(0));
    node.serve();
}

/// Killed at any moment of many renewals: each certificate that came out has its row.
#[test]
fn no_certificate_is_without_a_row_whenever_the_node_is_killed() {
    let mut node = Node::start();
    let tpm = node.host("web1");
    for wait in [3, 7, 11, 17, 23] {
        let pid = rustix::process::Pid::from_raw(i32::try_from(node.pid()).unwrap()).unwrap();
        let (first, is_first) = mpsc::channel();
        let serials: Vec<u64> = std::thread::scope(|scope| {
            scope.spawn(move || {
                is_first.recv().unwrap();
                std::thread::sleep(std::time::Duration::from_millis(wait));
                rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
            });
            let mut got = Vec::new();
            while let Some(answer) = node.try_renew(&tpm) {
                got.push(answer.certificate().serial());
                let _ = first.send(());
            }
            got
        });
        assert!(!serials.is_empty());
        node.kill();
        let db = rusqlite::Connection::open(node.own("registry.db")).unwrap();
        for serial in serials {
            let sql = "SELECT count(*) FROM issued WHERE serial = ?";
            let rows: i64 = db
                .query_row(sql, [serial.cast_signed()], |row| row.get(0))
                .unwrap();
            assert_eq!(rows, 1, "certificate {serial} has no row");
        }
        drop(db);
        node.serve();
    }
    assert!(
        node.ok(&["audit", "verify"])
            .contains(" lines, each follows")
    );
}
