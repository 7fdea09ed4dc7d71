//! The programs and libraries around: the PKCS#11 module, OpenSSH, libtss2.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::check::Check;
use crate::fail::hint::quote;
use crate::machine::module;

pub(super) fn check(checks: &mut Vec<Check>) {
    let module = module::path();
    checks.push(module_path(module.as_deref()));
    checks.push(openssh(ssh_version().as_deref(), module.as_deref()));
    checks.push(libtss2());
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
        .mend("sudo install -m 644 libtpmssh_pkcs11.so /usr/local/lib");
    };
    let shown = path.display();
    if is_allowed(path) {
        Check::ok(name, shown.to_string())
    } else {
        let detail = format!("{shown}: ssh works with it, but ssh-agent refuses it there");
        Check::warning(name, detail).mend(format!("ssh-agent -P {}", quote(path)))
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

/// In 10.1 and 10.2 `ssh` has a helper that cannot ask load the module, and so finds no keys
/// behind a PIN.
fn openssh(version: Option<&str>, module: Option<&Path>) -> Check {
    let name = "OpenSSH";
    let Some(version) = version else {
        return Check::warning(name, "there is no ssh").mend("sudo apt install openssh-client");
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
    .mend(format!(
        "use tpmssh agent, or the module in an agent: ssh-add -s {}",
        quote(module)
    ))
}

/// The oldest libtss2 that this program is built for.
const OLDEST: [u32; 3] = [2, 4, 6];

/// libtss2, which carries `tabrmd:` connections; the loader has found it, or we would not run.
fn libtss2() -> Check {
    let name = "libtss2";
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let Some(path) = library(&maps, "libtss2-tctildr.so") else {
        return Check::warning(name, "not loaded: connections with tabrmd: fail")
            .mend("sudo apt install libtss2-tctildr0");
    };
    match package_version(&path) {
        None => Check::ok(name, path.display().to_string()),
        Some(version) if numbers(&version) < OLDEST => {
            Check::warning(name, format!("{version} is older than 2.4.6"))
                .mend("sudo apt install --only-upgrade libtss2-tctildr0")
        }
        Some(version) => Check::ok(name, version),
    }
}

/// The file of a loaded library, from the text of `/proc/self/maps`.
fn library(maps: &str, name: &str) -> Option<PathBuf> {
    maps.lines()
        .filter_map(|line| line.find('/').map(|start| Path::new(&line[start..])))
        .find(|path| {
            let file = path.file_name().and_then(|file| file.to_str());
            file.is_some_and(|file| file.starts_with(name))
        })
        .map(Path::to_owned)
}

/// The version of the package that a file is from, where the system's package manager knows.
fn package_version(file: &Path) -> Option<String> {
    let dpkg = || {
        let owner = output("dpkg-query", &["--search", file.to_str()?])?;
        let package = owner.rsplit_once(": ")?.0.to_owned();
        output(
            "dpkg-query",
            &["--show", "--showformat=${Version}", &package],
        )
    };
    let rpm = || output("rpm", &["-q", "--qf", "%{VERSION}", "-f", file.to_str()?]);
    dpkg().or_else(rpm)
}

/// What a program writes, if it succeeds.
fn output(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.lines().next()?.trim().to_owned())
}

/// The first three numbers of a version, without the epoch of a Debian one.
fn numbers(version: &str) -> [u32; 3] {
    let version = version.rsplit(':').next().unwrap_or_default();
    let mut numbers = version
        .split(|c: char| !c.is_ascii_digit())
        .map(|number| number.parse().unwrap_or(0));
    std::array::from_fn(|_| numbers.next().unwrap_or(0))
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

    #[test]
    fn a_library_is_found_among_what_is_loaded_and_its_version_compared() {
        let maps = "7f00-7f01 r--p 00000000 08:01 1 /usr/lib/libc.so.6\n\
                    7f02-7f03 r-xp 00000000 08:01 2 /usr/lib/libtss2-tctildr.so.0.0.0\n\
                    7f04-7f05 rw-p 00000000 00:00 0 [heap]\n";
        let found = library(maps, "libtss2-tctildr.so");
        assert_eq!(found, Some("/usr/lib/libtss2-tctildr.so.0.0.0".into()));
        assert_eq!(library(maps, "libtss2-mu.so"), None);
        assert!(numbers("2.3.2-1") < OLDEST);
        assert!(numbers("3.2.1-3") >= OLDEST && numbers("1:4.1.3+b1") >= OLDEST);
    }
}
