//! The systemd units that are in `packaging/systemd`, which the packages have as well.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::files::units::quote;

/// Socket of the agent of a user.
pub(crate) const AGENT_SOCKET: &str =
    include_str!("../../../../packaging/systemd/user/tpmssh-agent.socket");
/// Service of the agent of a user; `@program@` is to be filled in.
pub(crate) const AGENT_SERVICE: &str =
    include_str!("../../../../packaging/systemd/user/tpmssh-agent.service");

/// Timer of the renewals of a user's certificates.
pub(crate) const RENEW_TIMER: &str =
    include_str!("../../../../packaging/systemd/user/tpmssh-renew.timer");
/// What the timer starts; `@program@` is to be filled in.
pub(crate) const RENEW_SERVICE: &str =
    include_str!("../../../../packaging/systemd/user/tpmssh-renew.service");

/// Socket of the agent that has the host keys; `@socket@` is to be filled in.
pub(crate) const HOST_SOCKET: &str =
    include_str!("../../../../packaging/systemd/system/tpmssh-host.socket");
/// Service of the agent that has the host keys; `@program@`, `@store@` and `@tcti@` are to be
/// filled in.
pub(crate) const HOST_SERVICE: &str =
    include_str!("../../../../packaging/systemd/system/tpmssh-host.service");

/// Timer of the renewals of a host's certificates.
pub(crate) const HOST_RENEW_TIMER: &str =
    include_str!("../../../../packaging/systemd/system/tpmssh-host-renew.timer");
/// What the timer starts; `@program@`, `@store@`, `@etc@` and `@tcti@` are to be filled in.
pub(crate) const HOST_RENEW_SERVICE: &str =
    include_str!("../../../../packaging/systemd/system/tpmssh-host-renew.service");

/// Where packages put units, in the order of systemd.unit(5).
const PREFIXES: [&str; 2] = ["/usr/local/lib/systemd", "/usr/lib/systemd"];

/// `text` with this program in the place of `@program@`.
///
/// # Errors
///
/// If the path of this program cannot be found.
pub(crate) fn with_program(text: &str) -> anyhow::Result<String> {
    let program = program()?.display().to_string();
    Ok(text.replace("@program@", &quote(&program)))
}

/// The service that a package has installed for this program; `name` such as `user/a.service`.
///
/// Units of another installation start another program, so they do not count.
pub(crate) fn installed_for_this(name: &str) -> Option<PathBuf> {
    installed(&PREFIXES.map(PathBuf::from), name, &program().ok()?)
}

fn installed(dirs: &[PathBuf], name: &str, program: &Path) -> Option<PathBuf> {
    let program = program.display().to_string();
    let starts_this = |unit: &PathBuf| {
        let text = std::fs::read_to_string(unit).unwrap_or_default();
        let mut commands = text.lines().filter_map(|it| it.strip_prefix("ExecStart="));
        commands.any(|command| {
            let word = command.split(' ').next().unwrap_or_default();
            word.trim_matches('"') == program
        })
    };
    dirs.iter().map(|dir| dir.join(name)).find(starts_this)
}

fn program() -> anyhow::Result<PathBuf> {
    env::current_exe().context("cannot find this program")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_unit_that_starts_this_program_counts() {
        let dir = tempfile::tempdir().unwrap();
        let dirs = [dir.path().join("none"), dir.path().to_owned()];
        let unit = dir.path().join("a.service");
        let found = |program: &str| installed(&dirs, "a.service", Path::new(program));
        assert_eq!(found("/usr/bin/tpmssh"), None);
        for line in ["/usr/bin/tpmssh agent", "\"/usr/bin/tpmssh\" agent"] {
            std::fs::write(&unit, format!("[Service]\nExecStart={line}\n")).unwrap();
            assert_eq!(found("/usr/bin/tpmssh"), Some(unit.clone()));
            assert_eq!(found("/usr/bin/tpm"), None);
            assert_eq!(found("/home/anna/.cargo/bin/tpmssh"), None);
        }
    }
}
