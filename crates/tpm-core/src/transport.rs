//! How bytes reach a TPM: device nodes, swtpm, and the resource manager tpm2-abrmd.

mod device;
pub(crate) mod exchange;
mod message_bus;
mod readiness;
mod swtpm;
mod tabrmd;
pub(crate) mod tcti;

use self::{
    device::Device,
    exchange::{Deadline, Transport},
    swtpm::Socket,
    tabrmd::Tabrmd,
};
use crate::{Result, Tcti};

/// Opens a connection.
pub(crate) fn open(tcti: &Tcti, deadline: Deadline) -> Result<Box<dyn Transport>> {
    Ok(match tcti {
        Tcti::Device(path) => Box::new(Device::open(path, deadline)?),
        Tcti::Swtpm { host, port } => Box::new(Socket::connect(*host, *port, tcti, deadline)?),
        Tcti::Tabrmd(conf) => Box::new(Tabrmd::connect(conf, tcti, deadline)?),
    })
}
