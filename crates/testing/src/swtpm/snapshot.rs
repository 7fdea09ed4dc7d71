//! Snapshots of the permanent state of a simulator.

use std::{
    fs,
    io::{self, Read, Write},
    net::{Ipv4Addr, TcpStream},
    time::Duration,
};

use super::{SHUTDOWN, Swtpm};
use crate::temp::temp_dir;

/// `TPM2_Startup(TPM_SU_CLEAR)`.
const STARTUP: &[u8] = b"\x80\x01\0\0\0\x0c\0\0\x01\x44\0\0";
/// The file in the state directory in which swtpm keeps the permanent state of a TPM 2.0.
const STATE: &str = "tpm2-00.permall";

/// Commands of the control channel: `CMD_STOP`; `CMD_INIT` with no flags.
///
/// # Source
///
/// `swtpm_ioctls(3)` and `tpm_ioctl.h` of swtpm.
const CMD_STOP: &[u8] = &[0, 0, 0, 14];
const CMD_INIT: &[u8] = &[0, 0, 0, 2, 0, 0, 0, 0];

/// The permanent state of a [`Swtpm`]: seeds, hierarchies, persistent keys, NV indexes, lockout.
#[derive(Debug, Clone)]
pub struct Snapshot(Vec<u8>);

impl Swtpm {
    /// Starts a TPM with the state of another, so that both are the same TPM and cannot play two machines.
    ///
    /// # Panics
    ///
    /// If `swtpm` is not installed or does not start.
    #[must_use]
    pub fn copy_of(Snapshot(state): &Snapshot) -> Self {
        let dir = temp_dir("tpmssh-swtpm-");
        fs::write(dir.path().join(STATE), state).expect("a fresh directory is writable");
        Self::with_state(dir)
    }

    /// Shuts the TPM down orderly and returns its permanent state. The simulator keeps running.
    ///
    /// # Panics
    ///
    /// If it is off, or a connection to it is open.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let answer = self.send(SHUTDOWN, Duration::from_secs(5));
        let answer = answer.expect("nobody else is connected");
        assert_eq!(answer[6..], [0; 4], "TPM2_Shutdown");
        let state = fs::read(self.state_dir().join(STATE));
        Snapshot(state.expect("a TPM that was shut down has written its state"))
    }

    /// Resets the TPM and starts it from `snapshot`, in half a millisecond, so that a test of many
    /// cases needs only one simulator. Loaded objects and sessions are lost.
    ///
    /// Its random numbers are different each time, because its generator gets a new seed.
    ///
    /// # Panics
    ///
    /// If it is off, or a connection to it is open.
    pub fn rewind(&self, snapshot: &Snapshot) {
        let rewound = self.reset_to(snapshot);
        rewound.expect("swtpm takes back the state that it has written");
        let answer = self.send(STARTUP, Duration::from_secs(5));
        let answer = answer.expect("nobody else is connected");
        assert_eq!(answer[6..], [0; 4], "TPM2_Startup");
    }

    fn reset_to(&self, Snapshot(state): &Snapshot) -> io::Result<()> {
        let mut control = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port() + 1))?;
        control.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut call = |command: &[u8]| {
            control.write_all(command)?;
            let mut result = [0xff; 4];
            control.read_exact(&mut result)?;
            match result {
                [0, 0, 0, 0] => Ok(()),
                code => Err(io::Error::other(format!("swtpm control: {code:02x?}"))),
            }
        };
        call(CMD_STOP)?;
        fs::write(self.state_dir().join(STATE), state)?;
        call(CMD_INIT)
    }
}
