//! One client, from its first byte to its last, on a thread of its own.

use std::cell::RefCell;
use std::io::{self, ErrorKind, Read, Write};
use std::mem;
use std::ops::Range;
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use tokio::net::unix::UCred;
use tokio::runtime::Handle;
use zeroize::{Zeroize, Zeroizing};

use crate::ask::proxy::Path;
use crate::key::bind::Binds;
use crate::protocol::{Frame, framed, read_frame};
use crate::request::peer::Peer;
use crate::request::requester::{Client, Recorded};
use crate::serve::seats::Taken;
use crate::state::Agent;

/// How long a client may take over a message that it has begun, or over reading an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Audit records of a client are written when it has sent no request for this time, or when there
/// are this many.
const PAUSE: Duration = Duration::from_millis(2);
const MOST_RECORDS: usize = 16;

/// Answers all requests of a client, one after the other, until it hangs up or sends a bad frame.
///
/// This thread waits for whatever a request needs: the TPM, or with the help of `runtime` a person
/// or another agent.
pub(crate) fn serve(agent: &Agent, taken: &Taken, cred: UCred, runtime: &Handle) {
    let Some(peer) = Peer::of(cred) else {
        return;
    };
    let mut records = Vec::new();
    if let Err(err) = converse(agent, taken, runtime, &peer, &mut records) {
        log::debug!("{peer}: {err}");
    }
    agent.record(&peer, records);
}

/// Answers the requests. On return, also after an error, `records` holds the audit records not yet
/// written; the caller writes them.
fn converse(
    agent: &Agent,
    taken: &Taken,
    runtime: &Handle,
    peer: &Peer,
    records: &mut Vec<Recorded>,
) -> io::Result<()> {
    let stream = taken.stream();
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut binds = Binds::default();
    let mut bind_messages = Vec::new();
    let mut path = Path::default();
    let mut requests = Requests::new(stream);
    loop {
        if records.len() >= MOST_RECORDS {
            agent.record(peer, mem::take(records));
        }
        // A client that sends its next request at once does not wait for the disk.
        requests.wait((!records.is_empty()).then_some(PAUSE))?;
        let message = match requests.next() {
            Ok(Some(message)) => message,
            Ok(None) => return Ok(()),
            Err(err) if err.kind() == ErrorKind::WouldBlock => {
                agent.record(peer, mem::take(records));
                continue;
            }
            Err(err) => return Err(err),
        };
        let mut client = Client {
            peer,
            binds: &mut binds,
            bind_messages: &mut bind_messages,
            path: &mut path,
            records: RefCell::new(records),
            stream,
        };
        let reply = taken.busy(|| at_once_or(runtime, agent.answer(&mut client, &message)));
        drop(message);
        let mut stream = stream;
        stream.write_all(&framed(&reply.encode())?)?;
    }
}

/// The result of `work`. Usually it waits only for the chip, on this thread, and so is ready at the
/// first poll. Only otherwise does the runtime drive it.
fn at_once_or<T>(runtime: &Handle, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    let polled = {
        let _context = runtime.enter();
        work.as_mut().poll(&mut Context::from_waker(Waker::noop()))
    };
    match polled {
        Poll::Ready(result) => result,
        Poll::Pending => runtime.block_on(work),
    }
}

/// What a client sends.
struct Requests<'a> {
    stream: &'a UnixStream,
    /// Received bytes; those in `filled` are not read yet. They are wiped as they are read.
    buffer: Zeroizing<[u8; 1024]>,
    filled: Range<usize>,
    /// The deadline of the message that has begun.
    end: Option<Instant>,
    /// The read timeout of the socket.
    most: Option<Duration>,
}

impl<'a> Requests<'a> {
    fn new(stream: &'a UnixStream) -> Self {
        Self {
            stream,
            buffer: Zeroizing::new([0; 1024]),
            filled: 0..0,
            end: None,
            most: None,
        }
    }

    /// Says how long [`Requests::next`] may wait.
    fn wait(&mut self, most: Option<Duration>) -> io::Result<()> {
        if self.most != most {
            self.stream.set_read_timeout(most)?;
            self.most = most;
        }
        Ok(())
    }

    /// The next message; `None` if the client has hung up. Between messages a client may wait as long
    /// as it likes, within one only for [`PATIENCE`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::WouldBlock`] if none has begun in the time that [`Requests::wait`] was given.
    fn next(&mut self) -> io::Result<Option<Frame>> {
        self.end = None;
        read_frame(self).map_err(|err| match err.kind() {
            // Within a message this is no pause but an error: the rest would be read as a header.
            ErrorKind::WouldBlock if self.end.is_some() => ErrorKind::TimedOut.into(),
            _ => err,
        })
    }
}

impl Read for Requests<'_> {
    fn read(&mut self, wanted: &mut [u8]) -> io::Result<usize> {
        if self.filled.is_empty() && wanted.len() >= self.buffer.len() {
            return receive(self.stream, self.end, wanted);
        }
        if self.filled.is_empty() {
            // Usually this is the whole message.
            self.filled = 0..receive(self.stream, self.end, &mut *self.buffer)?;
        }
        let len = wanted.len().min(self.filled.len());
        let taken = self.filled.start..self.filled.start + len;
        wanted[..len].copy_from_slice(&self.buffer[taken.clone()]);
        self.buffer[taken].zeroize();
        self.filled.start += len;
        self.end.get_or_insert_with(|| Instant::now() + PATIENCE);
        Ok(len)
    }
}

/// Receives what there is, or waits for it until `end`.
fn receive(stream: &UnixStream, end: Option<Instant>, buffer: &mut [u8]) -> io::Result<usize> {
    if let Some(end) = end {
        let left = end.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(|_| ErrorKind::InvalidInput)?;
        let mut socket = [PollFd::new(stream, PollFlags::IN)];
        if retry_on_intr(|| poll(&mut socket, Some(&left)))? == 0 {
            return Err(ErrorKind::TimedOut.into());
        }
    }
    let mut stream = stream;
    stream.read(buffer)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_pause_is_between_messages_and_not_within_one() {
        let (ours, mut client) = UnixStream::pair().unwrap();
        let mut requests = Requests::new(&ours);
        requests.wait(Some(PAUSE)).unwrap();
        let pause = requests.next().unwrap_err();
        assert_eq!(pause.kind(), ErrorKind::WouldBlock);
        client.write_all(b"\0\0\0\x02a").unwrap();
        let late = thread::spawn(move || {
            thread::sleep(20 * PAUSE);
            client.write_all(b"b").unwrap();
            client
        });
        assert_eq!(*requests.next().unwrap().unwrap(), b"ab");
        drop(late.join().unwrap());
        assert!(requests.next().unwrap().is_none());
    }

    #[test]
    fn messages_that_come_together_are_taken_apart_and_wiped() {
        let (ours, mut client) = UnixStream::pair().unwrap();
        let mut requests = Requests::new(&ours);
        let long = vec![b'x'; 5000];
        for message in [b"a", &long[..], b"bc"] {
            client.write_all(&framed(message).unwrap()).unwrap();
        }
        drop(client);
        for message in [b"a", &long[..], b"bc"] {
            assert_eq!(*requests.next().unwrap().unwrap(), message);
        }
        assert!(requests.next().unwrap().is_none());
        assert_eq!(*requests.buffer, [0; 1024]);
    }
}
