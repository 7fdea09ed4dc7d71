//! The exchange of keys with an SSH server, done by `ssh` and cut off before anybody logs in.
//!
//! `ssh` connects to the server through this program. Until both sides have new keys, nothing is
//! encrypted. With the message `SSH_MSG_NEWKEYS` the client shows that it has accepted the host key
//! and its signature. At that message the connection is closed, so that the server has no login to
//! refuse. An exchange of our own would have to know every method of key exchange that an
//! administrator may demand.
//!
//! # Source
//!
//! RFC 4253 sections 4.2 (version), 6 (packets) and 7.3 (`SSH_MSG_NEWKEYS`).

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use ssh_format::AnyKey;

use crate::fail::host_key::NotProven;

const SSH_MSG_NEWKEYS: u8 = 21;

/// How long the whole exchange may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// The pause between two checks of the client.
const STEP: Duration = Duration::from_millis(20);

/// The longest packet before encryption (RFC 4253 section 6.1 demands 35,000 bytes).
const MAX_PACKET: usize = 256 * 1024;

/// Has the server at `address` prove `key`; `Err` of the inner result is what `ssh` says.
///
/// # Errors
///
/// If `ssh` cannot be run.
pub(super) fn prove(address: &str, port: u16, key: &AnyKey) -> anyhow::Result<Result<(), Refusal>> {
    let server = match connect(address, port) {
        Ok(server) => server,
        Err(err) => return Ok(Err(Refusal::Cause(NotProven::NoServer(err)))),
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port is free")?;
    let relay = listener.local_addr().context("no port is free")?.port();
    let mut ssh = client(relay, key)?;
    let proven = match accept(&listener, &mut ssh)? {
        Some(client) => relayed(client, server).unwrap_or(false),
        None => false,
    };
    if proven {
        let _ = ssh.kill();
    }
    let output = ssh.wait_with_output().context("cannot run ssh")?;
    if proven {
        return Ok(Ok(()));
    }
    let said = String::from_utf8_lossy(&output.stderr);
    // ssh knows the port of this program only.
    let said = said.replace(&format!("port {relay}"), &format!("port {port}"));
    Ok(Err(Refusal::Said(said)))
}

/// Why the key is not proven.
pub(super) enum Refusal {
    Cause(NotProven),
    /// What `ssh` wrote.
    Said(String),
}

fn connect(address: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::ErrorKind::NotFound.into();
    for place in (address, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&place, PATIENCE / 2) {
            Ok(stream) => return Ok(stream),
            Err(err) => last = err,
        }
    }
    Err(last)
}

/// Starts `ssh`, trusting `key` alone.
fn client(relay: u16, key: &AnyKey) -> anyhow::Result<Child> {
    let algorithms = match key.algorithm() {
        "ssh-rsa" => "rsa-sha2-512,rsa-sha2-256",
        algorithm => algorithm,
    };
    let mut ssh = Command::new("ssh");
    ssh.args(["-F", "/dev/null", "-T", "-p", &relay.to_string()]);
    for option in [
        // Prints a line of known_hosts that is for any host; no file needs to be written.
        format!("KnownHostsCommand=/bin/echo * {}", key.line("")),
        format!("HostKeyAlgorithms={algorithms}"),
        "UserKnownHostsFile=/dev/null".into(),
        "GlobalKnownHostsFile=/dev/null".into(),
        "StrictHostKeyChecking=yes".into(),
        "UpdateHostKeys=no".into(),
        "PreferredAuthentications=none".into(),
        "IdentityAgent=none".into(),
        "BatchMode=yes".into(),
        "LogLevel=INFO".into(),
    ] {
        ssh.args(["-o", &option]);
    }
    ssh.args(["-l", "nobody", "--", "127.0.0.1", "true"]);
    ssh.env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    match ssh.spawn() {
        Err(err) if err.kind() == io::ErrorKind::NotFound => {
            Err(err).context("ssh is not installed")
        }
        child => child.context("cannot run ssh"),
    }
}

