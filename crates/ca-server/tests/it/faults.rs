//! The node and its agent fail at the worst moments.

use std::fs;
use std::io::Read;
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::sync::mpsc;

use rustix::process::{Resource, Rlimit};

use crate::node::{Answer, Node, host, renewal};
use crate::software_tpm::SoftwareTpm;

#[test]
fn without_the_agent_there_is_no_certificate_and_no_row() {
    let mut node = Node::start();
    let tpm = node.host("web1");
    let new = host("web2", &node.token("host", "web2"));
    let proof = node.proof(&new);
    node.stop_agent();
    for answer in [node.renew(&tpm), node.finish(&proof)] {
        assert_eq!(answer.refused().0, 503);
        let again = answer.retry_after();
        assert!((30..=60).contains(&again), "{}", answer.head);
    }
    assert_eq!((node.rows("issued"), node.rows("device")), (1, 1));
    node.start_agent();
    node.renew(&tpm).certificate();
    node.finish(&proof).certificate();
}

/// The node is killed while the key signs: there is no row, and the token is still valid.
#[test]
fn a_node_that_is_killed_while_it_signs_has_issued_nothing() {
    let mut node = Node::start();
    let tpm = host("web1", &node.token("host", "web1"));
    let proof = node.proof(&tpm);
    node.stop_agent();
    let socket = node.at("agent");
    let _ = std::fs::remove_file(&socket);
    // An agent that reads the request and never answers.
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

/// A full disk accepts a part of a line. When there is space again, the log continues without a fault.
#[test]
fn a_full_disk_stops_certificates_and_not_the_authority() {
    let mut node = Node::initialised();
    lengthen(&node);
    let log = node.own("audit.log");
    let len = || fs::metadata(&log).unwrap().len();
    // The signal for the limit (SIGXFSZ) would kill the node. A full disk sends no signal.
    let mut command = Command::new("sh");
    command.args([
        "-c",
        "trap '' XFSZ; exec \"$0\" \"$@\"",
        env!("CARGO_BIN_EXE_tpmssh-ca"),
    ]);
    node.serve_by(command.arg("--dir").arg(node.at("ca")).arg("serve"));
    let tpm = node.host("web1");
    let limit = |bytes: Option<u64>| limit_files(&node, bytes);
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

/// A request of a machine.
#[derive(Debug, Clone, Copy)]
enum Act {
    Renew,
    Enrol,
}

impl Act {
    /// Each try uses a new nonce, because a nonce is lost with the node that made it.
    fn ask(self, node: &Node, tpm: &SoftwareTpm, then: impl FnOnce()) -> Option<Answer> {
        let (path, body) = match self {
            Self::Renew => ("/v1/renew", renewal(tpm, node.nonce()).to_json()),
            Self::Enrol => ("/v1/enroll/finish", node.proof(tpm).to_json()),
        };
        then();
        node.try_post(path, body.as_bytes())
    }
}

/// Sends a request to a node whose files may not become longer than `length` allows. If that kills the node, the machine asks again and gets a
/// certificate; returns how many rows that has.
fn killed_at(node: &mut Node, act: Act, length: impl FnOnce(&Node) -> u64) -> Option<i64> {
    let name = format!("web{}", node.rows("device"));
    let tpm = match act {
        Act::Renew => node.host(&name),
        Act::Enrol => host(&name, &node.token("host", &name)),
    };
    // The registry is merged into one file, so that its journal starts empty.
    assert_eq!(node.terminate(), Some(0));
    node.serve();
    let rows = node.rows("issued");
    let answer = act.ask(node, &tpm, || limit_files(node, Some(length(node))));
    let issued = node.rows("issued") - rows;
    if let Some(answer) = answer {
        answer.certificate();
        assert_eq!(issued, 1);
        limit_files(node, None);
        return None;
    }
    node.kill();
    node.serve();
    let said = node.ok(&["audit", "verify"]);
    assert!(said.contains(" lines, each follows"), "{said}");
    act.ask(node, &tpm, || ()).unwrap().certificate();
    assert_eq!(node.rows("issued"), rows + issued + 1);
    Some(issued)
}

/// The kernel kills a process that writes beyond the length that files may have (SIGXFSZ). With one length after the other, the node is
/// killed at each write of the registry, also in the middle of one, and then at the write of the audit log.
#[test]
fn a_node_that_is_killed_at_any_write_has_a_row_for_each_certificate() {
    for act in [Act::Renew, Act::Enrol] {
        let mut node = Node::start();
        let mut length = 0;
        while killed_at(&mut node, act, |_| length) == Some(0) {
            length += 1500;
        }
        // The journal has several pages for each certificate.
        assert!(length > 10_000, "{act:?}: {length}");
        assert_eq!(node.terminate(), Some(0));
        lengthen(&node);
        node.serve();
        for more in [0, 1, 100] {
            let issued = killed_at(&mut node, act, |node| {
                fs::metadata(node.own("audit.log")).unwrap().len() + more
            });
            assert_eq!(issued, Some(1), "{act:?} {more}");
        }
    }
}

/// Makes the audit log longer than the files of the registry, so that the limit hits the log first.
fn lengthen(node: &Node) {
    let log = node.own("audit.log");
    let audit = ca_server::audit::Audit::open(&log).unwrap();
    let long = "\u{e0001}".repeat(128);
    for _ in 0..100 {
        let facts = ["a", "b", "c", "d", "e"].map(|name| (name, long.clone()));
        audit.write(0, "test", &facts).unwrap();
    }
    assert!(fs::metadata(&log).unwrap().len() > 600_000);
}

/// The longest that files of the node may become, in bytes; `None` for no limit.
fn limit_files(node: &Node, bytes: Option<u64>) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(node.pid()).unwrap());
    let maximum = rustix::process::getrlimit(Resource::Fsize).maximum;
    let current = bytes.or(maximum);
    rustix::process::prlimit(pid, Resource::Fsize, Rlimit { current, maximum }).unwrap();
}

/// The node is killed at any moment of many renewals. Each certificate that a machine got has its row.
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
