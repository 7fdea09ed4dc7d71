//! Other agents behind this one.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::mpsc;
use std::thread;

use testing::{frame, message};
use tpm_core::KeyType;

use crate::host::Host;
use crate::served::{FAILURE, Fixture, LIST, SUCCESS, blobs, extension, sign};

/// An agent that tells what it is asked and gives prepared answers, one connection at a time.
fn scripted(
    socket: &Path,
    answer: impl Fn(&[u8]) -> Vec<u8> + Send + 'static,
) -> mpsc::Receiver<Vec<u8>> {
    let listener = UnixListener::bind(socket).unwrap();
    let (seen, asked) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut header = [0; 4];
            while stream.read_exact(&mut header).is_ok() {
                let mut request = vec![0; u32::from_be_bytes(header) as usize];
                stream.read_exact(&mut request).unwrap();
                // By which a request that comes back is known; other agents know it not.
                if request.starts_with(&extension("proxy-path@tpmssh", &[])) {
                    stream.write_all(&frame(FAILURE)).unwrap();
                    continue;
                }
                let reply = answer(&request);
                if seen.send(request).is_err() {
                    return;
                }
                stream.write_all(&frame(&reply)).unwrap();
            }
        }
    });
    asked
}

#[test]
fn what_is_not_held_here_passes_unread_to_the_other_agent() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("upstream");
    let asked = scripted(&socket, |request| match request[0] {
        11 => [
            message(12, &[]),
            vec![0, 0, 0, 1],
            frame(b"\0\0\0\x07ssh-new"),
            frame(b"new"),
        ]
        .concat(),
        13 => b"\x0egarbage".to_vec(),
        17 => vec![6],
        27 => b"\x1dwhatever".to_vec(),
        _ => vec![5],
    });
    let agent = Fixture::new(&[KeyType::EccP256]).proxy(&socket).serve();
    let mut client = agent.client();
    let seen = |request: &[u8]| assert_eq!(asked.recv().unwrap(), request);

    assert_eq!(blobs(&mut client), [agent.key(), b"\0\0\0\x07ssh-new"]);
    seen(LIST);
    for (request, answer) in [
        (sign(b"\0\0\0\x07ssh-new", b"data", 7), &b"\x0egarbage"[..]),
        (message(17, &[b"ssh-new", b"private"]), SUCCESS),
        (extension("new@example.org", b"\x01\x02"), b"\x1dwhatever"),
        (message(18, &[b"\0\0\0\x07ssh-new"]), FAILURE),
    ] {
        assert_eq!(client.ask(&request), answer);
        seen(&request);
    }
    assert_eq!(client.ask(&sign(agent.key(), b"data", 0))[0], 14);
    assert!(asked.try_recv().is_err(), "our own key is our own affair");
}

#[test]
fn the_other_agent_knows_of_every_bind_and_of_refused_ones() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("upstream");
    let asked = scripted(&socket, |_| vec![6]);
    let agent = Fixture::new(&[]).proxy(&socket).serve();
    let mut client = agent.client();
    let good = extension("session-bind@openssh.com", &Host::new(1).bind(b"s", true));
    let bad = extension("session-bind@openssh.com", b"nonsense");
    assert_eq!(client.ask(&good), SUCCESS);
    assert_eq!(client.ask(&bad), [28]);
    assert_eq!(client.ask(&bad), [28]);
    let request = sign(b"other", b"data", 0);
    client.ask(&request);
    for expected in [good, bad, request] {
        assert_eq!(asked.recv().unwrap(), expected);
    }
    assert!(asked.try_recv().is_err());
}

#[test]
fn an_agent_that_hangs_or_is_not_there_hides_no_key() {
    let dir = tempfile::tempdir().unwrap();
    let hangs = dir.path().join("hangs");
    let _listener = UnixListener::bind(&hangs).unwrap();
    let agent = Fixture::new(&[KeyType::EccP256])
        .proxy(&dir.path().join("nobody"))
        .proxy(&hangs)
        .serve();
    let mut client = agent.client();
    assert_eq!(blobs(&mut client), agent.fixture.keys);
    assert_eq!(client.ask(&sign(agent.key(), b"data", 0))[0], 14);
}
