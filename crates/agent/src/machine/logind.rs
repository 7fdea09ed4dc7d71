//! logind's signals that the machine is about to sleep, or that a session is locked.
//!
//! These two signals can do nothing but make the agent forget PINs, so it does not matter if
//! somebody else sends them. `dbus-wire` reads and writes the messages.
//!
//! # Source
//!
//! The D-Bus specification, "Authentication Protocol" and "Message Bus"; logind's interface,
//! org.freedesktop.login1(5).

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

use dbus_wire::{Handshake, Incoming, Kind, Message, Socket, Step, sockets, system_bus};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::sleep;

/// How long to wait before connecting again to a bus that has ended.
const PAUSE: Duration = Duration::from_secs(10);

const SIGNALS: [&str; 2] = [
    "type='signal',sender='org.freedesktop.login1',\
     interface='org.freedesktop.login1.Manager',member='PrepareForSleep'",
    // Of any session: a login that ends without need costs one question for the PIN.
    "type='signal',sender='org.freedesktop.login1',\
     interface='org.freedesktop.login1.Session',member='Lock'",
];

/// Calls `lock` at each of these signals, also after the bus was restarted. Returns if there is
/// no system bus.
pub(crate) async fn watch(lock: impl Fn(&'static str)) {
    let address = system_bus(true);
    let mut found = false;
    loop {
        match connect(&address).await {
            Ok(stream) => {
                found = true;
                if let Err(err) = listen(stream, &lock).await {
                    log::debug!("logind is not heard: {err}");
                }
            }
            Err(_) if found => {}
            Err(err) => {
                log::debug!("there is no bus at {address}: {err}");
                return;
            }
        }
        sleep(PAUSE).await;
    }
}

/// A connection to the first socket of an address on which somebody listens.
async fn connect(address: &str) -> io::Result<UnixStream> {
    let mut last = io::ErrorKind::NotFound.into();
    for socket in sockets(address).map_err(io::Error::other)? {
        let connected = match socket {
            Socket::Path(path) => UnixStream::connect(path).await,
            Socket::Abstract(mut name) => {
                // tokio takes a path that begins with a zero byte for an abstract name.
                name.insert(0, 0);
                UnixStream::connect(OsString::from_vec(name)).await
            }
        };
        match connected {
            Ok(stream) => return Ok(stream),
            Err(err) => last = err,
        }
    }
    Err(last)
}

/// A connection to a bus, and what arrived over it.
struct Bus {
    stream: UnixStream,
    incoming: Incoming,
}

impl Bus {
    /// Logs in, as this user, whom the kernel vouches for.
    async fn log_in(mut stream: UnixStream) -> io::Result<Self> {
        let uid = rustix::process::geteuid().as_raw();
        let (mut handshake, hello) = Handshake::start(uid, false);
        stream.write_all(&hello).await?;
        let incoming = Incoming::default();
        let mut bus = Self { stream, incoming };
        loop {
            let line = loop {
                match bus.incoming.line().map_err(io::Error::other)? {
                    Some(line) => break line,
                    None => bus.receive().await?,
                }
            };
            match handshake.line(&line).map_err(io::Error::other)? {
                Step::Send(bytes) => bus.stream.write_all(bytes).await?,
                Step::Finish(bytes) => {
                    bus.stream.write_all(bytes).await?;
                    return Ok(bus);
                }
            }
        }
    }

    async fn message(&mut self) -> io::Result<Message> {
        loop {
            match self.incoming.message().map_err(io::Error::other)? {
                Some(message) => return Ok(message),
                None => self.receive().await?,
            }
        }
    }

    async fn receive(&mut self) -> io::Result<()> {
        let mut bytes = [0; 4096];
        match self.stream.read(&mut bytes).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                self.incoming.push(&bytes[..read]);
                Ok(())
            }
        }
    }
}

/// Serves one connection to a bus until it ends.
async fn listen(stream: UnixStream, lock: &impl Fn(&'static str)) -> io::Result<()> {
    let mut bus = Bus::log_in(stream).await?;
    let hello = Message::to_bus("Hello").encode(1);
    bus.stream.write_all(&hello).await?;
    for (serial, signal) in (2..).zip(SIGNALS) {
        let call = Message::to_bus("AddMatch").text(signal).encode(serial);
        bus.stream.write_all(&call).await?;
    }
    loop {
        let message = bus.message().await?;
        match (message.kind, message.member.as_deref()) {
            (Kind::Error, _) => return Err(io::Error::other("the bus refused a request")),
            // Its argument: whether sleep begins, or is over.
            (Kind::Signal, Some("PrepareForSleep"))
                if message.arguments().boolean() == Ok(true) =>
            {
                lock("the machine is about to sleep");
            }
            (Kind::Signal, Some("Lock")) => lock("the session is locked"),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// With a bus of our own, on which the test plays logind.
    #[tokio::test]
    async fn what_logind_says_is_heard_and_nothing_else() {
        let bus = testing::Bus::start();
        let heard = RefCell::new(Vec::new());
        let lock = |why| heard.borrow_mut().push(why);
        let listener = listen(connect(&bus.address()).await.unwrap(), &lock);
        let logind = async {
            let stream = connect(&bus.address()).await.unwrap();
            let mut stream = Bus::log_in(stream).await.unwrap().stream;
            let mut serial = 0;
            let mut send = async |message: Message| {
                serial += 1;
                stream.write_all(&message.encode(serial)).await.unwrap();
            };
            let signal = |interface: &str, member: &str| {
                let interface = format!("org.freedesktop.login1.{interface}");
                Message::signal("/org/freedesktop/login1", &interface, member)
            };
            let sleeps = |begins| signal("Manager", "PrepareForSleep").boolean(begins);
            send(Message::to_bus("Hello")).await;
            // From a sender other than logind.
            for _ in 0..20 {
                send(signal("Session", "Lock")).await;
            }
            let name = Message::to_bus("RequestName").text("org.freedesktop.login1");
            send(name.number(0)).await;
            // Until the listener has been subscribed.
            while heard.borrow().is_empty() {
                send(sleeps(true)).await;
                sleep(Duration::from_millis(10)).await;
            }
            send(sleeps(false)).await;
            send(signal("Session", "Lock")).await;
            while heard.borrow().last() != Some(&"the session is locked") {
                sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::select! {
            ended = listener => panic!("{ended:?}"),
            () = logind => {}
            () = sleep(Duration::from_secs(30)) => panic!("{heard:?}"),
        }
        let heard = heard.borrow();
        let (last, first) = heard.split_last().unwrap();
        assert_eq!(*last, "the session is locked");
        assert!(
            first
                .iter()
                .all(|why| *why == "the machine is about to sleep")
        );
    }
}
