//! The threads of a tap: they pass bytes on between clients and the TPM.

use std::{
    collections::HashMap,
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Instant,
};

use super::record::{Exchange, Fault, HEADER, Record, u32_at};
use crate::{chip::Front, interposer::Interposer};

/// The shared state of the threads of one tap.
#[derive(Debug)]
pub(super) struct Shared {
    /// The TPM's data port.
    pub(super) upstream: u16,
    /// The chip that is played, if there is one.
    pub(super) front: Option<Front>,
    pub(super) stop: AtomicBool,
    pub(super) record: Mutex<Record>,
    /// The interposer, if there is one.
    pub(super) interposer: Mutex<Option<Interposer>>,
    /// The open connections, to close them at the end.
    pub(super) open: Mutex<HashMap<u64, [TcpStream; 2]>>,
}

/// A client and the TPM, connected with each other until this is dropped.
struct Pair<'a> {
    client: TcpStream,
    tpm: TcpStream,
    number: u64,
    shared: &'a Shared,
}

/// Accepts connections until told to stop, and serves each on a thread of its own.
pub(super) fn accept(shared: &Arc<Shared>, listener: &TcpListener, serve: fn(&Shared, TcpStream)) {
    let mut threads = Vec::new();
    for client in listener.incoming() {
        if shared.stop.load(Ordering::SeqCst) {
            break;
        }
        let Ok(client) = client else { continue };
        let shared = Arc::clone(shared);
        threads.retain(|thread: &thread::JoinHandle<()>| !thread.is_finished());
        threads.push(thread::spawn(move || serve(&shared, client)));
    }
    for stream in lock(&shared.open).values().flatten() {
        // The thread may have ended by itself.
        let _ = stream.shutdown(Shutdown::Both);
    }
    for thread in threads {
        let _ = thread.join();
    }
}

/// Passes commands and responses on, one exchange after the other, until either side hangs up.
pub(super) fn serve_data(shared: &Shared, client: TcpStream) {
    lock(&shared.record).connections += 1;
    if let Ok(pair) = Pair::connect(shared, client, shared.upstream) {
        while let Ok(true) = relay(shared, &pair.client, &pair.tpm) {}
    }
}

/// Passes the control channel on as bytes.
pub(super) fn serve_control(shared: &Shared, client: TcpStream) {
    let Ok(pair) = Pair::connect(shared, client, shared.upstream + 1) else {
        return;
    };
    thread::scope(|scope| {
        for (mut from, mut to) in [(&pair.client, &pair.tpm), (&pair.tpm, &pair.client)] {
            scope.spawn(move || {
                let _ = io::copy(&mut from, &mut to);
                let _ = to.shutdown(Shutdown::Write);
            });
        }
    });
}

impl<'a> Pair<'a> {
    fn connect(shared: &'a Shared, client: TcpStream, upstream: u16) -> io::Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);

        let tpm = TcpStream::connect((Ipv4Addr::LOCALHOST, upstream))?;
        client.set_nodelay(true)?;
        tpm.set_nodelay(true)?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let ends = [client.try_clone()?, tpm.try_clone()?];
        let mut open = lock(&shared.open);
        if shared.stop.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        open.insert(number, ends);
        drop(open);
        Ok(Self {
            client,
            tpm,
            number,
            shared,
        })
    }
}

impl Drop for Pair<'_> {
    fn drop(&mut self) {
        lock(&self.shared.open).remove(&self.number);
    }
}

/// One exchange. Returns `false` to close the connection.
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
    let start = Instant::now();
    let Some(mut response) = respond(shared, &command, tpm)? else {
        return Ok(false);
    };
    let pace = {
        let mut record = lock(&shared.record);
        if let Some(exchange) = record.exchanges.get_mut(index) {
            // The record may have been reset in between. Then there is nothing to complete.
            exchange.response.clone_from(&response);
        }
        record.pace
    };
    if let Some(pace) = pace {
        let exchange = Exchange {
            command,
            response: response.clone(),
        };
        thread::sleep(pace(&exchange).saturating_sub(start.elapsed()));
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

/// The response of the TPM, of the played chip, or of the interposer; `None` to close the
/// connection.
fn respond(shared: &Shared, command: &[u8], mut tpm: &TcpStream) -> io::Result<Option<Vec<u8>>> {
    if let Some(interposer) = &mut *lock(&shared.interposer) {
        return interposer.respond(command, tpm);
    }
    let mut send = |command: &[u8]| {
        tpm.write_all(command)?;
        frame(tpm)
    };
    let response = match &shared.front {
        Some(front) => front.answer(command, &mut send),
        None => send(command),
    };
    response.map(Some)
}

/// Far above the longest command of a TPM (4096), and far below the value of a broken length.
const MAX_FRAME: usize = 1 << 20;

/// Reads one command or response: tag, length, code, body.
pub(crate) fn frame(mut stream: &TcpStream) -> io::Result<Vec<u8>> {
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

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
