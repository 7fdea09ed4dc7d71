//! What tss-esapi does not wrap: sending bytes through libtss2's transport modules.
//!
//! This is the only `unsafe` code of the crate. It is used for the resource manager
//! tpm2-abrmd (`tabrmd:`), which is reached over D-Bus by its own module, and for the TCG
//! simulator (`mssim:`); device nodes and swtpm need no C library.

#![expect(
    unsafe_code,
    reason = "libtss2's transport interface (TCTI) is a C structure of function pointers"
)]

use std::{ffi::CString, io, ptr};

use tss_esapi_sys::{
    TSS2_TCTI_CONTEXT, TSS2_TCTI_CONTEXT_COMMON_V1, Tss2_TctiLdr_Finalize, Tss2_TctiLdr_Initialize,
};

use super::exchange::{Deadline, MAX_BUFFER, Transport, checked_length};
use crate::{Error, Result, Tcti};

/// `TSS2_TCTI_RC_TRY_AGAIN` (layer 10, code 9): nothing arrived before the timeout.
const TRY_AGAIN: u32 = 0x000a_0009;

/// `TSS2_TCTI_RC_NOT_IMPLEMENTED` / `BAD_VALUE`: this module knows no timeouts.
const NO_TIMEOUTS: [u32; 2] = [0x000a_0002, 0x000a_000b];

/// A transport module of libtss2, loaded and connected.
pub(crate) struct LoadedTcti(*mut TSS2_TCTI_CONTEXT);

// SAFETY: a TCTI context has no tie to the thread that made it, and `&mut self` on every use
// makes sure that one thread uses it at a time.
unsafe impl Send for LoadedTcti {}

impl LoadedTcti {
    /// Loads the module that `tcti` names and connects.
    pub(crate) fn load(tcti: &Tcti) -> Result<Self> {
        let text = tcti.to_string();
        let no_tpm = |rc: u32| Error::NoTpm {
            tcti: text.clone(),
            source: io::Error::other(format!("libtss2 reports {rc:#x}")),
        };
        let conf = CString::new(text.as_str()).map_err(|_| no_tpm(0))?;
        let mut context = ptr::null_mut();
        // SAFETY: `conf` is a C string, and `context` a place for the pointer.
        let rc = unsafe { Tss2_TctiLdr_Initialize(conf.as_ptr(), &raw mut context) };
        if rc != 0 || context.is_null() {
            return Err(no_tpm(rc));
        }
        Ok(Self(context))
    }

    fn functions(&self) -> TSS2_TCTI_CONTEXT_COMMON_V1 {
        let common = self.0.cast::<TSS2_TCTI_CONTEXT_COMMON_V1>();
        // SAFETY: every TCTI context begins with this structure (TCTI specification, section
        // 3.4), and the pointer is valid until `drop`.
        unsafe { common.read() }
    }

    fn send(&mut self, command: &[u8]) -> u32 {
        let Some(transmit) = self.functions().transmit else {
            return NO_TIMEOUTS[0];
        };
        let size = command.len() as u64;
        // SAFETY: the context is valid, and `command` is as long as it says.
        unsafe { transmit(self.0, size, command.as_ptr()) }
    }

    fn receive(&mut self, response: &mut Vec<u8>, timeout: i32) -> u32 {
        let Some(receive) = self.functions().receive else {
            return NO_TIMEOUTS[0];
        };
        response.resize(MAX_BUFFER, 0);
        let mut size = response.len() as u64;
        // SAFETY: the context is valid, and `response` has room for `size` bytes.
        let rc = unsafe { receive(self.0, &raw mut size, response.as_mut_ptr(), timeout) };
        response.truncate(usize::try_from(size).unwrap_or(0));
        rc
    }
}

impl Transport for LoadedTcti {
    fn transact(&mut self, command: &[u8], deadline: Deadline) -> Result<Vec<u8>> {
        let broken =
            |rc: u32| Error::Connection(io::Error::other(format!("libtss2 reports {rc:#x}")));
        match self.send(command) {
            0 => {}
            rc => return Err(broken(rc)),
        }
        let mut response = Vec::new();
        loop {
            let left = i32::try_from(deadline.left()?.as_millis()).unwrap_or(i32::MAX);
            let mut rc = self.receive(&mut response, left);
            if NO_TIMEOUTS.contains(&rc) {
                // `TSS2_TCTI_TIMEOUT_BLOCK`.
                rc = self.receive(&mut response, -1);
            }
            match rc {
                0 => break,
                TRY_AGAIN => {}
                rc => return Err(broken(rc)),
            }
        }
        if checked_length(&response)? != response.len() {
            return Err(Error::Malformed("response length"));
        }
        Ok(response)
    }
}

impl Drop for LoadedTcti {
    fn drop(&mut self) {
        // SAFETY: the context came from `Tss2_TctiLdr_Initialize` and is finalized only here.
        unsafe { Tss2_TctiLdr_Finalize(&raw mut self.0) };
    }
}
