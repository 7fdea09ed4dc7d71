//! `tpmssh agent install`: have systemd start the agent for this user.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context;
use token_store::config_dir;

use crate::error::Error;
use crate::output::{self, tell};

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
    let files = [
        (units.join("tpmssh-agent.socket"), SOCKET.to_owned()),
        (units.join("tpmssh-agent.service"), service(&program)),
        (
            config_dir()?.join("environment.d/50-tpmssh.conf"),
            ENVIRONMENT.to_owned(),
        ),
    ];
    for (path, _) in &files {
        check(path)?;
    }
    for (path, text) in &files {
        let text = format!("{MARK}{text}");
        output::write(&format!("# {}\n{text}\n", path.display()))?;
        if !args.dry_run {
            write(path, &text).with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    if !args.dry_run {
        start();
    }
    Ok(())
}

fn service(program: &Path) -> String {
    // systemd.service(5), "Command lines": quotes, and signs that it would take for its own.
    let mut quoted = String::new();
    for c in program.display().to_string().chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '%' | '$' => quoted.extend([c, c]),
            c => quoted.push(c),
        }
    }
    format!(
        "[Unit]\n\
         Description=SSH agent with keys in the TPM\n\
         Requires=tpmssh-agent.socket\n\
         \n\
         [Service]\n\
         ExecStart=\"{quoted}\" agent\n\
         # What is derived from PINs does not go to the disk.\n\
         MemorySwapMax=0\n\
         LimitCORE=0\n\
         NoNewPrivileges=yes\n"
    )
}

/// Refuses to replace what somebody else has written.
fn check(path: &Path) -> anyhow::Result<()> {
    match fs::read(path) {
        Ok(text) if text.starts_with(MARK.as_bytes()) => Ok(()),
        Ok(_) => Err(Error::NotOurFile { path: path.into() }.into()),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(err) => Err(err).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(dir) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    }
    let new: PathBuf = path.with_extension("new");
    fs::write(&new, text)?;
    fs::rename(new, path)
}

/// Where there is no systemd, or it does not run for this user, the files wait for it.
fn start() {
    for command in COMMANDS {
        let line = format!("systemctl {}", command.join(" "));
        let done = Command::new("systemctl")
            .args(command)
            .stdin(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        if !done {
            tell(&format!("tpmssh: not done, please run it yourself: {line}"));
            return;
        }
        tell(&format!("tpmssh: {line}"));
    }
    tell("tpmssh: new sessions find the agent; in this one: eval \"$(tpmssh agent env)\"");
}
