//! Programs of Debian that use the keys, by the agent or by the module: one small test for each, beside
//! the clients of `clients/`, which are tested at length.
//!
//! Their packages take some hundred megabytes. `cargo xtask test --without-programs` does without them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use testing::{Home, module};

use crate::clients::{KEYS, file, openssl, two_keys};
use crate::program::{Program, text};

mod cryptenroll;
mod git;
mod gnupg;
mod java;
mod p11_kit;
mod servers;
mod ssh;
mod vpn;

/// Ends the test if a client is not installed, and names the Debian package that has it.
#[track_caller]
fn needs(path: &str, package: &str) {
    assert!(
        Path::new(path).exists(),
        "{path} is missing: apt-get install {package}"
    );
}

/// A script or a source of `scripts/`, which some clients are driven by.
fn script(name: &str) -> PathBuf {
    let scripts = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/programs/scripts");
    PathBuf::from(scripts).join(name)
}

/// A certificate of a key of the token. The token has the certificate too.
struct Certified {
    /// What signed it, as a file.
    authority: String,
    /// The certificate as a file. Its subject is `CN=LABEL`, and it is for `localhost`.
    certificate: String,
}

/// Has an authority of its own sign a certificate for the key `label`, and puts that beside the key.
fn certify(program: &Program, label: &str) -> Certified {
    let home = &program.home;
    let at = |kind: &str| file(home, &format!("{label}.{kind}"));
    let [authority, key, request, certificate] = ["ca.pem", "ca.key", "csr", "pem"].map(at);
    openssl(
        home,
        &[
            &["req", "-x509", "-nodes", "-days", "30"][..],
            &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
            &["-subj", &format!("/CN=authority of {label}")],
            &["-addext", "keyUsage=critical,keyCertSign,cRLSign"],
            &["-keyout", &key, "-out", &authority],
        ]
        .concat(),
    );
    let subject = format!("CN={label}");
    let csr = ["csr", label, "--subject", &subject, "--dns", "localhost"];
    let csr = program.run(&[&csr[..], &["--pin-file", &program.pin]].concat());
    fs::write(&request, csr.ok()).unwrap();
    let sign = ["x509", "-req", "-in", &request, "-out", &certificate];
    let by = ["-CA", &authority, "-CAkey", &key, "-CAcreateserial"];
    let how = ["-days", "30", "-copy_extensions", "copyall"];
    openssl(home, &[&sign[..], &by, &how].concat());
    let import = ["cert", "import-x509", &certificate];
    program.run(&import).ok();
    Certified {
        authority,
        certificate,
    }
}

/// A program with a key of each kind, `ecdsa` and `rsa`, that have certificates.
fn two_certified_keys() -> (Program, [(&'static str, Certified); 2]) {
    let program = two_keys();
    let certified = KEYS.map(|label| (label, certify(&program, label)));
    (program, certified)
}

/// Where Debian has PKCS#11 modules.
fn modules_dir() -> String {
    let arch = std::env::consts::ARCH;
    format!("/usr/lib/{arch}-linux-gnu/pkcs11")
}

/// `program` in a mount namespace of its own, where `dir` has the module and nothing else, under the
/// name that it is installed by.
///
/// For programs that load modules from certain directories only.
fn with_module_in(home: &Home, dir: &str, program: &str) -> Command {
    let only = home.path().join("only");
    if !only.exists() {
        fs::create_dir(&only).unwrap();
        fs::copy(module(), only.join(MODULE_NAME)).unwrap();
    }
    mounted(home, "only", dir, program)
}

const MODULE_NAME: &str = "libtpmssh_pkcs11.so";

/// `program` in a mount namespace of its own, where p11-kit knows our module and no others.
fn with_p11_kit(home: &Home, program: &str) -> Command {
    with_p11_kit_module(home, &text(module()), program)
}

/// The same with another module.
fn with_p11_kit_module(home: &Home, module: &str, program: &str) -> Command {
    let modules = home.path().join("modules");
    if !modules.exists() {
        fs::create_dir(&modules).unwrap();
        let line = format!("module: {module}\n");
        fs::write(modules.join("one.module"), line).unwrap();
    }
    mounted(home, "modules", "/usr/share/p11-kit/modules", program)
}

/// `program` where the directory `from` of `home` is in the place of `to`.
fn mounted(home: &Home, from: &str, to: &str, program: &str) -> Command {
    let mut command = home.command("unshare");
    command.arg("--mount");
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    let inside = r#"mount --bind "$0" "$1" && shift && exec "$@""#;
    command.args(["sh", "-c", inside, &file(home, from), to, program]);
    command
}
