//! Other agents, which get the requests for keys that this one does not hold.
//!
//! Messages pass unread, so that kinds of keys which are unknown here pass as well. Each one
//! has a connection of its own: an agent that was restarted is found again.
//!
//! Agents can be behind each other in a circle. So the first message on each connection is an
//! extension with the ids of the agents that the request has passed ([`Path`]); an agent that
//! finds its own id there answers with a failure. An agent of another kind in the circle may
//! drop that, so the requests that wait for one agent at a time are limited as well.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand_core::{OsRng, RngCore};
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::protocol::{Frame, Listed, PROXY_PATH, await_frame, fields, framed, put_string};

/// How long another agent may take; it may be waiting for a person.
const PATIENCE: Duration = Duration::from_secs(180);
/// How long it may take to list its keys, for which nobody has to be asked.
const LIST_PATIENCE: Duration = Duration::from_secs(2);

const FAILURE: u8 = 5;
const EXTENSION: u8 = 27;
const IDENTITIES_ANSWER: u8 = 12;

/// The most requests that wait for one agent at a time; further ones wait for their turn.
const MOST_WAITING: usize = 32;
/// The most agents that a request passes.
const MOST_AGENTS: usize = 8;

/// Random bytes that identify a running agent.
type Id = [u8; 16];

/// The agents that a client's requests have passed before this one.
#[derive(Debug, Default)]
pub(crate) struct Path {
    passed: Vec<Id>,
    /// Whether this agent is among them. It has then already answered what it can.
    comes_back: bool,
    /// Whether there are too many of them.
    is_long: bool,
}

impl Path {
    /// Whether the client's requests come from this agent itself.
    pub(crate) fn comes_back(&self) -> bool {
        self.comes_back
    }
}

/// What other agents have to know before a client's request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Passing<'a> {
    /// The client's `session-bind` messages.
    pub(crate) binds: &'a [Frame],
    pub(crate) path: &'a Path,
}

#[derive(Debug)]
struct Upstream {
    socket: PathBuf,
    places: Semaphore,
}

/// The other agents, in the order in which they are asked.
#[derive(Debug)]
pub(crate) struct Upstreams {
    id: Id,
    others: Vec<Upstream>,
    /// Whether the log already has a warning about a circle.
    told: AtomicBool,
}

impl Upstreams {
    pub(crate) fn new(sockets: Vec<PathBuf>) -> Self {
        let mut id = Id::default();
        OsRng.fill_bytes(&mut id);
        let upstream = |socket| Upstream {
            socket,
            places: Semaphore::new(MOST_WAITING),
        };
        Self {
            id,
            others: sockets.into_iter().map(upstream).collect(),
            told: AtomicBool::default(),
        }
    }

    /// Where they listen.
    pub(crate) fn sockets(&self) -> impl Iterator<Item = &std::path::Path> {
        self.others.iter().map(|other| other.socket.as_path())
    }

    /// Sets `path` to the ids that another agent has sent for a connection. Returns whether they
    /// can be read.
    pub(crate) fn came_by(&self, path: &mut Path, contents: &[u8]) -> bool {
        let (ids, []) = contents.as_chunks() else {
            return false;
        };
        path.passed = ids.iter().copied().take(MOST_AGENTS).collect();
        path.comes_back = ids.contains(&self.id);
        path.is_long = ids.len() >= MOST_AGENTS;
        let what = match (path.comes_back, path.is_long) {
            (true, _) => "came back",
            (false, true) => "has passed 8 agents",
            (false, false) => return true,
        };
        if !self.told.swap(true, Ordering::Relaxed) {
            log::warn!("a request {what}: it goes no further; see --proxy of the agents it passed");
        }
        true
    }

    /// The agents to ask for a client with this path.
    fn asked(&self, passing: Passing<'_>) -> &[Upstream] {
        if passing.path.comes_back || passing.path.is_long {
            &[]
        } else {
            &self.others
        }
    }

    /// The messages that go before a client's request.
    fn introduction(&self, passing: Passing<'_>) -> Vec<Frame> {
        let mut ids = passing.path.passed.clone();
        ids.push(self.id);
        let mut path = vec![EXTENSION];
        put_string(&mut path, PROXY_PATH.as_bytes());
        path.extend_from_slice(ids.as_flattened());
        let binds = passing.binds.iter().cloned();
        [Frame::new(path)].into_iter().chain(binds).collect()
    }

    /// The first answer that is not a failure.
    pub(crate) async fn ask(&self, passing: Passing<'_>, message: &[u8]) -> Option<Vec<u8>> {
        let before = self.introduction(passing);
        for upstream in self.asked(passing) {
            if let Some(answer) = upstream.ask(&before, message, PATIENCE).await {
                return Some(answer);
            }
        }
        None
    }

