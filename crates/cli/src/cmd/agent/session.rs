//! The files by which systemd starts the agent, and by which sessions find it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use token_store::{config_dir, home_dir};

use crate::files::block::Block;
use crate::files::unit_texts::{self, AGENT_SERVICE, AGENT_SOCKET};
use crate::files::units::OwnFiles;

/// The first line of each file that `agent install` writes, in this version and all before it.
const MARK: &str = "# Written by tpmssh agent install.\n";

/// The file that sessions of systemd's user manager read: desktops and their terminals.
const ENVIRONMENT: &str = "SSH_AUTH_SOCK=${XDG_RUNTIME_DIR}/tpmssh/agent.sock\n";

/// The line for logins on a console and by ssh. A forwarded agent stays in use.
pub(super) const PROFILE: &str = "[ -n \"${SSH_AUTH_SOCK:-}\" ] || \
     export SSH_AUTH_SOCK=\"${XDG_RUNTIME_DIR:-/run/user/$(id -u)}/tpmssh/agent.sock\"\n";

/// The line for ssh alone, in `~/.ssh/config`.
pub(super) const STANZA: &str = "IdentityAgent /run/user/%i/tpmssh/agent.sock";

pub(super) const SOCKET_UNIT: &str = "tpmssh-agent.socket";
pub(super) const SERVICE_UNIT: &str = "tpmssh-agent.service";

/// The link that `systemctl --global enable` makes: the agent is enabled for every user.
const ENABLED_FOR_ALL: &str = "/etc/systemd/user/sockets.target.wants/tpmssh-agent.socket";

/// Where the line for logins goes.
pub(super) const IN_PROFILE: Block = Block {
    begin: "# tpmssh agent install: begin",
    end: "# tpmssh agent install: end",
};

/// The two units of this user.
///
/// # Errors
///
/// If no directory for them is known.
pub(super) fn units() -> anyhow::Result<OwnFiles> {
    let mut files = OwnFiles::new(MARK);
    add_units(&mut files)?;
    Ok(files)
}

/// The file by which new sessions find the agent, after the units if `with_units`.
///
/// # Errors
///
/// As for [`units`].
pub(super) fn files(with_units: bool) -> anyhow::Result<OwnFiles> {
    let mut files = OwnFiles::new(MARK);
    if with_units {
        add_units(&mut files)?;
    }
    let environment = config_dir()?.join("environment.d/50-tpmssh.conf");
    files.add(environment, ENVIRONMENT);
    Ok(files)
}

fn add_units(files: &mut OwnFiles) -> anyhow::Result<()> {
    let dir = unit_dir()?;
    let service = unit_texts::with_program(AGENT_SERVICE)?;
    files.add(dir.join(SOCKET_UNIT), AGENT_SOCKET);
    files.add(dir.join(SERVICE_UNIT), service);
    Ok(())
}

/// Whether a package has installed the units for this program.
pub(super) fn are_packaged() -> bool {
    unit_texts::installed_for_this(&format!("user/{SERVICE_UNIT}")).is_some()
}

/// The link that `systemctl --user enable` makes.
///
/// # Errors
///
/// As for [`units`].
pub(super) fn enabling_link() -> anyhow::Result<PathBuf> {
    Ok(unit_dir()?.join("sockets.target.wants").join(SOCKET_UNIT))
}

/// Whether the agent is installed for this user: systemd starts it when it is needed.
pub(crate) fn is_installed() -> bool {
    let of_user = enabling_link().is_ok_and(|link| fs::symlink_metadata(link).is_ok());
    of_user || Path::new(ENABLED_FOR_ALL).exists()
}

/// Whether this user has a manager of systemd that answers.
pub(crate) fn manager_answers() -> bool {
    ask_manager(&["show-environment"]).is_some()
}

/// What `systemctl --user` prints, if it succeeds.
pub(super) fn ask_manager(arguments: &[&str]) -> Option<String> {
    let output = Command::new("systemctl")
        .arg("--user")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    output.status.success().then_some(text)
}

/// `~/.profile`, which shells of a login read.
///
/// # Errors
///
/// If the home directory is not known.
pub(super) fn profile() -> anyhow::Result<PathBuf> {
    Ok(home_dir()?.join(".profile"))
}

/// Where systemd looks for the units of this user.
fn unit_dir() -> anyhow::Result<PathBuf> {
    Ok(config_dir()?.join(Path::new("systemd/user")))
}
