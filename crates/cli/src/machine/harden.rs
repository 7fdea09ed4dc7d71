//! Keeps PINs out of core files and away from debuggers of the same user.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Forbids this process to dump core and other processes of this user to attach to it.
///
/// A failure is logged and otherwise ignored: it leaves things as they are for
/// every other program, and refusing to work would help nobody.
pub(crate) fn process() {
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
}