    /// Sends `message` to all; returns whether all have carried it out.
    pub(crate) async fn tell_all(&self, passing: Passing<'_>, message: &[u8]) -> bool {
        let before = self.introduction(passing);
        let mut done = true;
        for upstream in self.asked(passing) {
            let answer = upstream.ask(&before, message, PATIENCE).await;
            done &= answer.is_some();
        }
        done
    }

    /// The keys of all of them.
    pub(crate) async fn list(&self, passing: Passing<'_>) -> Vec<Listed> {
        let before = self.introduction(passing);
        let mut keys = Vec::new();
        for upstream in self.asked(passing) {
            let Some(answer) = upstream.ask(&before, &[11], LIST_PATIENCE).await else {
                continue;
            };
            match listed(&answer) {
                Some(mut listed) => keys.append(&mut listed),
                None => log::warn!("{}: not a list of keys", upstream.socket.display()),
            }
        }
        keys
    }
}

impl Upstream {
    /// The agent's answer to `message` after those of `before`; `None` for a failure, which is
    /// logged if it is not the agent's own.
    async fn ask(&self, before: &[Frame], message: &[u8], patience: Duration) -> Option<Vec<u8>> {
        let asked = async {
            let _place = self.places.acquire().await.map_err(io::Error::other)?;
            self.exchange(before, message).await
        };
        let socket = self.socket.display();
        match timeout(patience, asked).await {
            Ok(Ok(answer)) => (answer.first() != Some(&FAILURE)).then_some(answer),
            Ok(Err(err)) => {
                log::warn!("cannot ask the agent at {socket}: {err}");
                None
            }
            Err(_) => {
                log::warn!("the agent at {socket} does not answer");
                None
            }
        }
    }

    async fn exchange(&self, before: &[Frame], message: &[u8]) -> io::Result<Vec<u8>> {
        let mut stream = UnixStream::connect(&self.socket).await?;
        let mut answer = Vec::new();
        for message in before.iter().map(|frame| frame.as_slice()).chain([message]) {
            stream.write_all(&framed(message)?).await?;
            answer = await_frame(&mut stream).await?.to_vec();
        }
        Ok(answer)
    }
}

/// The keys in the answer to a request to list them; `None` for another answer.
pub(crate) fn listed(answer: &[u8]) -> Option<Vec<Listed>> {
    let mut reader = fields(answer);
    if reader.byte().ok()? != IDENTITIES_ANSWER {
        return None;
    }
    let count = reader.u32().ok()?;
    (0..count)
        .map(|_| {
            Some(Listed {
                blob: reader.string().ok()?.to_vec(),
                comment: reader.string().ok()?.to_vec(),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{KeyList, Reply};

    #[test]
    fn a_list_is_taken_apart_without_knowing_its_keys() {
        let keys = vec![Listed {
            blob: b"\0\0\0\x07ssh-new...".to_vec(),
            comment: b"\xff".to_vec(),
        }];
        let mut list = KeyList::default();
        list.add(&keys[0].blob, &keys[0].comment);
        let answer = Reply::Identities(list).encode();
        assert_eq!(listed(&answer), Some(keys));
        assert_eq!(listed(&answer[..answer.len() - 1]), None);
        assert_eq!(listed(b"\x0c\xff\xff\xff\xff"), None);
        assert_eq!(listed(b"\x05"), None);
    }

    #[tokio::test]
    async fn an_agent_that_is_not_there_is_passed_over() {
        let upstreams = Upstreams::new(vec!["/nonexistent/agent".into()]);
        let path = Path::default();
        let passing = Passing {
            binds: &[],
            path: &path,
        };
        assert_eq!(upstreams.ask(passing, &[11]).await, None);
        assert!(upstreams.list(passing).await.is_empty());
        assert!(!upstreams.tell_all(passing, &[19]).await);
    }

    #[test]
    fn a_request_that_comes_back_or_has_come_far_goes_no_further() {
        let upstreams = Upstreams::new(vec!["/nonexistent/agent".into()]);
        let other = |number| [number; 16];
        let came_by = |ids: &[Id]| {
            let mut path = Path::default();
            assert!(upstreams.came_by(&mut path, ids.as_flattened()));
            path.comes_back || path.is_long
        };
        assert!(!came_by(&[]));
        assert!(!came_by(&[other(1), other(2)]));
        assert!(came_by(&[other(1), upstreams.id, other(2)]));
        assert!(!came_by(&[other(1); MOST_AGENTS - 1]));
        assert!(came_by(&[other(1); MOST_AGENTS]));
        assert!(!upstreams.came_by(&mut Path::default(), &[0; 15]));
    }
}
