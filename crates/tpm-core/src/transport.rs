//! How bytes reach a TPM: device nodes, swtpm, and the transports of libtss2.

mod dbus;
mod device;
pub(crate) mod exchange;
mod libtss2;
mod swtpm;
pub(crate) mod tcti;

use self::{
    device::Device,
    exchange::{Deadline, Transport},
    libtss2::LoadedTcti,
    swtpm::Socket,
};
use crate::{Error, Result, Tcti};

/// Opens a connection.
pub(crate) fn open(tcti: &Tcti, deadline: Deadline) -> Result<Box<dyn Transport>> {
    Ok(match tcti {
        Tcti::Device(path) => Box::new(Device::open(path, deadline)?),
        Tcti::Swtpm { host, port } => Box::new(Socket::connect(*host, *port, tcti, deadline)?),
        Tcti::Tabrmd(conf) => {
            dbus::start_manager(conf).map_err(|source| Error::NoTpm {
                tcti: tcti.to_string(),
                source,
            })?;
            Box::new(LoadedTcti::load(tcti)?)
        }
        Tcti::Mssim { host, port } => {
            // libtss2 prints where nobody listens.
            drop(swtpm::tcp(*host, *port, tcti, deadline)?);
            Box::new(LoadedTcti::load(tcti)?)
        }
    })
}
