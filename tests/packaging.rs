//! The files that tell other programs where the module is.

use std::{fs, path::PathBuf, process::Command};

use testing::{Home, module};

use crate::program::{Outcome, Program, text};

/// Stands in the files for the place where the module is installed.
const MODULE: &str = "@module@";

fn packaging() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../packaging")
}

/// `program` in a mount namespace of its own, where p11-kit knows the modules of the directory
/// `modules` in `home` and no others. It does not read a user's own directory for root.
fn with_modules(home: &Home, program: &str) -> Command {
    let mut command = home.command("unshare");
    command.arg("--mount");
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    let inside = r#"mount --bind "$HOME/modules" /usr/share/p11-kit/modules && exec "$@""#;
    command.args(["sh", "-c", inside, "sh", program]);
    command
}

#[test]
fn programs_that_use_p11_kit_find_the_module_by_its_module_file() {
    let program = Program::with_key();
    let home = &program.home;
    let modules = home.path().join("modules");
    fs::create_dir(&modules).unwrap();
    let list = || Outcome::of(with_modules(home, "p11-kit").arg("list-modules")).ok();
    assert!(!list().contains("tpmssh"));

    let shipped = fs::read_to_string(packaging().join("tpmssh.module.in")).unwrap();
    let here = shipped.replace(MODULE, &text(module()));
    assert_ne!(here, shipped);
    fs::write(modules.join("tpmssh.module"), here).unwrap();
    let listed = list();
    for line in ["library-manufacturer: tpmssh", "token: work"] {
        assert!(listed.contains(line), "{listed}");
    }
    let keys = ["--list-all", "pkcs11:token=work"];
    let listed = Outcome::of(with_modules(home, "p11tool").args(keys)).ok();
    assert!(listed.contains("Label: first"), "{listed}");
}

#[test]
fn pkg_config_says_where_the_module_is() {
    let home = Home::new();
    let shipped = fs::read_to_string(packaging().join("tpmssh-pkcs11.pc.in")).unwrap();
    let filled = shipped
        .replace("@prefix@", "/usr/local")
        .replace(MODULE, "/usr/local/lib/m.so")
        .replace("@version@", env!("CARGO_PKG_VERSION"));
    fs::write(home.path().join("tpmssh-pkcs11.pc"), filled).unwrap();
    let ask = |option: &str| {
        let mut command = home.command("pkg-config");
        command.env("PKG_CONFIG_PATH", home.path());
        Outcome::of(command.args([option, "tpmssh-pkcs11"])).ok()
    };
    assert_eq!(
        ask("--variable=p11_module_path").trim(),
        "/usr/local/lib/m.so"
    );
    assert_eq!(ask("--modversion").trim(), env!("CARGO_PKG_VERSION"));
    assert_eq!(ask("--validate"), "");
}
