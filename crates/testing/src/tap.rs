//! A proxy between a client and its TPM: it counts, records, disturbs and interposes.

mod record;
mod relay;

use std::{
    io,
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

pub use record::{Exchange, Fault, When};
pub(crate) use relay::frame;

use self::{
    record::Record,
    relay::{Shared, accept, lock, serve_control, serve_data},
};
use crate::{
    Swtpm,
    chip::Front,
    interposer::{Action, Interposer, Step},
    port::Ports,
};

/// `TPM_CC_FlushContext`, which a budget of TPM commands does not count.
const FLUSH_CONTEXT: u32 = 0x165;

/// A proxy in front of a [`Swtpm`], with a [`tcti`](Self::tcti) of its own.
///
/// Each connection to it is one connection to the TPM, so it also serves one client at a time.
/// Bytes of the control port are passed on unchanged.
#[derive(Debug)]
pub struct Tap {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    ports: Ports,
}

impl Tap {
    /// Starts a proxy in front of `swtpm`.
    ///
    /// # Panics
    ///
    /// If there is no free port.
    #[must_use]
    pub fn start(swtpm: &Swtpm) -> Self {
        Self::between(swtpm, None)
    }

    /// Starts a proxy in front of `swtpm` that plays a chip.
    pub(crate) fn with_front(swtpm: &Swtpm, front: Front) -> Self {
        Self::between(swtpm, Some(front))
    }

    fn between(swtpm: &Swtpm, front: Option<Front>) -> Self {
        let ports = Ports::reserve(2);
        let shared = Arc::new(Shared {
            upstream: swtpm.port(),
            front,
            stop: AtomicBool::new(false),
            record: Mutex::default(),
            interposer: Mutex::default(),
            open: Mutex::default(),
        });
        let listen = |offset: u16, serve: fn(&Shared, TcpStream)| {
            let port = ports.first() + offset;
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
                .unwrap_or_else(|err| panic!("cannot listen on reserved port {port}: {err}"));
            let shared = Arc::clone(&shared);
            thread::spawn(move || accept(&shared, &listener, serve))
        };
        let threads = vec![listen(0, serve_data), listen(1, serve_control)];
        Self {
            shared,
            threads,
            ports,
        }
    }

    /// The connection string: `swtpm:host=127.0.0.1,port=…`.
    #[must_use]
    pub fn tcti(&self) -> String {
        format!("swtpm:host=127.0.0.1,port={}", self.port())
    }

    /// The data port; the control port is the one after it.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.ports.first()
    }

    /// How many commands there were, `TPM2_FlushContext` not counted.
    #[must_use]
    pub fn count(&self) -> usize {
        let codes = self.commands();
        codes.iter().filter(|code| **code != FLUSH_CONTEXT).count()
    }

    /// The codes of all commands so far, `TPM2_FlushContext` included.
    #[must_use]
    pub fn commands(&self) -> Vec<u32> {
        self.record().exchanges.iter().map(Exchange::code).collect()
    }

    /// All commands so far with their responses.
    #[must_use]
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.record().exchanges.clone()
    }

    /// How many data connections there were.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.record().connections
    }

    /// Whether these bytes are in a recorded command or response.
    ///
    /// # Panics
    ///
    /// If `secret` is empty.
    #[must_use]
    pub fn saw(&self, secret: &[u8]) -> bool {
        assert!(!secret.is_empty(), "an empty secret is seen everywhere");
        let within = |bytes: &[u8]| bytes.windows(secret.len()).any(|window| window == secret);
        self.record()
            .exchanges
            .iter()
            .any(|exchange| within(&exchange.command) || within(&exchange.response))
    }

    /// Deletes the record. Faults stay.
    pub fn reset(&self) {
        let mut record = self.record();
        record.exchanges.clear();
        record.connections = 0;
    }

    /// Disturbs the commands of `when`. If several faults fit a command, it gets the first one.
    pub fn inject(&self, when: When, fault: Fault) {
        self.record().faults.push((when, fault));
    }

    /// Lets `decide` handle each command from now on, in place of an earlier interposer. The record
    /// then has the commands of the client and the responses that it got.
    ///
    /// An error closes the connection. Faults have precedence: `decide` does not get a command that
    /// a fault withholds.
    pub fn interpose(
        &self,
        decide: impl FnMut(&mut Step<'_>) -> io::Result<Action> + Send + 'static,
    ) {
        *lock(&self.shared.interposer) = Some(Interposer::new(decide));
    }

    /// Removes the interposer.
    pub fn stop_interposing(&self) {
        *lock(&self.shared.interposer) = None;
    }

    /// Makes each exchange take at least the time that `pace` gives, as with a slower chip; `None`
    /// ends that. The time of the TPM itself counts.
    pub fn set_pace(&self, pace: Option<fn(&Exchange) -> Duration>) {
        self.record().pace = pace;
    }

    /// Ends all disturbances.
    pub fn clear_faults(&self) {
        self.record().faults.clear();
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        lock(&self.shared.record)
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for port in [self.port(), self.port() + 1] {
            // Wakes the listener, which then checks `stop`. If it cannot be reached, it has ended.
            let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, port));
        }
        for thread in self.threads.drain(..) {
            // A panic in that thread was printed already.
            let _ = thread.join();
        }
    }
}
