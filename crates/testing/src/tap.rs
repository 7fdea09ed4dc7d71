//! A proxy between a client and its TPM: it counts, records and disturbs.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::{Swtpm, port::Ports};

/// `TPM_CC_FlushContext`, which a budget of TPM commands does not count.
const FLUSH_CONTEXT: u32 = 0x165;

/// A proxy in front of a [`Swtpm`], with a [`tcti`](Self::tcti) of its own.
///
/// Each connection to it is one connection to the TPM, so the TPM's habit of serving one client at a time
/// shows through. The control port is passed on as it is.
#[derive(Debug)]
pub struct Tap {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    ports: Ports,
}

/// A command and what came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// The command as the client sent it.
    pub command: Vec<u8>,
    /// The response as the TPM gave it, before any [`Fault`]; empty where there was none.
    pub response: Vec<u8>,
}

impl Exchange {
    /// The command code, `TPM_CC_…`.
    #[must_use]
    pub fn code(&self) -> u32 {
        u32_at(&self.command, 6)
    }

    /// The response code, `TPM_RC_…`; `None` where the TPM gave no response.
    #[must_use]
    pub fn response_code(&self) -> Option<u32> {
        (self.response.len() >= HEADER).then(|| u32_at(&self.response, 6))
    }
}

/// Which commands a [`Fault`] is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Every command.
    Always,
    /// Every command with this code.
    Command(u32),
    /// The next command with this code, once.
    Next(u32),
    /// The nth command from now, once; 0 is the next one. FlushContext counts here.
    Nth(usize),
}

/// What happens to a command instead of a plain exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The command waits this long before it is passed on.
    Delay(Duration),
    /// The TPM gets the first so many bytes of the command, then both connections end.
    CutRequest(usize),
    /// The client gets the first so many bytes of the response, then both connections end.
    CutReply(usize),
    /// The response byte at this offset, counted from the end where negative, is inverted.
    Garble(isize),
    /// The TPM does not get the command; the client gets this response code.
    Answer(u32),
    /// The TPM does not get the command; the client gets nothing, until it hangs up.
    Silence,
}

#[derive(Debug)]
struct Shared {
    upstream: u16,
    stop: AtomicBool,
    record: Mutex<Record>,
    /// One end of every open connection, to end them by.
    open: Mutex<Vec<TcpStream>>,
}

#[derive(Debug, Default)]
struct Record {
    exchanges: Vec<Exchange>,
    faults: Vec<(When, Fault)>,
    connections: usize,
}

impl Tap {
    /// Starts a proxy in front of `swtpm`.
    ///
    /// # Panics
    ///
    /// If there is no free port.
    #[must_use]
    pub fn start(swtpm: &Swtpm) -> Self {
        let ports = Ports::reserve(2);
        let shared = Arc::new(Shared {
            upstream: swtpm.port(),
            stop: AtomicBool::new(false),
            record: Mutex::default(),
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

    /// Whether these bytes crossed the wire, in a command or a response.
    ///
    /// # Panics
    ///
    /// If `secret` is empty, which every wire has carried.
    #[must_use]
    pub fn saw(&self, secret: &[u8]) -> bool {
        assert!(!secret.is_empty(), "an empty secret is seen everywhere");
        let within = |bytes: &[u8]| bytes.windows(secret.len()).any(|window| window == secret);
        self.record()
            .exchanges
            .iter()
            .any(|exchange| within(&exchange.command) || within(&exchange.response))
    }

    /// Forgets what was recorded; faults stay.
    pub fn reset(&self) {
        let mut record = self.record();
        record.exchanges.clear();
        record.connections = 0;
    }

    /// Disturbs the commands of `when`. The first fault that fits a command is the one it gets.
    pub fn inject(&self, when: When, fault: Fault) {
        self.record().faults.push((when, fault));
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
            // Wakes the listener, which then sees `stop`. If it cannot be reached it has ended.
            let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, port));
        }
        for thread in self.threads.drain(..) {
            // A panic in there has been printed already.
            let _ = thread.join();
        }
    }
}

/// Accepts connections until told to stop, and serves each on a thread of its own.
fn accept(shared: &Arc<Shared>, listener: &TcpListener, serve: fn(&Shared, TcpStream)) {
    let mut threads = Vec::new();
    for client in listener.incoming() {
        if shared.stop.load(Ordering::SeqCst) {
            break;
        }
        let Ok(client) = client else { continue };
        let shared = Arc::clone(shared);
        threads.push(thread::spawn(move || serve(&shared, client)));
    }
    for stream in lock(&shared.open).drain(..) {
        // It may have ended by itself.
        let _ = stream.shutdown(Shutdown::Both);
    }
    for thread in threads {
        let _ = thread.join();
    }
}

