//! `tpmssh agent install`: have systemd start the agent for this user.

use std::path::Path;

use anyhow::Context;
use token_store::config_dir;

use crate::files::units::{self, OwnFiles};
use crate::show::output::tell;

/// Have systemd start the agent when it is needed, for every session of this user
///
/// Writes two user units and a file by which new sessions find the agent, and shows them.
/// `systemctl --user disable --now tpmssh-agent.socket` takes it back.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Show what would be written, and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// Tells our files from others of the same name.
const MARK: &str = "# Written by tpmssh agent install.\n";

const SOCKET: &str = "\
[Unit]
Description=SSH agent with keys in the TPM (socket)

[Socket]
ListenStream=%t/tpmssh/agent.sock
SocketMode=0600
DirectoryMode=0700

[Install]
WantedBy=sockets.target
";

const ENVIRONMENT: &str = "SSH_AUTH_SOCK=${XDG_RUNTIME_DIR}/tpmssh/agent.sock\n";

const COMMANDS: [&[&str]; 2] = [
    &["--user", "daemon-reload"],
    &["--user", "enable", "--now", "tpmssh-agent.socket"],
];

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let units = config_dir()?.join("systemd/user");
    let mut files = OwnFiles::new(MARK);
    files.add(units.join("tpmssh-agent.socket"), SOCKET);
    files.add(units.join("tpmssh-agent.service"), service(&program));
    let environment = config_dir()?.join("environment.d/50-tpmssh.conf");
    files.add(environment, ENVIRONMENT);
    files.check()?;
    files.put(args.dry_run, 0o700)?;
    if !args.dry_run && units::systemctl(&COMMANDS) {
        tell("tpmssh: new sessions find the agent; in this one: eval \"$(tpmssh agent env)\"");
    }
    Ok(())
}

fn service(program: &Path) -> String {
    let program = units::quote(&program.display().to_string());
    format!(
        "[Unit]\n\
         Description=SSH agent with keys in the TPM\n\
         Requires=tpmssh-agent.socket\n\
         \n\
         [Service]\n\
         ExecStart={program} agent\n\
         # What is derived from PINs does not go to the disk.\n\
         MemorySwapMax=0\n\
         LimitCORE=0\n\
         NoNewPrivileges=yes\n"
    )
}
