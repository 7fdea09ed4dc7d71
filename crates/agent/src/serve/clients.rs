//! The clients that are connected, and their threads.

use std::io;
use std::net::Shutdown;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::Result;
use crate::machine::harden;
use crate::serve::connection;
use crate::serve::seats::Seats;
use crate::state::Agent;

/// The most clients at a time, if the limit of open files allows it.
const MAX: usize = 4096;
/// The stack of a client's thread, in bytes; what is not used costs nothing.
const STACK: usize = 512 * 1024;
/// How long the clients' threads may take to end when the agent ends. A thread that waits for a
/// person checks ten times a second whether its client is gone.
const PATIENCE: Duration = Duration::from_millis(500);

/// All clients. Each has a thread, so that what one waits for keeps nobody else waiting.
#[derive(Debug)]
pub(crate) struct Clients(Arc<Seats>);

impl Clients {
    /// Room for as many clients as there are descriptors for.
    ///
    /// # Errors
    ///
    /// [`Error::TooFewFiles`].
    pub(crate) fn new() -> Result<Self> {
        let files = harden::files_for_clients()?;
        Ok(Self(Arc::new(Seats::new(files.min(MAX)))))
    }

    /// Serves a client until it goes, once there is a place for it.
    ///
    /// # Errors
    ///
    /// If its process has too many connections, or the system gives no thread.
    pub(crate) async fn start(
        &self,
        agent: &Arc<Agent>,
        stream: tokio::net::UnixStream,
    ) -> io::Result<()> {
        let cred = stream.peer_cred()?;
        let stream = stream.into_std()?;
        stream.set_nonblocking(false)?;
        let taken = Seats::take(&self.0, stream, cred.pid()).await;
        let taken =
            taken.ok_or_else(|| io::Error::other("its process has too many connections"))?;
        let (agent, runtime) = (agent.clone(), Handle::current());
        thread::Builder::new()
            .name("client".to_owned())
            .stack_size(STACK)
            .spawn(move || connection::serve(&agent, &taken, cred, &runtime))?;
        Ok(())
    }

    /// Reads no more from clients. With [`Shutdown::Both`] also writes no more to them, which ends
    /// what they wait for.
    pub(crate) fn hang_up(&self, how: Shutdown) {
        self.0.hang_up(how);
    }

    /// Waits until all are gone, for [`PATIENCE`] at most.
    pub(crate) async fn wait(&self) {
        if timeout(PATIENCE, self.0.all_free()).await.is_err() {
            log::warn!("a client is still being served");
        }
    }
}
