//! Running an agent: its clients, signals, and the end.

mod clients;
mod connection;
mod seats;
pub(crate) mod socket;

use std::io;
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::machine::logind;
use crate::serve::clients::Clients;
use crate::serve::socket::Socket;
use crate::state::{Agent, Options};
use crate::{Error, Result};

/// How long to wait before accepting again after that has failed.
const PAUSE: Duration = Duration::from_millis(200);

/// Runs an agent on `socket` until SIGTERM, SIGINT or SIGHUP. SIGUSR1 ends its logins, as does
/// logind before the machine sleeps or when a session is locked. `started` is called once the agent
/// answers: nothing that keeps it from starting comes after that.
///
/// # Errors
///
/// What keeps it from starting.
pub fn serve(socket: Socket, options: Options, started: impl FnOnce()) -> Result<()> {
    run(socket, options, started, None::<std::future::Pending<()>>)
}

/// As [`serve`], but runs until `end` is ready and handles no signals.
///
/// # Errors
///
/// What keeps it from starting.
pub fn serve_until(socket: Socket, options: Options, end: impl Future<Output = ()>) -> Result<()> {
    run(socket, options, || {}, Some(end))
}

fn run(
    socket: Socket,
    options: Options,
    started: impl FnOnce(),
    end: Option<impl Future<Output = ()>>,
) -> Result<()> {
    if let Some(path) = options.upstreams.iter().find(|path| socket.is_at(path)) {
        return Err(Error::OwnProxy { path: path.clone() });
    }
    // First: without descriptors neither the runtime nor signals work.
    let clients = Arc::new(Clients::new()?);
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::Start)?;
    let agent = Arc::new(Agent::new(options, socket.dir().is_none())?);
    let listener = {
        let _context = runtime.enter();
        listen(&socket).map_err(Error::Start)?
    };
    let accepting = runtime.spawn(accept(agent.clone(), clients.clone(), listener));
    let result = runtime.block_on(async {
        let watching = agent.clone();
        tokio::spawn(async move { watching.watch().await });
        let resting = agent.clone();
        tokio::spawn(async move { resting.rest().await });
        let telling = agent.clone();
        tokio::spawn(async move { telling.tell_refusals().await });
        match end {
            Some(end) => {
                end.await;
                Ok(())
            }
            None => {
                let logind_agent = agent.clone();
                tokio::spawn(logind::watch(move |why| {
                    log::info!("{why}: all logins end");
                    logind_agent.end_logins();
                }));
                signals(&agent, started).await.map_err(Error::Start)
            }
        }
    });
    // First, so that new clients see at once that nobody is there.
    drop(socket);
    accepting.abort();
    // What the chip has begun is still answered; prompts end with their clients.
    clients.hang_up(Shutdown::Read);
    agent.finish();
    clients.hang_up(Shutdown::Both);
    runtime.block_on(clients.wait());
    agent.tell_all_refusals();
    result
}

fn listen(socket: &Socket) -> io::Result<UnixListener> {
    let listener = socket.listener()?;
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

/// Accepts clients, and has a place found for each. When all are busy, the others wait in the
/// queue.
async fn accept(agent: Arc<Agent>, clients: Arc<Clients>, listener: UnixListener) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(err) => {
                log::warn!("cannot take a client: {err}");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        if let Err(err) = clients.start(&agent, stream).await {
            log::debug!("cannot serve a client: {err}");
        }
    }
}

/// Returns when the program is to end.
async fn signals(agent: &Agent, started: impl FnOnce()) -> io::Result<()> {
    let on = |kind| signal(kind);
    let mut lock = on(SignalKind::user_defined1())?;
    let (mut term, mut int, mut hup) = (
        on(SignalKind::terminate())?,
        on(SignalKind::interrupt())?,
        on(SignalKind::hangup())?,
    );
    let next = async |signal: &mut Signal| signal.recv().await;
    // Nothing that keeps the agent from starting comes after this.
    started();
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
