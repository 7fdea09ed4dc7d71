//! `tpmssh agent install`: have systemd start the agent for this user.

use std::path::Path;

use token_store::config_dir;

use crate::app::App;
use crate::cmd::agent::session::{self, IN_PROFILE, PROFILE, SERVICE_UNIT, SOCKET_UNIT, STANZA};
use crate::files::changes::Changes;
use crate::files::units::{self, OwnFiles};

/// Have systemd start the agent for every session of this user
///
/// Enables the units that the package brought, or writes them if there are none, and writes a file by
/// which new graphical sessions find the agent. Everything that is written is shown. Logins on a
/// console and by ssh need a line in ~/.profile: --profile adds it. tpmssh agent uninstall undoes all of it.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  tpmssh agent install               for graphical sessions
  tpmssh agent install --profile     for logins on a console and by ssh as well
  tpmssh agent install --dry-run     show the files only")]
pub(crate) struct Args {
    /// Add the line to ~/.profile by which logins on a console and by ssh find the agent
    #[arg(long)]
    profile: bool,

    /// Show what would be written, and change nothing
    #[arg(long)]
    dry_run: bool,
}

const COMMANDS: [&[&str]; 2] = [
    &["--user", "daemon-reload"],
    &["--user", "enable", "--now", SOCKET_UNIT],
];

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    let mut changes = Changes::new(app.out, args.dry_run);
    install(&mut changes, args.profile)?;
    if !args.dry_run {
        changes.tell(
            "tpmssh: new graphical sessions find the agent; in this shell: eval \"$(tpmssh agent env)\"",
        );
        changes.tell(&match IN_PROFILE.is_in(&session::profile()?)? {
            true => "tpmssh: logins on a console and by ssh find it by ~/.profile".to_owned(),
            false => format!(
                "tpmssh: logins on a console and by ssh: tpmssh agent install --profile adds a line \
                 to ~/.profile; or, for ssh alone, in ~/.ssh/config:\n  {STANZA}"
            ),
        });
    }
    changes.end(app.out, "the agent is installed")
}

/// Writes the files and tells systemd. `in_profile` adds the line to `~/.profile` as well.
///
/// # Errors
///
/// If there is no systemd, a file belongs to somebody else or cannot be written: nothing is changed
/// then. [`Error::SystemdNotTold`](crate::fail::error::Error::SystemdNotTold): the files are in place.
pub(crate) fn install(changes: &mut Changes, in_profile: bool) -> anyhow::Result<()> {
    let profile = session::profile()?;
    let packaged = session::are_packaged();
    let files = session::files(!packaged)?;
    // Checks everything that can be refused before anything is written.
    session::files(true)?.check()?;
    if !changes.dry_run {
        units::need_systemd(
            "start the agent from your shell's profile instead: eval \"$(tpmssh agent --daemon)\"",
        )?;
    }
    let is_new = in_profile && !changes.dry_run && IN_PROFILE.put(&profile, PROFILE)?;
    if let Err(err) = put(changes, &files, in_profile, packaged, &profile) {
        if is_new {
            IN_PROFILE.remove(&profile)?;
        }
        return Err(err);
    }
    if !changes.dry_run {
        units::systemctl(changes, &COMMANDS)?;
    }
    Ok(())
}

/// Shows the files, and writes them unless it is a dry run. If the package has units, removes those of
/// an older version, which would hide them.
fn put(
    changes: &mut Changes,
    files: &OwnFiles,
    in_profile: bool,
    packaged: bool,
    profile: &Path,
) -> anyhow::Result<()> {
    if packaged {
        changes.text(&format!("# the package's: {SOCKET_UNIT}, {SERVICE_UNIT}\n"))?;
        session::units()?.remove(changes, &config_dir()?)?;
    }
    if in_profile {
        changes.add(profile, PROFILE)?;
    }
    files.put(changes, 0o700)
}
