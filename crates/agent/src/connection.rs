//! One client, from its first byte to its last.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedReadHalf;
use tokio::time::{sleep, timeout};

use crate::agent::Agent;
use crate::bind::Binds;
use crate::peer::Peer;
use crate::protocol::{Frame, read_frame, write_frame};

/// How long a client may take over a message that it has begun, or over reading an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whom a request comes from.
pub(crate) struct Client<'a> {
    pub(crate) peer: &'a Peer,
    pub(crate) binds: &'a mut Binds,
    /// The messages behind `binds`, for other agents.
    pub(crate) bind_messages: &'a mut Vec<Frame>,
    stream: &'a OwnedReadHalf,
}

impl Client<'_> {
    /// What `work` gives; `None` as soon as the client is gone.
    pub(crate) async fn while_there<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            result = work => Some(result),
            () = gone(self.stream) => None,
        }
    }
}

/// Answers all requests of a client, one after the other, until it goes or says nonsense.
pub(crate) async fn serve(agent: Rc<Agent>, stream: UnixStream) {
    let Some(peer) = Peer::of(&stream) else {
        return;
    };
    if let Err(err) = converse(&agent, stream, &peer).await {
        log::debug!("{peer}: {err}");
    }
}

async fn converse(agent: &Agent, stream: UnixStream, peer: &Peer) -> io::Result<()> {
    let (mut reader, mut writer) = stream.into_split();
    let mut binds = Binds::default();
    let mut bind_messages = Vec::new();
    loop {
        // Between messages a client may wait for as long as it likes; within one it may not.
        reader.readable().await?;
        let Some(message) = timeout(PATIENCE, read_frame(&mut reader)).await?? else {
            return Ok(());
        };
        let mut client = Client {
            peer,
            binds: &mut binds,
            bind_messages: &mut bind_messages,
            stream: &reader,
        };
        let reply = agent.answer(&mut client, &message).await.encode();
        drop(message);
        timeout(PATIENCE, write_frame(&mut writer, &reply)).await??;
    }
}

/// Waits until the client has closed its end. One that has only said its last word, or that
/// has already sent its next request, is not gone.
async fn gone(stream: &OwnedReadHalf) {
    /// What the kernel tells about a waiting socket does not tell this apart from a further
    /// request, so it is looked at again and again; only while a person is asked.
    const LOOK: Duration = Duration::from_millis(100);
    while !is_hung_up(stream.as_ref()) {
        sleep(LOOK).await;
    }
}

fn is_hung_up(stream: &UnixStream) -> bool {
    let mut socket = [PollFd::new(stream, PollFlags::empty())];
    let ends = PollFlags::HUP | PollFlags::ERR;
    poll(&mut socket, Some(&Timespec::default())).is_ok() && socket[0].revents().intersects(ends)
}
