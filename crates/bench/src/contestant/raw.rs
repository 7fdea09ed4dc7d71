//! Bytes to a TPM and back, with nothing in between.
//!
//! `swtpm:` is a TCP connection. `tabrmd:` is libtss2's own transport module: C has nothing simpler
//! to reach the resource manager, so it is part of the floor.

#![expect(
    unsafe_code,
    reason = "libtss2's transport interface (TCTI) is a C structure of function pointers"
)]

use std::{
    ffi::CString,
    io::{Read, Write},
    net::TcpStream,
    ptr,
};

use anyhow::{Context, Result, ensure};
use tss_esapi_sys::{
    TSS2_TCTI_CONTEXT, TSS2_TCTI_CONTEXT_COMMON_V1, Tss2_TctiLdr_Finalize, Tss2_TctiLdr_Initialize,
};

/// The longest response of any TPM.
const MAX_RESPONSE: usize = 4096;

/// An open connection.
pub(super) enum Connection {
    Socket(TcpStream, Vec<u8>),
    Module(Module, Vec<u8>),
}

impl Connection {
    /// Connects to `swtpm:host=…,port=…`, or to any transport that libtss2 knows.
    pub(super) fn open(tcti: &str) -> Result<Self> {
        let buffer = vec![0; MAX_RESPONSE];
        let Some(parts) = tcti.strip_prefix("swtpm:") else {
            return Ok(Self::Module(Module::load(tcti)?, buffer));
        };
        let part = |name| {
            let mut parts = parts.split(',');
            parts.find_map(|part| part.strip_prefix(name))
        };
        let host = part("host=").context("no host in the TCTI")?;
        let port = part("port=")
            .context("no port in the TCTI")?
            .parse::<u16>()?;
        let socket = TcpStream::connect((host, port))?;
        socket.set_nodelay(true)?;
        Ok(Self::Socket(socket, buffer))
    }

    /// One command, one response.
    pub(super) fn transact(&mut self, command: &[u8]) -> Result<Vec<u8>> {
        let (buffer, length) = match self {
            Self::Socket(socket, buffer) => {
                socket.write_all(command)?;
                // swtpm writes a response at once.
                let length = socket.read(buffer)?;
                (buffer, length)
            }
            Self::Module(module, buffer) => {
                let length = module.transact(command, buffer)?;
                (buffer, length)
            }
        };
        let response = buffer.get(..length).context("a response too long")?;
        let stated = response.get(2..6).context("a response cut short")?;
        ensure!(
            stated == (length as u32).to_be_bytes(),
            "a response in parts"
        );
        Ok(response.to_vec())
    }
}

/// A transport module of libtss2, connected.
pub(super) struct Module(*mut TSS2_TCTI_CONTEXT);

impl Module {
    fn load(tcti: &str) -> Result<Self> {
        let conf = CString::new(tcti)?;
        let mut context = ptr::null_mut();
        // SAFETY: `conf` is a C string, and `context` a place for the pointer.
        let rc = unsafe { Tss2_TctiLdr_Initialize(conf.as_ptr(), &raw mut context) };
        ensure!(rc == 0 && !context.is_null(), "libtss2 reports {rc:#x}");
        Ok(Self(context))
    }

    fn transact(&mut self, command: &[u8], response: &mut [u8]) -> Result<usize> {
        let common = self.0.cast::<TSS2_TCTI_CONTEXT_COMMON_V1>();
        // SAFETY: every TCTI context begins with this structure, and the pointer is valid
        // until `drop`.
        let common = unsafe { common.read() };
        let transmit = common.transmit.context("a transport that cannot send")?;
        let receive = common.receive.context("a transport that cannot receive")?;
        // SAFETY: the context is valid, and `command` is as long as it says.
        let rc = unsafe { transmit(self.0, command.len() as u64, command.as_ptr()) };
        ensure!(rc == 0, "libtss2 reports {rc:#x}");
        let mut size = response.len() as u64;
        // SAFETY: the context is valid, and `response` has room for `size` bytes; -1 waits.
        let rc = unsafe { receive(self.0, &raw mut size, response.as_mut_ptr(), -1) };
        ensure!(rc == 0, "libtss2 reports {rc:#x}");
        Ok(usize::try_from(size)?)
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        // SAFETY: the context came from `Tss2_TctiLdr_Initialize` and is finalized only here.
        unsafe { Tss2_TctiLdr_Finalize(&raw mut self.0) };
    }
}
