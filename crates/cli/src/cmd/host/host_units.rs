//! The systemd units of the agent that has the host keys.

use std::path::Path;

use super::place::MachineArgs;
use crate::app::App;
use crate::files::unit_texts::{self, HOST_SERVICE, HOST_SOCKET};
use crate::files::units::{OwnFiles, escape};

/// The first line of each file that `host setup` writes for systemd and sshd, in this version and
/// all before it.
pub(super) const MARK: &str = "# Written by tpmssh host setup.\n";

pub(super) const SOCKET_UNIT: &str = "tpmssh-host.socket";
pub(super) const SERVICE_UNIT: &str = "tpmssh-host.service";

/// What the units of a package are for.
const PACKAGED: [(&str, &str); 3] = [
    ("/var/lib/tpmssh", "store"),
    ("/run/tpmssh/host.sock", "socket"),
    ("device:/dev/tpmrm0", "TPM"),
];

/// Whether a package has installed units for this program that fit this machine: these options,
/// and this TPM.
///
/// # Errors
///
/// If no TPM is configured.
pub(super) fn are_packaged(app: &App, machine: &MachineArgs) -> anyhow::Result<bool> {
    let tcti = app.tpm_choice()?.tcti.to_string();
    let is = [
        machine.store == Path::new(PACKAGED[0].0),
        machine.socket == Path::new(PACKAGED[1].0),
        tcti == PACKAGED[2].0,
        machine.etc == Path::new("/etc"),
    ];
    let unit = unit_texts::installed_for_this(&format!("system/{SERVICE_UNIT}"));
    Ok(unit.is_some() && is.iter().all(|fits| *fits))
}

/// The units of this machine's own.
///
/// # Errors
///
/// If no TPM is configured, or the path of this program is unknown.
pub(super) fn own(app: &App, machine: &MachineArgs) -> anyhow::Result<OwnFiles> {
    Ok(files(
        machine,
        &service(machine, &app.tpm_choice()?.tcti.to_string())?,
    ))
}

/// The same, whatever is in them: to be removed.
pub(super) fn any(machine: &MachineArgs) -> OwnFiles {
    files(machine, "")
}

fn files(machine: &MachineArgs, service: &str) -> OwnFiles {
    let units = machine.etc.join("systemd/system");
    let socket = escape(&machine.socket.display().to_string());
    let mut files = OwnFiles::new(MARK);
    files.add(
        units.join(SOCKET_UNIT),
        HOST_SOCKET.replace("@socket@", &socket),
    );
    files.add(units.join(SERVICE_UNIT), service);
    files
}

fn service(machine: &MachineArgs, tcti: &str) -> anyhow::Result<String> {
    let store = machine.store.display().to_string();
    let mut text = unit_texts::with_program(HOST_SERVICE)?
        .replace("@store@", &escape(&store))
        .replace("@tcti@", &escape(tcti));
    if let Some(device) = tcti.strip_prefix("device:") {
        let allowed = format!("DeviceAllow={} rw\n", escape(device));
        if !text.contains(&allowed) {
            text += &allowed;
        }
    }
    Ok(text)
}
