//! Other agents, which get what this one does not hold.
//!
//! Messages pass unread, so that kinds of keys which are unknown here pass as well. Each one
//! has a connection of its own: an agent that was restarted is found again.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::protocol::{Frame, Listed, await_frame, fields, framed};

/// How long another agent may take; it may be waiting for a person.
const PATIENCE: Duration = Duration::from_secs(180);
/// How long it may take to list its keys, for which nobody has to be asked.
const LIST_PATIENCE: Duration = Duration::from_secs(2);

const FAILURE: u8 = 5;
const IDENTITIES_ANSWER: u8 = 12;

/// The other agents, in the order in which they are asked.
#[derive(Debug, Default)]
pub(crate) struct Upstreams(Vec<PathBuf>);

impl Upstreams {
    pub(crate) fn new(sockets: Vec<PathBuf>) -> Self {
        Self(sockets)
    }

    /// The first answer that is not a failure.
    ///
    /// `binds` are the `session-bind` messages of the client, which the other agent has to
    /// know before anything else.
    pub(crate) async fn ask(&self, binds: &[Frame], message: &[u8]) -> Option<Vec<u8>> {
        for socket in &self.0 {
            if let Some(answer) = one(socket, binds, message, PATIENCE).await {
                return Some(answer);
            }
        }
        None
    }

    /// Tells all; whether all have done it.
    pub(crate) async fn tell_all(&self, binds: &[Frame], message: &[u8]) -> bool {
        let mut done = true;
        for socket in &self.0 {
            let answer = one(socket, binds, message, PATIENCE).await;
            done &= answer.is_some();
        }
        done
    }

    /// The keys of all of them.
    pub(crate) async fn list(&self, binds: &[Frame]) -> Vec<Listed> {
        let mut keys = Vec::new();
        for socket in &self.0 {
            let Some(answer) = one(socket, binds, &[11], LIST_PATIENCE).await else {
                continue;
            };
            match listed(&answer) {
                Some(mut listed) => keys.append(&mut listed),
                None => log::warn!("{}: not a list of keys", socket.display()),
            }
        }
        keys
    }
}

/// The answer of the agent at `socket`; `None` for a failure, which is logged if it is not the
/// agent's own.
async fn one(
    socket: &PathBuf,
    binds: &[Frame],
    message: &[u8],
    patience: Duration,
) -> Option<Vec<u8>> {
    match timeout(patience, exchange(socket, binds, message)).await {
        Ok(Ok(answer)) => (answer.first() != Some(&FAILURE)).then_some(answer),
        Ok(Err(err)) => {
            log::warn!("cannot ask the agent at {}: {err}", socket.display());
            None
        }
        Err(_) => {
            log::warn!("the agent at {} does not answer", socket.display());
            None
        }
    }
}

async fn exchange(socket: &PathBuf, binds: &[Frame], message: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket).await?;
    let mut answer = Vec::new();
    for message in binds.iter().map(|frame| frame.as_slice()).chain([message]) {
        stream.write_all(&framed(message)?).await?;
        answer = await_frame(&mut stream).await?.to_vec();
    }
    Ok(answer)
}

fn listed(answer: &[u8]) -> Option<Vec<Listed>> {
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
        assert_eq!(upstreams.ask(&[], &[11]).await, None);
        assert!(upstreams.list(&[]).await.is_empty());
        assert!(!upstreams.tell_all(&[], &[19]).await);
        assert!(Upstreams::default().tell_all(&[], &[19]).await);
    }
}
