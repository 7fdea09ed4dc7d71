//! The timer by which systemd renews a user's certificates.

use std::path::Path;

use token_store::config_dir;

use crate::app::App;
use crate::files::changes::Changes;
use crate::files::unit_texts::{self, RENEW_SERVICE, RENEW_TIMER};
use crate::files::units::{self, OwnFiles};

/// The first line of each file that `enroll --timer` writes, in this and all earlier versions.
const MARK: &str = "# Written by tpmssh enroll.\n";
const SERVICE: &str = "tpmssh-renew.service";
const TIMER: &str = "tpmssh-renew.timer";

const COMMANDS: [&[&str]; 2] = [
    &["--user", "daemon-reload"],
    &["--user", "enable", "--now", TIMER],
];

/// Checks that the timer can be installed, before anything is changed.
///
/// # Errors
///
/// If there is no systemd, or somebody else's file is in the way.
pub(super) fn check() -> anyhow::Result<()> {
    units::need_systemd("run this from a timer of your own: tpmssh renew --unattended")?;
    files()?.check()
}

/// Writes the units, unless a package has, and starts the timer.
///
/// # Errors
///
/// If a file cannot be written, or systemd cannot be told.
pub(super) fn install(app: &App) -> anyhow::Result<()> {
    let mut changes = Changes::new(app.out, false);
    match unit_texts::installed_for_this(&format!("user/{SERVICE}")) {
        // Units of an older version would hide those of the package.
        Some(_) => files()?.remove(&mut changes, &config_dir()?)?,
        None => files()?.put(&mut changes, 0o700)?,
    }
    units::systemctl(&mut changes, &COMMANDS)?;
    Ok(())
}

fn files() -> anyhow::Result<OwnFiles> {
    let dir = config_dir()?.join(Path::new("systemd/user"));
    let mut files = OwnFiles::new(MARK);
    files.add(dir.join(TIMER), RENEW_TIMER);
    files.add(dir.join(SERVICE), unit_texts::with_program(RENEW_SERVICE)?);
    Ok(files)
}