/// Passes commands and responses on, one exchange after the other, until either side hangs up.
fn serve_data(shared: &Shared, client: TcpStream) {
    lock(&shared.record).connections += 1;
    let Some((client, tpm)) = pair(shared, client, shared.upstream) else {
        return;
    };
    while let Ok(true) = relay(shared, &client, &tpm) {}
    let _ = client.shutdown(Shutdown::Both);
    let _ = tpm.shutdown(Shutdown::Both);
}

/// Passes the control channel on as bytes.
fn serve_control(shared: &Shared, client: TcpStream) {
    let Some((client, tpm)) = pair(shared, client, shared.upstream + 1) else {
        return;
    };
    thread::scope(|scope| {
        for (mut from, mut to) in [(&client, &tpm), (&tpm, &client)] {
            scope.spawn(move || {
                let _ = io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Write);
            });
        }
    });
}

/// Connects a client with the TPM, and notes both for the end.
fn pair(shared: &Shared, client: TcpStream, upstream: u16) -> Option<(TcpStream, TcpStream)> {
    let tpm = TcpStream::connect((Ipv4Addr::LOCALHOST, upstream)).ok()?;
    for stream in [&client, &tpm] {
        stream.set_nodelay(true).ok()?;
    }
    let mut open = lock(&shared.open);
    if shared.stop.load(Ordering::SeqCst) {
        return None;
    }
    open.push(client.try_clone().ok()?);
    open.push(tpm.try_clone().ok()?);
    drop(open);
    Some((client, tpm))
}

/// One exchange. `false` where the connection is to end.
fn relay(shared: &Shared, mut client: &TcpStream, mut tpm: &TcpStream) -> io::Result<bool> {
    let command = frame(client)?;
    let (index, fault) = {
        let mut record = lock(&shared.record);
        record.exchanges.push(Exchange {
            command: command.clone(),
            response: Vec::new(),
        });
        (
            record.exchanges.len() - 1,
            record.next_fault(u32_at(&command, 6)),
        )
    };
    match fault {
        Some(Fault::CutRequest(bytes)) => {
            tpm.write_all(&command[..bytes.min(command.len())])?;
            return Ok(false);
        }
        Some(Fault::Answer(code)) => {
            let mut answer = *b"\x80\x01\x00\x00\x00\x0a\x00\x00\x00\x00";
            answer[6..].copy_from_slice(&code.to_be_bytes());
            client.write_all(&answer)?;
            return Ok(true);
        }
        Some(Fault::Silence) => {
            // Returns when the client hangs up, or the tap is dropped.
            io::copy(&mut client, &mut io::sink())?;
            return Ok(false);
        }
        Some(Fault::Delay(time)) => thread::sleep(time),
        Some(Fault::CutReply(_) | Fault::Garble(_)) | None => {}
    }
    tpm.write_all(&command)?;
    let mut response = frame(tpm)?;
    if let Some(exchange) = lock(&shared.record).exchanges.get_mut(index) {
        // Not so after a reset() in between; then nobody asks for it either.
        exchange.response.clone_from(&response);
    }
    match fault {
        Some(Fault::CutReply(bytes)) => {
            client.write_all(&response[..bytes.min(response.len())])?;
            return Ok(false);
        }
        Some(Fault::Garble(offset)) => {
            let length = isize::try_from(response.len()).unwrap_or(isize::MAX);
            let index = if offset < 0 { length + offset } else { offset };
            if let Some(byte) = usize::try_from(index)
                .ok()
                .and_then(|i| response.get_mut(i))
            {
                *byte = !*byte;
            }
        }
        _ => {}
    }
    client.write_all(&response)?;
    Ok(true)
}

impl Record {
    /// The fault for the command that has just arrived.
    fn next_fault(&mut self, code: u32) -> Option<Fault> {
        let mut hit = None;
        self.faults.retain_mut(|(when, fault)| {
            let (fits, stays) = match when {
                When::Always => (true, true),
                When::Command(wanted) => (*wanted == code, true),
                When::Next(wanted) => (*wanted == code, *wanted != code || hit.is_some()),
                When::Nth(0) => (true, false),
                When::Nth(left) => {
                    *left -= 1;
                    (false, true)
                }
            };
            if fits && hit.is_none() {
                hit = Some(*fault);
            }
            stays
        });
        hit
    }
}

const HEADER: usize = 10;
/// Far above what a TPM takes (4096), and far below what a broken length could claim.
const MAX_FRAME: usize = 1 << 20;

/// Reads one command or response: tag, length, code, body.
fn frame(mut stream: &TcpStream) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; HEADER];
    stream.read_exact(&mut bytes)?;
    let length = u32_at(&bytes, 2) as usize;
    if !(HEADER..=MAX_FRAME).contains(&length) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    bytes.resize(length, 0);
    stream.read_exact(&mut bytes[HEADER..])?;
    Ok(bytes)
}

/// The big-endian number at `offset` of a header.
fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    bytes[offset..offset + 4]
        .iter()
        .fold(0, |number, byte| number << 8 | u32::from(*byte))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
