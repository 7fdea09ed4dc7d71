//! What the process of an agent asks of the system, for itself and against others.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, AccessFs, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus,
    path_beneath_rules,
};
use rustix::fs::Mode;
use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit, umask};

/// Prepares this process to serve: no files for others, no swapping out where that is
/// allowed, and as many descriptors as the system lets it have.
///
/// That it must leave no core file and let no debugger in is for the program to see to before
/// it touches any secret. A failure is logged and otherwise ignored: it leaves things as they
/// are for every other program.
pub fn server() {
    umask(Mode::RWXG | Mode::RWXO);
    // With a limit, what is allocated beyond it would fail: then rather swap.
    if getrlimit(Resource::Memlock).current.is_none() {
        let all = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
        if let Err(err) = mlockall(all) {
            log::warn!("memory may be swapped out: {err}");
        }
    }
    let files = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: files.maximum,
        ..files
    };
    if let Err(err) = setrlimit(Resource::Nofile, most) {
        log::debug!("the limit of open files stays: {err}");
    }
}

/// Takes from this process, and from what it starts, the right to change any file but those
/// below `own` (directories that are made if they are missing), devices, and what is in
/// `XDG_RUNTIME_DIR`. Reading, running programs and talking to sockets stay as they are.
///
/// So whoever gets hold of an agent cannot make himself at home: no shell start-up file, no
/// `authorized_keys`, no unit. Only threads that are started later are bound by it.
///
/// A kernel without Landlock is noted in the log and otherwise accepted.
pub fn confine(own: &[&Path]) {
    for dir in own {
        if let Err(err) = DirBuilder::new().recursive(true).mode(0o700).create(dir) {
            log::debug!("cannot make {}: {err}", dir.display());
        }
    }
    match restrict(own) {
        Ok(RulesetStatus::NotEnforced) => {
            log::info!("this kernel has no Landlock: nothing keeps the agent from other files");
        }
        Ok(_) => {}
        Err(err) => log::warn!("nothing keeps the agent from other files: {err}"),
    }
}

fn restrict(own: &[&Path]) -> Result<RulesetStatus, RulesetError> {
    // Devices: the TPM, and the terminal of a program that asks for a PIN.
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let places = own.iter().map(PathBuf::from).chain(runtime);
    let places = places.chain([PathBuf::from("/dev")]);
    let writing = AccessFs::from_write(ABI::V5);
    let status = Ruleset::default()
        .handle_access(writing)?
        .create()?
        .add_rules(path_beneath_rules(places, writing))?
        .restrict_self()?;
    Ok(status.ruleset)
}