/// The connection of the client; none if it ends without one.
fn accept(listener: &TcpListener, ssh: &mut Child) -> anyhow::Result<Option<TcpStream>> {
    listener.set_nonblocking(true)?;
    let end = Instant::now() + PATIENCE;
    loop {
        match listener.accept() {
            // Another program of this machine may connect as well, and gets nothing.
            Ok((stream, from)) if is_local(from) => {
                stream.set_nonblocking(false)?;
                return Ok(Some(stream));
            }
            Ok(_) => {}
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => {}
            Err(err) => return Err(err).context("cannot reach ssh"),
        }
        if ssh.try_wait()?.is_some() {
            return Ok(None);
        }
        if Instant::now() > end {
            ssh.kill()?;
            return Ok(None);
        }
        thread::sleep(STEP);
    }
}

fn is_local(from: SocketAddr) -> bool {
    from.ip().is_loopback()
}

/// Passes the messages of both sides on. Returns whether the client accepted the host key.
fn relayed(client: TcpStream, server: TcpStream) -> io::Result<bool> {
    for stream in [&client, &server] {
        stream.set_read_timeout(Some(PATIENCE))?;
    }
    let (mut from_server, mut to_client) = (server.try_clone()?, client.try_clone()?);
    let answers = thread::spawn(move || {
        let _ = io::copy(&mut from_server, &mut to_client);
        let _ = to_client.shutdown(Shutdown::Both);
    });
    let (mut to_server, closing) = (server.try_clone()?, client.try_clone()?);
    let accepted = until_new_keys(BufReader::new(client), &mut to_server);
    if !matches!(accepted, Ok(false)) {
        let _ = closing.shutdown(Shutdown::Both);
    }
    // A client that gave up has printed the reason. The server sees the end of the connection.
    let _ = server.shutdown(Shutdown::Both);
    let _ = answers.join();
    accepted
}

/// Passes the client's messages on, up to `SSH_MSG_NEWKEYS`, which is not passed on; `false` if the
/// client ends before.
fn until_new_keys(mut client: impl BufRead, server: &mut impl Write) -> io::Result<bool> {
    let mut version = Vec::new();
    (&mut client).take(512).read_until(b'\n', &mut version)?;
    server.write_all(&version)?;
    loop {
        let mut length = [0; 4];
        match client.read_exact(&mut length) {
            Err(err) if err.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            read => read?,
        }
        let size = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if size > MAX_PACKET {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut packet = vec![0; size];
        client.read_exact(&mut packet)?;
        // The length of the padding, then the payload, which starts with the number of the message.
        if packet.get(1) == Some(&SSH_MSG_NEWKEYS) {
            return Ok(true);
        }
        server.write_all(&length)?;
        server.write_all(&packet)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(message: u8) -> Vec<u8> {
        let mut packet = vec![0, 0, 0, 8, 4, message];
        packet.extend([0; 6]);
        packet
    }

    #[test]
    fn the_servers_hears_everything_before_the_new_keys() {
        let version = b"SSH-2.0-test\r\n".to_vec();
        let before = [version, packet(20), packet(30)].concat();
        let all = [before.clone(), packet(SSH_MSG_NEWKEYS), packet(5)].concat();
        let mut heard = Vec::new();
        assert!(until_new_keys(all.as_slice(), &mut heard).unwrap());
        assert_eq!(heard, before);
        let mut heard = Vec::new();
        assert!(!until_new_keys(before.as_slice(), &mut heard).unwrap());
        assert_eq!(heard, before);
    }

    #[test]
    fn a_packet_of_any_length_is_not_believed() {
        let mut all = b"SSH-2.0-test\r\n".to_vec();
        all.extend([0xff; 8]);
        assert!(until_new_keys(all.as_slice(), &mut Vec::new()).is_err());
    }
}
