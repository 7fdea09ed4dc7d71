//! The programs and libraries around: the PKCS#11 module and OpenSSH.

use std::path::Path;
use std::process::{Command, Stdio};

use super::check::Check;
use crate::machine::module;
use crate::show::path::quote;

pub(super) fn check(checks: &mut Vec<Check>) {
    let module = module::path();
    checks.push(module_path(module.as_deref()));
    checks.push(openssh(ssh_version().as_deref(), module.as_deref()));
}

/// Whether ssh-agent takes the module. It resolves symbolic links and compares with the
/// patterns `/usr/lib*/*` and `/usr/local/lib*/*`, in which `*` matches `/` as well
/// (ssh-agent(1), `-P`).
fn module_path(module: Option<&Path>) -> Check {
    let name = "PKCS#11 module";
    let Some(path) = module else {
        return Check::warning(
            name,
            "libtpmssh_pkcs11.so is neither beside this program nor in a directory of libraries",
        )
        .fixed_by("sudo install -m 644 libtpmssh_pkcs11.so /usr/local/lib");
    };
    let shown = path.display();
    if is_allowed(path) {
        Check::ok(name, shown.to_string())
    } else {
        let detail = format!("{shown}: ssh works with it, but ssh-agent refuses it there");
        Check::warning(name, detail).fixed_by(format!("ssh-agent -P {}", quote(path)))
    }
}

fn is_allowed(module: &Path) -> bool {
    ["/usr/lib", "/usr/local/lib"].iter().any(|lib| {
        // `lib*` stands for lib64 and the like.
        let rest = module.to_str().and_then(|path| path.strip_prefix(lib));
        rest.is_some_and(|rest| rest.contains('/'))
    })
}

/// What `ssh -V` says, such as `OpenSSH_9.2p1 Debian-2+deb12u7, OpenSSL 3.0.17`.
fn ssh_version() -> Option<String> {
    let output = Command::new("ssh").arg("-V").stdin(Stdio::null()).output();
    // It writes to stderr.
    let said = String::from_utf8(output.ok()?.stderr).ok()?;
    let version = said.split([' ', ',']).next()?;
    version.strip_prefix("OpenSSH_").map(str::to_owned)
}

/// OpenSSH 10.1 and 10.2 load the module in a helper process that cannot ask for a PIN, so `ssh`
/// finds no keys behind a PIN.
fn openssh(version: Option<&str>, module: Option<&Path>) -> Check {
    let name = "OpenSSH";
    let Some(version) = version else {
        return Check::warning(name, "there is no ssh").fixed_by("sudo apt install openssh-client");
    };
    if !["10.1", "10.2"].iter().any(|bad| {
        let rest = version.strip_prefix(bad);
        rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_digit()))
    }) {
        return Check::ok(name, version);
    }
    let module = module.unwrap_or(Path::new("libtpmssh_pkcs11.so"));
    Check::warning(
        name,
        format!("{version}: ssh -I and PKCS11Provider do not ask for the PIN"),
    )
    .fixed_by(format!(
        "use tpmssh agent, or the module in an agent: ssh-add -s {}",
        quote(module)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ssh_agent_takes_modules_from_the_systems_library_directories() {
        for (path, allowed) in [
            ("/usr/lib/libtpmssh_pkcs11.so", true),
            ("/usr/lib64/pkcs11/libtpmssh_pkcs11.so", true),
            ("/usr/local/lib/x86_64-linux-gnu/libtpmssh_pkcs11.so", true),
            ("/usr/libtpmssh_pkcs11.so", false),
            ("/home/anna/usr/lib/libtpmssh_pkcs11.so", false),
            ("/opt/lib/libtpmssh_pkcs11.so", false),
        ] {
            assert_eq!(is_allowed(Path::new(path)), allowed, "{path}");
        }
        let refused = module_path(Some(Path::new("/opt/a b.so"))).to_string();
        assert!(
            refused.ends_with("-> ssh-agent -P '/opt/a b.so'\n"),
            "{refused}"
        );
    }

    #[test]
    fn the_versions_of_openssh_that_do_not_ask_are_known() {
        for (version, warns) in [
            ("9.2p1", false),
            ("10.0p2", false),
            ("10.1p1", true),
            ("10.2", true),
            ("10.3p1", false),
            ("10.10p1", false),
            ("10.20p1", false),
        ] {
            let check = openssh(Some(version), None).to_string();
            assert_eq!(check.starts_with("warning"), warns, "{check}");
        }
        assert!(openssh(None, None).to_string().contains("there is no ssh"));
    }
}
