//! Modes, owners and extended attributes of files: this process and what it starts cannot change
//! them.
//!
//! Landlock, which keeps files from being written, does not cover them. By changing
//! the mode of a directory, an attacker who controls the agent could open `~/.ssh` to everybody.

use std::collections::BTreeMap;
use std::env::consts::ARCH;

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch, apply_filter};

/// The calls that change them, in all forms that the kernel has for this processor.
const CALLS: &[libc::c_long] = &[
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chmod,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_chown,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_lchown,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    FCHMODAT2,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    SETXATTRAT,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    REMOVEXATTRAT,
    // io_uring can make such calls without this filter.
    libc::SYS_io_uring_setup,
];

/// New calls have the same number on all processors: Linux 6.6 and 6.13.
const FCHMODAT2: libc::c_long = 452;
const SETXATTRAT: libc::c_long = 463;
const REMOVEXATTRAT: libc::c_long = 466;

/// Makes these calls fail with `EPERM`, for this thread and those that it starts.
///
/// # Errors
///
/// Why the kernel or this processor has no such filter.
pub(super) fn keep() -> Result<(), seccompiler::Error> {
    let arch = TargetArch::try_from(ARCH)?;
    let rules: BTreeMap<_, _> = CALLS.iter().map(|call| (*call, Vec::new())).collect();
    let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refused, arch)?;
    let program: BpfProgram = filter.try_into()?;
    apply_filter(&program)
}
