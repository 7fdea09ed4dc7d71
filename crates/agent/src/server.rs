//! Clients come, signals come, and in the end the socket goes.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use tokio::net::UnixListener;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::task::LocalSet;

use crate::agent::{Agent, Options};
use crate::socket::Socket;
use crate::{Error, Result, connection, logind};

/// The most clients at a time, where the limit of open files allows it.
const MAX_CLIENTS: usize = 4096;
/// Descriptors for everything but clients: the store, the TPM, programs that ask.
const RESERVED: usize = 32;
/// How long to wait before accepting again after that has failed.
const PAUSE: Duration = Duration::from_millis(200);

/// Runs an agent on `socket` until SIGTERM, SIGINT or SIGHUP. SIGUSR1 ends its logins, as does
/// logind before the machine sleeps or when a session is locked.
///
/// # Errors
///
/// What keeps it from starting.
pub fn serve(socket: Socket, options: Options) -> Result<()> {
    run(socket, options, None::<std::future::Pending<()>>)
}

/// As [`serve`], until `end` is there, and deaf to signals.
///
/// # Errors
///
/// What keeps it from starting.
pub fn serve_until(socket: Socket, options: Options, end: impl Future<Output = ()>) -> Result<()> {
    run(socket, options, Some(end))
}

fn run(socket: Socket, options: Options, end: Option<impl Future<Output = ()>>) -> Result<()> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::Start)?;
    let agent = Rc::new(Agent::new(options)?);
    let local = LocalSet::new();
    let listener = {
        let _context = runtime.enter();
        listen(&socket).map_err(Error::Start)?
    };
    let result = local.block_on(&runtime, async {
        tokio::task::spawn_local({
            let agent = agent.clone();
            async move { agent.watch().await }
        });
        tokio::task::spawn_local(accept(agent.clone(), listener));
        match end {
            Some(end) => {
                end.await;
                Ok(())
            }
            None => {
                let logind_agent = agent.clone();
                tokio::task::spawn_local(logind::watch(move |why| {
                    log::info!("{why}: all logins end");
                    logind_agent.end_logins();
                }));
                signals(&agent).await.map_err(Error::Start)
            }
        }
    });
    // First, so that new clients see at once that nobody is there.
    drop(socket);
    agent.finish();
    result
}

fn listen(socket: &Socket) -> io::Result<UnixListener> {
    let listener = socket.listener()?;
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

/// Accepts clients, as many as there are descriptors for; the others wait in the queue.
async fn accept(agent: Rc<Agent>, listener: UnixListener) {
    let places = Arc::new(Semaphore::new(places()));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let agent = agent.clone();
                tokio::task::spawn_local(async move {
                    connection::serve(agent, stream).await;
                    drop(place);
                });
            }
            Err(err) => {
                log::warn!("cannot accept a client: {err}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

fn places() -> usize {
    let limit = getrlimit(Resource::Nofile).current;
    let files = limit.map_or(usize::MAX, |files| {
        usize::try_from(files).unwrap_or(usize::MAX)
    });
    files.saturating_sub(RESERVED).clamp(1, MAX_CLIENTS)
}

/// Returns when the program is to end.
async fn signals(agent: &Agent) -> io::Result<()> {
    let on = |kind| signal(kind);
    let mut lock = on(SignalKind::user_defined1())?;
    let (mut term, mut int, mut hup) = (
        on(SignalKind::terminate())?,
        on(SignalKind::interrupt())?,
        on(SignalKind::hangup())?,
    );
    let next = async |signal: &mut Signal| signal.recv().await;
    loop {
        tokio::select! {
            _ = next(&mut term) => return Ok(()),
            _ = next(&mut int) => return Ok(()),
            _ = next(&mut hup) => return Ok(()),
            _ = next(&mut lock) => {
                log::info!("all logins end");
                agent.end_logins();
            }
        }
    }
}
