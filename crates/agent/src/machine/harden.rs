//! Limits and restrictions that the process of an agent sets for itself.

use std::fs::{self, DirBuilder, DirEntry, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use landlock::{
    ABI, AccessFs, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus,
    make_bitflags, path_beneath_rules,
};
use rustix::fs::Mode;
use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{Resource, Rlimit, geteuid, getrlimit, setrlimit, umask};

use crate::{Error, Result};

/// Descriptors for everything but clients: the store, the TPM, programs that ask.
const RESERVED: usize = 32;
/// The fewest clients that an agent is of use with.
const MIN: usize = 8;

/// Prepares this process to serve: other users cannot read its files, and its memory is not swapped
/// out if the limits allow that. A failure is logged and otherwise ignored.
///
/// The program itself has to switch off core files and debuggers before it touches any secret.
pub fn server() {
    umask(Mode::RWXG | Mode::RWXO);
    // With a limit, allocations beyond it would fail. Then swapping is better.
    if getrlimit(Resource::Memlock).current.is_none() {
        let all = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
        if let Err(err) = mlockall(all) {
            log::warn!("memory may be swapped out: {err}");
        }
    }
}

/// Raises the limit of open files to the most that the system lets this process have.
///
/// Called before anything is opened: with too few files, whatever comes first would fail.
///
/// # Errors
///
/// [`Error::TooFewFiles`] if that is less than an agent needs.
pub fn files() -> Result<()> {
    let files = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: files.maximum,
        ..files
    };
    if let Err(err) = setrlimit(Resource::Nofile, most) {
        log::debug!("the limit of open files stays: {err}");
    }
    files_for_clients().map(drop)
}

/// How many files clients may have open.
///
/// # Errors
///
/// [`Error::TooFewFiles`].
pub(crate) fn files_for_clients() -> Result<usize> {
    let limit = getrlimit(Resource::Nofile).current;
    let limit = limit.map_or(usize::MAX, |files| {
        usize::try_from(files).unwrap_or(usize::MAX)
    });
    let needed = RESERVED + MIN;
    if limit < needed {
        return Err(Error::TooFewFiles { limit, needed });
    }
    Ok(limit - RESERVED)
}

/// What [`confine`] leaves writable.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Writable {
    /// Directories for files: the store, the log, the agent's own directory below
    /// `XDG_RUNTIME_DIR`. They are made if they are missing.
    pub own: Vec<PathBuf>,
    /// Directories in which programs that ask a person make files and sockets.
    pub prompts: Vec<PathBuf>,
    /// The TPM's device, if one is named.
    pub devices: Vec<PathBuf>,
    /// Whether the TPM's device is looked for, and can be another one later.
    pub finds_device: bool,
    /// A directory of other programs in which the socket was made: the agent removes the socket when it ends.
    pub socket: Option<PathBuf>,
}

/// Takes from this process, and from programs that it starts, the right to write, make, remove or
/// link files, except for those of [`Writable`], terminals, and devices such as `/dev/null`.
/// Directories, links and device nodes can be made nowhere. Reading files, running programs and
/// connecting to sockets stay possible.
///
/// An attacker who controls an agent therefore cannot come back by a file: no shell start-up file, no
/// `authorized_keys`, no unit. The restriction holds for this thread and threads that start later.
///
/// A kernel without Landlock is noted in the log and otherwise accepted.
///
/// Landlock does not cover the mode, owner and extended attributes of files. A filter of system
/// calls (seccomp) refuses to change them, on processors for which there is one. It does not cover
/// the times of files, nor calls of another architecture (x32).
pub fn confine(writable: &Writable) {
    for dir in &writable.own {
        if let Err(err) = DirBuilder::new().recursive(true).mode(0o700).create(dir) {
            log::debug!("cannot make {}: {err}", dir.display());
        }
    }
    match restrict(writable) {
        Ok(RulesetStatus::NotEnforced) => {
            log::info!("this kernel has no Landlock: nothing keeps the agent from other files");
        }
        Ok(_) => {}
        Err(err) => log::warn!("nothing keeps the agent from other files: {err}"),
    }
    #[cfg(any(
        target_arch = "x86_64",
        target_arch = "aarch64",
        target_arch = "riscv64"
    ))]
    if let Err(err) = super::modes::keep() {
        log::warn!("nothing keeps the agent from the modes of files: {err}");
    }
}

fn restrict(writable: &Writable) -> Result<RulesetStatus, RulesetError> {
    let files = make_bitflags!(AccessFs::{WriteFile | Truncate | MakeReg | RemoveFile});
    let device = make_bitflags!(AccessFs::{WriteFile | Truncate | IoctlDev});
    let devices = writable.devices.iter().cloned().chain(terminals());
    let found = writable.finds_device.then(tpms).unwrap_or_default();
    let status = Ruleset::default()
        .handle_access(AccessFs::from_write(ABI::V5))?
        .create()?
        .add_rules(path_beneath_rules(&writable.own, files))?
        .add_rules(path_beneath_rules(
            &writable.prompts,
            files | AccessFs::MakeSock,
        ))?
        .add_rules(path_beneath_rules(devices, device))?
        .add_rules(path_beneath_rules(found, AccessFs::WriteFile))?
        .add_rules(path_beneath_rules(&writable.socket, AccessFs::RemoveFile))?
        .restrict_self()?;
    Ok(status.ruleset)
}

/// Where the TPM's device may be: `/dev` if this process, even without Landlock, cannot write to a
/// disk there; otherwise the nodes that exist now.
///
/// For Landlock a node that comes back is another file, and a rule for a file that does not exist
/// yet has to be one for its directory. A user has no right to disks, and neither has a service of
/// root with `DevicePolicy=closed`. An agent of root without that setting can use only the nodes
/// that exist at its start; it has to be restarted if the TPM gets another one.
fn tpms() -> Vec<PathBuf> {
    let kernel_log = OpenOptions::new().write(true).open("/dev/kmsg");
    let is_refused = kernel_log.is_err_and(|err| err.kind() == ErrorKind::PermissionDenied);
    if is_refused || !geteuid().is_root() {
        return vec!["/dev".into()];
    }
    let entries = fs::read_dir("/dev").into_iter().flatten().flatten();
    let is_tpm = |entry: &DirEntry| entry.file_name().as_encoded_bytes().starts_with(b"tpmrm");
    entries.filter(is_tpm).map(|entry| entry.path()).collect()
}

/// The terminals that a program which asks for a PIN may use, and the devices that keep nothing.
fn terminals() -> Vec<PathBuf> {
    let is_terminal = |name: &str| {
        let digits = name.strip_prefix("ttyS").or(name.strip_prefix("tty"));
        let is_numbered = digits.is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit()));
        is_numbered || ["console", "full", "null", "ptmx", "pts", "zero"].contains(&name)
    };
    let entries = fs::read_dir("/dev").into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().to_str().is_some_and(is_terminal))
        .map(|entry| entry.path())
        .collect()
}
