//! Loopback ports that no other program can take.

use std::{
    net::{Ipv4Addr, SocketAddrV4},
    os::fd::OwnedFd,
    sync::atomic::{AtomicU32, Ordering},
};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt};

/// One or more consecutive loopback ports, reserved until this is dropped.
///
/// Another program can take a port between finding it free and using it, or while a server is
/// restarted. So a socket that is bound and never listens holds each port. It is bound without
/// `SO_REUSEADDR`, so that no two reservations have the same port. Then it sets `SO_REUSEADDR`, so
/// that a server that sets it as well can use the port.
#[derive(Debug)]
pub(crate) struct Ports {
    first: u16,
    _held: Vec<OwnedFd>,
}

impl Ports {
    /// Reserves `count` consecutive ports.
    ///
    /// # Panics
    ///
    /// If there are none.
    pub(crate) fn reserve(count: u16) -> Self {
        // Below the range from which Linux picks ports for outgoing connections (32768 and up).
        const RANGE: std::ops::Range<u32> = 12_000..32_000;
        static NEXT: AtomicU32 = AtomicU32::new(0);

        let start = std::process::id().wrapping_mul(977);
        for _ in RANGE {
            let step = NEXT.fetch_add(u32::from(count), Ordering::Relaxed);
            let first = RANGE.start + start.wrapping_add(step) % (RANGE.end - RANGE.start);
            let first = u16::try_from(first).expect("the range ends below 65536");
            if let Ok(held) = (first..first + count).map(hold).collect() {
                return Self { first, _held: held };
            }
        }
        panic!("no {count} consecutive free loopback ports");
    }

    /// The first port of the row.
    pub(crate) fn first(&self) -> u16 {
        self.first
    }
}

/// Reserves a port, or fails if any program has it.
fn hold(port: u16) -> rustix::io::Result<OwnedFd> {
    let socket = socket_with(
        AddressFamily::INET,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;
    use crate::wait::poll;

    #[test]
    fn a_reserved_port_is_for_its_holder_and_cannot_be_reserved_again() {
        let ports = Ports::reserve(2);
        assert!(hold(ports.first()).is_err());
        assert!(hold(ports.first() + 1).is_err());
        // A server that allows address reuse gets in, as often as it likes.
        for _ in 0..2 {
            // Other tests of this process start programs. Each has copies of all sockets between fork
            // and exec, so a listener may stay open for a moment after it was dropped.
            let listener = poll(|| TcpListener::bind(("127.0.0.1", ports.first())).ok());
            let listener = listener.expect("the holder may");
            TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
            assert!(hold(ports.first()).is_err());
        }
    }

    #[test]
    fn a_port_in_use_is_not_reserved() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("any port");
        let port = listener.local_addr().expect("bound").port();
        assert!(hold(port).is_err());
        drop(listener);
        assert!(poll(|| hold(port).ok()).is_some());
    }

    #[test]
    fn two_reservations_never_overlap() {
        let rows: Vec<Ports> = (0..50).map(|_| Ports::reserve(2)).collect();
        let mut ports: Vec<u16> = rows
            .iter()
            .flat_map(|row| [row.first(), row.first() + 1])
            .collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 100);
    }
}
