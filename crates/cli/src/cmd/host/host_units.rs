//! The systemd units of the agent that has the host keys.

use std::path::{Path, PathBuf};

use super::place::MachineArgs;
use crate::app::App;
use crate::files::unit_texts::{
    self, HOST_RENEW_SERVICE, HOST_RENEW_TIMER, HOST_SERVICE, HOST_SOCKET,
};
use crate::files::units::{OwnFiles, escape, quote};

/// The first line of each file that `host setup` writes for systemd and sshd, in this version and
/// all before it.
pub(super) const MARK: &str = "# Written by tpmssh host setup.\n";

pub(super) const SOCKET_UNIT: &str = "tpmssh-host.socket";
pub(super) const SERVICE_UNIT: &str = "tpmssh-host.service";
pub(super) const TIMER_UNIT: &str = "tpmssh-host-renew.timer";
const RENEW_UNIT: &str = "tpmssh-host-renew.service";

/// The TPM that the units of a package are for.
const USUAL_TPM: &str = "device";

/// Whether a package has installed units for this program, with the store and the socket that are
/// meant.
pub(super) fn are_packaged(machine: &MachineArgs) -> bool {
    let is_usual = machine.store == Path::new("/var/lib/tpmssh")
        && machine.socket == Path::new("/run/tpmssh/host.sock")
        && machine.etc == Path::new("/etc");
    let unit = unit_texts::installed_for_this(&format!("system/{SERVICE_UNIT}"));
    is_usual && unit.is_some()
}

/// The files that systemd needs on this machine: units, or additions to those of a package. With `renews`, those of the timer as well.
///
/// # Errors
///
/// If no TPM is configured, or the path of this program is unknown.
pub(super) fn needed(app: &App, machine: &MachineArgs, renews: bool) -> anyhow::Result<OwnFiles> {
    let tcti = app.tpm_choice()?.tcti.to_string();
    let mut files = OwnFiles::new(MARK);
    if are_packaged(machine) {
        if tcti != USUAL_TPM {
            let text = format!("[Service]\n{}{}", variable(&tcti), device(&tcti));
            files.add(drop_in(machine, SERVICE_UNIT), text.clone());
            if renews {
                files.add(drop_in(machine, RENEW_UNIT), text);
            }
        }
        return Ok(files);
    }
    add_units(&mut files, machine, &service(HOST_SERVICE, machine, &tcti)?);
    if renews {
        add_timer(
            &mut files,
            machine,
            &service(HOST_RENEW_SERVICE, machine, &tcti)?,
        );
    }
    Ok(files)
}

/// All files for systemd that this command may have written, whatever is in them: to be removed.
pub(super) fn any(machine: &MachineArgs) -> OwnFiles {
    let mut files = OwnFiles::new(MARK);
    add_units(&mut files, machine, "");
    add_timer(&mut files, machine, "");
    files.add(drop_in(machine, SERVICE_UNIT), "");
    files.add(drop_in(machine, RENEW_UNIT), "");
    files
}

fn add_units(files: &mut OwnFiles, machine: &MachineArgs, service: &str) {
    let socket = escape(&machine.socket.display().to_string());
    let socket = HOST_SOCKET.replace("@socket@", &socket);
    files.add(unit_dir(machine).join(SOCKET_UNIT), socket);
    files.add(unit_dir(machine).join(SERVICE_UNIT), service);
}

fn add_timer(files: &mut OwnFiles, machine: &MachineArgs, service: &str) {
    files.add(unit_dir(machine).join(TIMER_UNIT), HOST_RENEW_TIMER);
    files.add(unit_dir(machine).join(RENEW_UNIT), service);
}

fn unit_dir(machine: &MachineArgs) -> PathBuf {
    machine.etc.join("systemd/system")
}

fn drop_in(machine: &MachineArgs, unit: &str) -> PathBuf {
    unit_dir(machine).join(format!("{unit}.d/10-tpmssh.conf"))
}

fn service(text: &str, machine: &MachineArgs, tcti: &str) -> anyhow::Result<String> {
    let store = machine.store.display().to_string();
    let etc = machine.etc.display().to_string();
    let places = [format!("--store={store}"), format!("--etc={etc}")].map(|word| quote(&word));
    let places = places.join(" ");
    let text = unit_texts::with_program(text)?
        .replace("@store@", &escape(&store))
        .replace("@etc@", &escape(&etc))
        .replace("@places@", &places)
        .replace("@tcti@", &escape(tcti));
    Ok(text + &device(tcti))
}

fn variable(tcti: &str) -> String {
    format!("Environment=\"TPMSSH_TCTI={}\"\n", escape(tcti))
}

/// The line that lets the service use the TPM's device, unless the unit already allows it.
fn device(tcti: &str) -> String {
    match tcti.strip_prefix("device:") {
        Some("/dev/tpmrm0" | "/dev/tpm0") | None => String::new(),
        Some(device) => format!("DeviceAllow={} rw\n", escape(device)),
    }
}
