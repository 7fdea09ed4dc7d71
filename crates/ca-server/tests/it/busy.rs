//! A node with more work than it can do soon.

use std::time::{Duration, Instant};

use crate::node::{Node, renewal, wait};

/// The number of renewals that are worked on at the same time.
const WORKERS: usize = 12;

/// A program holds the lock of the registry, so the renewals that have begun take long. A nonce is refused like a renewal, before the
/// machine's TPM has signed anything for it.
#[test]
fn a_node_that_is_too_busy_refuses_a_nonce_before_a_tpm_signs() {
    let node = Node::start();
    let tpm = node.host("web1");
    let renewals: Vec<_> = (0..WORKERS)
        .map(|_| renewal(&tpm, node.nonce()).to_json())
        .collect();
    let registry = rusqlite::Connection::open(node.own("registry.db")).unwrap();
    registry.execute_batch("BEGIN IMMEDIATE").unwrap();
    std::thread::scope(|scope| {
        let slow: Vec<_> = renewals
            .iter()
            .map(|body| scope.spawn(|| node.post("/v1/renew", body.as_bytes())))
            .collect();
        let mut refused = None;
        wait(|| {
            let begun = Instant::now();
            let answer = node.get("/v1/nonce");
            refused = (answer.status != 200).then_some((answer, begun.elapsed()));
            refused.is_some()
        });
        let (answer, waited) = refused.unwrap();
        let (status, code, detail) = answer.refused();
        let said = (status, code.as_str(), detail.as_str());
        assert_eq!(
            said,
            (503, "busy", "the authority cannot do this now"),
            "{waited:?}"
        );
        // Machines that are sent away come again at different times.
        assert!(answer.retry_after() >= 2, "{}", answer.head);
        assert!(waited < Duration::from_secs(10), "{waited:?}");
        // The node lives meanwhile.
        assert_eq!(node.get("/healthz").status, 200);
        registry.execute_batch("COMMIT").unwrap();
        for one in slow {
            let status = one.join().unwrap().status;
            // One that waited too long for the registry or for a worker is refused as well.
            assert!([200, 503].contains(&status), "{status}");
        }
    });
    wait(|| node.get("/v1/nonce").status == 200);
    node.renew(&tpm).certificate();
}
