//! The kernel's TPM driver and its resource manager, in a virtual machine.
//!
//! Tests begin in the order of their names, and this one takes longest: with this name it begins first.

use testing::{Guest, module};

/// The program in which `ssh-agent` loads modules.
const PKCS11_HELPER: &str = "/usr/lib/openssh/ssh-pkcs11-helper";

/// The usual commands of a user with `/dev/tpmrm0`, which differs from a socket of a simulator: its
/// handles are virtual, and it returns `EINVAL` and `EFAULT` instead of response codes.
#[test]
fn the_kernels_resource_manager_serves_the_program_the_module_and_the_agent() {
    let said = Guest::new()
        .with_program(env!("CARGO_BIN_EXE_tpmssh"), "/bin/tpmssh")
        .with_program(module(), "/usr/lib/libtpmssh_pkcs11.so")
        .with_program("/usr/bin/pkcs11-tool", "/bin/pkcs11-tool")
        .with_program("/usr/bin/ssh-keygen", "/bin/ssh-keygen")
        .with_program("/usr/bin/ssh-add", "/bin/ssh-add")
        .with_program("/usr/bin/ssh-agent", "/bin/ssh-agent")
        .with_program(PKCS11_HELPER, PKCS11_HELPER)
        .run(include_str!("a_kernel/guest.sh"));
    assert!(said.contains("\nall steps passed\n"), "{said}");
}
