//! A process that keeps its memory from others.

use std::io;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Forbids this process to dump core, and other processes of its user to attach to it or read its memory.
///
/// It cannot open some files below `/proc/self` afterwards. Call it before the process holds a secret.
///
/// # Errors
///
/// The first failure of the system; both are tried. The process is then as exposed as any other.
///
/// # Source
///
/// getrlimit(2), `RLIMIT_CORE`; PR_SET_DUMPABLE(2const).
pub fn shield_process() -> io::Result<()> {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let no_core = setrlimit(Resource::Core, none);
    let not_dumpable = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    Ok(no_core.and(not_dumpable)?)
}
