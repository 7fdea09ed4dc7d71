//! The client that a request comes from.

use std::cell::RefCell;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::time::sleep;

use crate::ask::proxy::{Passing, Path};
use crate::audit::Record;
use crate::key::bind::Binds;
use crate::protocol::Frame;
use crate::request::peer::Peer;

/// A record that is made when it is written.
pub(crate) type Recorded = Box<dyn FnOnce() -> Record>;

/// The client that a request comes from.
pub(crate) struct Client<'a> {
    pub(crate) peer: &'a Peer,
    pub(crate) binds: &'a mut Binds,
    /// The messages behind `binds`, for other agents.
    pub(crate) bind_messages: &'a mut Vec<Frame>,
    /// Which other agents its requests have passed.
    pub(crate) path: &'a mut Path,
    pub(crate) records: RefCell<&'a mut Vec<Recorded>>,
    pub(crate) stream: &'a UnixStream,
}

impl Client<'_> {
    /// Writes the result of `record` to the audit log after the client has its answer.
    pub(crate) fn record(&self, record: impl FnOnce() -> Record + 'static) {
        self.records.borrow_mut().push(Box::new(record));
    }

    /// What other agents have to know before its requests.
    pub(crate) fn passing(&self) -> Passing<'_> {
        Passing {
            binds: self.bind_messages,
            path: self.path,
        }
    }

    /// The result of `work`; `None` as soon as the client is gone.
    pub(crate) async fn while_there<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            result = work => Some(result),
            () = self.gone() => None,
        }
    }

    /// Waits until the client has closed its end.
    async fn gone(&self) {
        /// Waiting for an event of the socket would also end at a further request, so the socket is
        /// checked again and again. That happens only while a person is asked.
        const LOOK: Duration = Duration::from_millis(100);
        while !self.is_gone() {
            sleep(LOOK).await;
        }
    }

    /// Whether the client has closed its end. A client that has shut down only its writing side, or
    /// has already sent its next request, is not gone.
    pub(crate) fn is_gone(&self) -> bool {
        let mut socket = [PollFd::new(self.stream, PollFlags::empty())];
        let ends = PollFlags::HUP | PollFlags::ERR;
        poll(&mut socket, Some(&Timespec::default())).is_ok()
            && socket[0].revents().intersects(ends)
    }
}
