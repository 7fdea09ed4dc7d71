//! The clients that are connected, and their threads.

use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::machine::mutex::lock;
use crate::serve::connection;
use crate::state::Agent;

/// The most clients at a time, where the limit of open files allows it.
const MAX: usize = 4096;
/// Descriptors for everything but clients: the store, the TPM, programs that ask.
const RESERVED: usize = 32;
/// The stack of a client's thread, in bytes; what is not used costs nothing.
const STACK: usize = 512 * 1024;
/// How long clients may take to go when the agent ends. What they wait for looks ten times a
/// second whether they are there.
const PATIENCE: Duration = Duration::from_millis(500);

/// All clients. Each has a thread, so that what one waits for keeps nobody else waiting.
#[derive(Debug)]
pub(crate) struct Clients {
    most: u32,
    places: Arc<Semaphore>,
    streams: Mutex<Vec<Weak<UnixStream>>>,
}

impl Clients {
    /// Room for as many clients as there are descriptors for.
    pub(crate) fn new() -> Self {
        let limit = getrlimit(Resource::Nofile).current;
        let files = limit.map_or(usize::MAX, |files| {
            usize::try_from(files).unwrap_or(usize::MAX)
        });
        let most = files.saturating_sub(RESERVED).clamp(1, MAX);
        Self {
            most: u32::try_from(most).unwrap_or(u32::MAX),
            places: Arc::new(Semaphore::new(most)),
            streams: Mutex::default(),
        }
    }

    /// Waits for a place for one more.
    pub(crate) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        self.places.clone().acquire_owned().await.ok()
    }

    /// Serves a client in `place` until it goes.
    ///
    /// # Errors
    ///
    /// Where the system gives no thread for it.
    pub(crate) fn start(
        &self,
        agent: &Arc<Agent>,
        stream: tokio::net::UnixStream,
        place: Option<OwnedSemaphorePermit>,
    ) -> io::Result<()> {
        let cred = stream.peer_cred()?;
        let stream = Arc::new(stream.into_std()?);
        stream.set_nonblocking(false)?;
        let (agent, runtime, weak) = (agent.clone(), Handle::current(), Arc::downgrade(&stream));
        thread::Builder::new()
            .name("client".to_owned())
            .stack_size(STACK)
            .spawn(move || {
                connection::serve(&agent, &stream, cred, &runtime);
                drop(stream);
                drop(place);
            })?;
        let mut streams = lock(&self.streams);
        streams.retain(|stream| stream.strong_count() > 0);
        streams.push(weak);
        Ok(())
    }

    /// Hears no more of what clients say; with [`Shutdown::Both`] says nothing more either, and
    /// ends what they wait for.
    pub(crate) fn hang_up(&self, how: Shutdown) {
        for stream in lock(&self.streams).iter().filter_map(Weak::upgrade) {
            // One that has gone itself has nothing to be ended.
            let _ = stream.shutdown(how);
        }
    }

    /// Waits until all are gone, but not for long.
    pub(crate) async fn wait(&self) {
        let all = self.places.acquire_many(self.most);
        if timeout(PATIENCE, all).await.is_err() {
            log::warn!("a client is still being served");
        }
    }
}
