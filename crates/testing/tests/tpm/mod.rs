//! Just enough of a TPM client to see whether it is one, in plain bytes.

// Every test program has its own copy of this module and uses a part of it.
#![allow(dead_code, reason = "no test program needs all of it")]

use std::{
    io::{self, Read, Write},
    net::TcpStream,
    time::Duration,
};

use testing::{Swtpm, Tap};

/// TPM2_ReadClock.
pub(crate) const READ_CLOCK: u32 = 0x181;
/// TPM2_GetRandom.
pub(crate) const GET_RANDOM: u32 = 0x17B;
/// TPM2_FlushContext.
pub(crate) const FLUSH_CONTEXT: u32 = 0x165;
const GET_CAPABILITY: u32 = 0x17A;
const NV_DEFINE_SPACE: u32 = 0x12A;

pub(crate) struct Client {
    stream: TcpStream,
}

impl Client {
    pub(crate) fn of(swtpm: &Swtpm) -> Self {
        Self::try_connect(swtpm.port()).expect("swtpm listens")
    }

    pub(crate) fn through(tap: &Tap) -> Self {
        Self::try_connect(tap.port()).expect("the tap listens")
    }

    pub(crate) fn try_connect(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(Self { stream })
    }

    /// Sends a command and returns the whole response.
    pub(crate) fn call(&mut self, tag: u16, code: u32, body: &[u8]) -> io::Result<Vec<u8>> {
        self.stream.write_all(&command(tag, code, body))?;
        let mut response = vec![0; 10];
        self.stream.read_exact(&mut response)?;
        let length = u32::from_be_bytes(response[2..6].try_into().expect("4 bytes"));
        response.resize(length as usize, 0);
        self.stream.read_exact(&mut response[10..])?;
        Ok(response)
    }

    pub(crate) fn read_clock(&mut self) -> io::Result<Vec<u8>> {
        self.call(0x8001, READ_CLOCK, &[])
    }

    pub(crate) fn send_read_clock(&mut self) {
        self.stream
            .write_all(&command(0x8001, READ_CLOCK, &[]))
            .expect("connected");
    }

    pub(crate) fn answered_within(&mut self, time: Duration) -> bool {
        self.stream.set_read_timeout(Some(time)).expect("connected");
        self.stream.read_exact(&mut [0; 10]).is_ok()
    }

    /// Whatever still comes before the other side hangs up.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        // A reset after the last byte is a way to hang up, too.
        let _ = self.stream.read_to_end(&mut rest);
        rest
    }

    /// The last byte of TPMS_TIME_INFO.
    pub(crate) fn clock_is_safe(&mut self) -> bool {
        self.read_clock().expect("it answers").last() == Some(&1)
    }

    /// Defines an ordinary index of 8 bytes with the owner's (empty) authorization.
    pub(crate) fn define_nv(&mut self, index: u32) {
        let mut body = Vec::new();
        body.extend(0x4000_0001_u32.to_be_bytes()); // TPM_RH_OWNER
        body.extend(b"\0\0\0\x09\x40\0\0\x09\0\0\x01\0\0"); // an empty password
        body.extend(b"\0\0\0\x0e"); // no auth value; then the size of the public area
        body.extend(index.to_be_bytes());
        body.extend(b"\0\x0b\x00\x02\x00\x02\0\0\0\x08"); // SHA-256, OWNERREAD|OWNERWRITE, no policy, 8 bytes
        let response = self
            .call(0x8002, NV_DEFINE_SPACE, &body)
            .expect("it answers");
        assert_eq!(response[6..10], [0; 4], "{response:02x?}");
    }

    pub(crate) fn has_nv(&mut self, index: u32) -> bool {
        self.handles(index).first() == Some(&index)
    }

    /// The handles in use from `first` on, of its kind.
    pub(crate) fn handles(&mut self, first: u32) -> Vec<u32> {
        let mut body = 1_u32.to_be_bytes().to_vec(); // TPM_CAP_HANDLES
        body.extend(first.to_be_bytes());
        body.extend(64_u32.to_be_bytes());
        let response = self
            .call(0x8001, GET_CAPABILITY, &body)
            .expect("it answers");
        response[19..]
            .chunks_exact(4)
            .map(|handle| u32::from_be_bytes(handle.try_into().expect("4 bytes")))
            .collect()
    }
}

pub(crate) fn command(tag: u16, code: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(10 + body.len()).expect("a short command");
    let mut command = tag.to_be_bytes().to_vec();
    command.extend(length.to_be_bytes());
    command.extend(code.to_be_bytes());
    command.extend(body);
    command
}
