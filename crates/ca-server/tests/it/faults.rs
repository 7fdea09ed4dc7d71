//! The node and its agent end at the worst moments.

use std::io::Read;
use std::os::unix::net::UnixListener;
use std::sync::mpsc;

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

/// Killed at any moment of many renewals: each certificate that came out has its row.
#[test]
fn no_certificate_is_without_a_row_whenever_the_node_is_killed() {
    let mut node = Node::start();
    let tpm = node.host("web1");
    for wait in [3, 7, 11, 17, 23] {
        let pid = rustix::process::Pid::from_raw(i32::try_from(node.pid()).unwrap()).unwrap();
        let serials: Vec<u64> = std::thread::scope(|scope| {
            scope.spawn(move || {
                std::thread::sleep(std::time::Duration::from_millis(200 + wait));
                rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
            });
            let mut got = Vec::new();
            while let Some(answer) = node.try_renew(&tpm) {
                got.push(answer.certificate().serial());
            }
            got
        });
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
