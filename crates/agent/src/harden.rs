//! What the process of an agent asks of the system, for itself and against others.

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
