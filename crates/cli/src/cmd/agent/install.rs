//! `tpmssh agent install`: have systemd start the agent for this user.

use std::path::Path;

use token_store::config_dir;

use crate::cmd::agent::session::{self, IN_PROFILE, PROFILE, SERVICE_UNIT, SOCKET_UNIT, STANZA};
use crate::files::units::{self, OwnFiles};
use crate::show::output::{self, tell};

/// Have systemd start the agent when it is needed, for every session of this user
///
/// Enables the units that the package brought, or writes them if there are none, and writes a file by
/// which new graphical sessions find the agent. Everything that is written is shown. Logins on a
/// console and by ssh need a line in ~/.profile: --profile adds it. tpmssh agent uninstall takes
/// all of it back.
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

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let profile = session::profile()?;
    let packaged = session::are_packaged();
    let files = session::files(!packaged)?;
    // What can be refused is, before anything is written.
    session::files(true)?.check()?;
    if args.dry_run {
        return show(&files, args, packaged, &profile);
    }
    units::need_systemd(
        "start the agent from your shell's profile instead: eval \"$(tpmssh agent --daemon)\"",
    )?;
    let in_profile = args.profile && IN_PROFILE.put(&profile, PROFILE)?;
    if let Err(err) = show(&files, args, packaged, &profile) {
        if in_profile {
            IN_PROFILE.remove(&profile)?;
        }
        return Err(err);
    }
    units::systemctl(&COMMANDS)?;
    tell(
        "tpmssh: new graphical sessions find the agent; in this shell: eval \"$(tpmssh agent env)\"",
    );
    if IN_PROFILE.is_in(&profile)? {
        tell("tpmssh: logins on a console and by ssh find it by ~/.profile");
    } else {
        tell(&format!(
            "tpmssh: logins on a console and by ssh: tpmssh agent install --profile adds a line to \
             ~/.profile; or, for ssh alone, in ~/.ssh/config:\n  {STANZA}"
        ));
    }
    Ok(())
}

/// Shows the files, and writes them unless it is a dry run. Units of an older version go if the
/// package has some, which they would hide.
fn show(files: &OwnFiles, args: &Args, packaged: bool, profile: &Path) -> anyhow::Result<()> {
    if packaged {
        output::write(&format!("# the package's: {SOCKET_UNIT}, {SERVICE_UNIT}\n"))?;
        session::units()?.remove(args.dry_run, &config_dir()?)?;
    }
    if args.profile {
        output::write(&format!("# {}\n{PROFILE}\n", profile.display()))?;
    }
    files.put(args.dry_run, 0o700)
}
