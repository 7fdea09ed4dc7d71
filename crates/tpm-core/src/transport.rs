//! How bytes reach a TPM: device nodes, swtpm, and the resource manager tpm2-abrmd.

mod device;
pub(crate) mod exchange;
mod message_bus;
pub(crate) mod nodes;
mod readiness;
mod swtpm;
mod tabrmd;
pub(crate) mod tcti;

use self::{
    device::Device,
    exchange::{Deadline, Transport},
    nodes::{Node, Nodes},
    swtpm::Socket,
    tabrmd::Tabrmd,
};
use crate::{Result, Tcti};

/// Opens a connection. For [`Tcti::Kernel`], `found` is the node at which this TPM was found
/// before, and becomes the node that was opened.
pub(crate) fn open(
    tcti: &Tcti,
    found: &mut Option<Node>,
    deadline: Deadline,
) -> Result<Box<dyn Transport>> {
    Ok(match tcti {
        Tcti::Kernel => {
            let (device, node) = Nodes::of_this_machine().open(found.as_ref(), deadline)?;
            *found = Some(node);
            Box::new(device)
        }
        Tcti::Device(path) => Box::new(Device::open(path, deadline)?),
        Tcti::Swtpm { host, port } => Box::new(Socket::connect(*host, *port, tcti, deadline)?),
        Tcti::Tabrmd(conf) => Box::new(Tabrmd::connect(conf, tcti, deadline)?),
    })
}
