//! logind's word that the machine is about to sleep, or that the screen is to be locked.
//!
//! Two signals on the system bus are all that is wanted of D-Bus, so its messages are read
//! here: a library for it would be larger than the rest of the agent. The signals can do
//! nothing but make the agent forget PINs, so it does not matter if somebody else sends them.
//!
//! # Source
//!
//! The D-Bus specification, "Authentication Protocol" and "Message Bus"; logind's interface,
//! org.freedesktop.login1(5).

mod message;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use message::{Kind, Message};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::sleep;

/// Where the system bus is, unless `DBUS_SYSTEM_BUS_ADDRESS` says otherwise.
const SYSTEM_BUS: &str = "/run/dbus/system_bus_socket";
/// How long to wait before asking a bus again that was there and went.
const PAUSE: Duration = Duration::from_secs(10);

const SIGNALS: [&str; 2] = [
    "type='signal',sender='org.freedesktop.login1',\
     interface='org.freedesktop.login1.Manager',member='PrepareForSleep'",
    // Of any session: one that is locked in vain costs a question.
    "type='signal',sender='org.freedesktop.login1',\
     interface='org.freedesktop.login1.Session',member='Lock'",
];

/// Calls `lock` at each of these signals. Returns where there is no system bus.
pub(crate) async fn watch(lock: impl Fn(&'static str)) {
    let Some(bus) = system_bus() else {
        return;
    };
    while let Ok(stream) = UnixStream::connect(&bus).await {
        if let Err(err) = listen(stream, &lock).await {
            log::debug!("logind is not heard: {err}");
        }
        sleep(PAUSE).await;
    }
    log::debug!("there is no bus at {}", bus.display());
}

fn system_bus() -> Option<PathBuf> {
    match std::env::var("DBUS_SYSTEM_BUS_ADDRESS") {
        Ok(address) => path_in(&address).map(PathBuf::from),
        Err(_) => Some(SYSTEM_BUS.into()),
    }
}

/// The path in `unix:path=/a/socket,guid=…`; other transports are not spoken.
fn path_in(address: &str) -> Option<&Path> {
    let keys = address.split(';').next()?.strip_prefix("unix:")?;
    let mut keys = keys.split(',');
    keys.find_map(|key| key.strip_prefix("path="))
        .map(Path::new)
}

/// Serves one connection to a bus until it ends.
async fn listen(mut stream: UnixStream, lock: &impl Fn(&'static str)) -> io::Result<()> {
    authenticate(&mut stream).await?;
    stream.write_all(&message::call(1, "Hello", &[])).await?;
    for (serial, signal) in (2..).zip(SIGNALS) {
        let call = message::call(serial, "AddMatch", &[signal]);
        stream.write_all(&call).await?;
    }
    loop {
        let message = Message::read(&mut stream).await?;
        match (message.kind, message.member.as_str()) {
            (Kind::Error, _) => return Err(io::Error::other("the bus refused a request")),
            // Its argument: whether sleep begins, or is over.
            (Kind::Signal, "PrepareForSleep") if message.boolean() => {
                lock("the machine is about to sleep");
            }
            (Kind::Signal, "Lock") => lock("the session is locked"),
            _ => {}
        }
    }
}

/// As this user, whom the kernel vouches for.
async fn authenticate(stream: &mut UnixStream) -> io::Result<()> {
    let uid = rustix::process::geteuid().as_raw().to_string();
    let hex: String = uid.bytes().map(|digit| format!("{digit:02x}")).collect();
    let hello = format!("\0AUTH EXTERNAL {hex}\r\n");
    stream.write_all(hello.as_bytes()).await?;
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.push(stream.read_u8().await?);
        if line.len() > 1024 {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    if !line.starts_with(b"OK ") {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    stream.write_all(b"BEGIN\r\n").await
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use testing::Bus;

    use super::*;

    #[test]
    fn an_address_has_a_path() {
        let path = |address| path_in(address).map(|path| path.display().to_string());
        assert_eq!(path("unix:path=/a").as_deref(), Some("/a"));
        let long = path("unix:guid=1,path=/a,x=y;tcp:host=h");
        assert_eq!(long.as_deref(), Some("/a"));
        assert_eq!(path("unix:abstract=/a"), None);
        assert_eq!(path("tcp:host=h"), None);
    }

    /// With a bus of our own, on which the test plays logind.
    #[tokio::test]
    async fn what_logind_says_is_heard_and_nothing_else() {
        let bus = Bus::start();
        let path = path_in(&bus.address()).unwrap().to_owned();
        let heard = RefCell::new(Vec::new());
        let lock = |why| heard.borrow_mut().push(why);
        let listener = listen(UnixStream::connect(&path).await.unwrap(), &lock);
        let logind = async {
            let mut stream = UnixStream::connect(&path).await.unwrap();
            authenticate(&mut stream).await.unwrap();
            let mut send = async |bytes: Vec<u8>| stream.write_all(&bytes).await.unwrap();
            send(message::call(1, "Hello", &[])).await;
            let manager = "org.freedesktop.login1.Manager";
            let session = "org.freedesktop.login1.Session";
            // Of somebody who is not logind.
            for serial in 2..20 {
                send(message::signal(serial, session, "Lock", None)).await;
            }
            send(message::request_name(20, "org.freedesktop.login1")).await;
            let mut serial = 30;
            // Until the listener has been subscribed.
            while heard.borrow().is_empty() {
                send(message::signal(
                    serial,
                    manager,
                    "PrepareForSleep",
                    Some(true),
                ))
                .await;
                sleep(Duration::from_millis(10)).await;
                serial += 1;
            }
            send(message::signal(
                serial,
                manager,
                "PrepareForSleep",
                Some(false),
            ))
            .await;
            send(message::signal(serial + 1, session, "Lock", None)).await;
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
