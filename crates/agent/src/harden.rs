//! What the process of an agent forbids itself and others.

use rustix::fs::Mode;
use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit, umask,
};

/// Hardens this process: no core file, no debugger of the same user, no files for others, no
/// swapping out where that is allowed; and as many descriptors as the system lets it have.
///
/// A failure is logged and otherwise ignored: it leaves things as they are for every other
/// program.
pub fn process() {
    umask(Mode::RWXG | Mode::RWXO);
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    if let Err(err) = setrlimit(Resource::Core, none) {
        log::warn!("core dumps stay possible: {err}");
    }
    if let Err(err) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        log::warn!("other processes can read this one's memory: {err}");
    }
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
