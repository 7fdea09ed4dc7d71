//! `tpmssh simulator`, and what later commands make of it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::Value;
use testing::Home;

use crate::program::{Outcome, PIN, machine_has_tpm, text, tpmssh};

const NOTICE: &str = "tpmssh: the TPM is simulated and protects nothing\n";

/// A home whose simulator is stopped at the end, whatever happens.
struct Sandbox {
    home: Home,
    pin: String,
}

impl Sandbox {
    fn new() -> Self {
        let home = Home::new();
        let pin = text(home.secret_file("pin", PIN));
        Self { home, pin }
    }

    fn command(&self) -> Command {
        tpmssh(&self.home)
    }

    fn run(&self, args: &[&str]) -> Outcome {
        Outcome::of(self.command().args(args))
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.run(&["simulator", "status", "--json"]).ok()).unwrap()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = self.command().args(["simulator", "stop"]).output();
    }
}

fn is_running(pid: &Value) -> bool {
    // A zombie has an empty command line.
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

#[test]
fn it_starts_is_found_says_so_and_stops() {
    let sandbox = Sandbox::new();
    assert_eq!(sandbox.status()["running"], false);
    let started = sandbox.run(&["simulator", "start"]);
    assert_eq!(
        started.stderr,
        "tpmssh: the simulated TPM protects nothing; it is for trying things out\n"
    );
    let status = sandbox.status();
    let tcti = status["tcti"].as_str().unwrap();
    assert_eq!(
        started.ok(),
        format!("running as process {} at {tcti}\n", status["pid"])
    );
    assert_eq!(
        fs::read_to_string(sandbox.home.config()).unwrap(),
        format!("tcti = \"{tcti}\"\nsimulated = true\n")
    );

    for command in [&["tpm", "info"][..], &["tpm", "selftest"]] {
        let outcome = sandbox.run(command);
        assert_eq!(outcome.stderr, NOTICE, "{command:?}");
        outcome.ok();
    }
    let init = sandbox.run(&["token", "init", "--pin-file", &sandbox.pin]);
    assert_eq!(init.stderr.matches("simulated").count(), 1, "{init:?}");
    init.ok();
    let keygen = sandbox.run(&["keygen", "--pin-file", &sandbox.pin]);
    assert_eq!(keygen.stderr, NOTICE);
    keygen.ok();
    for command in [&["list-objects"][..], &["export"], &["token", "list"]] {
        assert_eq!(sandbox.run(command).stderr, NOTICE, "{command:?}");
    }

    let pid = status["pid"].clone();
    let stopped = sandbox.run(&["simulator", "stop"]);
    assert_eq!(stopped.stderr, "");
    assert!(stopped.ok().starts_with("stopped; its state is in "));
    assert!(!is_running(&pid));
    assert_eq!(fs::read_to_string(sandbox.home.config()).unwrap(), "");
    let again = sandbox.run(&["simulator", "stop"]);
    assert_eq!(again.stderr, "tpmssh: the simulated TPM was not running\n");
    again.ok();
}

#[test]
fn its_state_survives_and_its_end_is_no_power_failure() {
    let sandbox = Sandbox::new();
    sandbox.run(&["simulator", "start"]).ok();
    sandbox
        .run(&[
            "token",
            "init",
            "--pin-wall",
            "lockout",
            "--pin-file",
            &sandbox.pin,
        ])
        .ok();
    for _ in 0..3 {
        sandbox.run(&["keygen", "--pin-file", &sandbox.pin]).ok();
        sandbox.run(&["simulator", "stop"]).ok();
        sandbox.run(&["simulator", "start"]).ok();
    }
    let info: Value = serde_json::from_str(&sandbox.run(&["tpm", "info", "--json"]).ok()).unwrap();
    assert_eq!(info["lockout"]["wrong_tries"], 0);
    assert_eq!(sandbox.run(&["export", "--all"]).ok().lines().count(), 3);
}

#[test]
fn a_second_start_finds_the_first() {
    let sandbox = Sandbox::new();
    sandbox.run(&["simulator", "start"]).ok();
    let first = sandbox.status();
    sandbox.run(&["simulator", "start"]).ok();
    assert_eq!(sandbox.status(), first);
}

#[test]
fn starts_at_the_same_time_give_one_simulator() {
    let sandbox = Sandbox::new();
    let mut starts: Vec<_> = (0..4)
        .map(|_| {
            sandbox
                .command()
                .args(["simulator", "start"])
                .spawn()
                .unwrap()
        })
        .collect();
    for start in &mut starts {
        assert!(start.wait().unwrap().success());
    }
    let dir = sandbox.status()["directory"].as_str().unwrap().to_owned();
    let ours = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| fs::read_to_string(entry.ok()?.path().join("cmdline")).ok())
        .filter(|line| line.starts_with("swtpm\0") && line.contains(&dir))
        .count();
    assert_eq!(ours, 1);
}

#[test]
fn its_directory_is_private() {
    let sandbox = Sandbox::new();
    sandbox.run(&["simulator", "start"]).ok();
    let dir = sandbox.status()["directory"].as_str().unwrap().to_owned();
    let mode = |path: &str| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    sandbox.run(&["simulator", "stop"]).ok();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
    sandbox.run(&["simulator", "start"]).fails(
        9,
        &format!(
            "tpmssh: unsafe path {dir}: it must be a directory of your own with mode 0700\n\
             hint: if it is yours: chmod 700 {dir}\n"
        ),
    );
}

#[test]
fn another_configured_tpm_stays_configured() {
    let sandbox = Sandbox::new();
    let config = "tcti = \"device:/dev/tpmrm0\"\n";
    fs::create_dir(sandbox.home.config().parent().unwrap()).unwrap();
    fs::write(sandbox.home.config(), config).unwrap();
    fs::set_permissions(sandbox.home.config(), fs::Permissions::from_mode(0o600)).unwrap();
    let started = sandbox.run(&["simulator", "start"]);
    let tcti = sandbox.status()["tcti"].as_str().unwrap().to_owned();
    assert!(
        started.stderr.starts_with(&format!(
            "tpmssh: the configuration names another TPM and stays as it is; use --tcti {tcti}\n"
        )),
        "{started:?}"
    );
    assert_eq!(fs::read_to_string(sandbox.home.config()).unwrap(), config);
}

#[test]
fn without_swtpm_the_package_is_named() {
    let sandbox = Sandbox::new();
    let mut start = sandbox.command();
    start
        .env("PATH", sandbox.home.path())
        .args(["simulator", "start"]);
    Outcome::of(&mut start).fails(
        5,
        "tpmssh: swtpm is not installed\nhint: sudo apt install swtpm\n",
    );
}

#[test]
fn setup_starts_one_where_that_is_allowed() {
    if machine_has_tpm() {
        return; // this machine has a TPM, which setup would use
    }
    let sandbox = Sandbox::new();
    let setup = sandbox.run(&["setup", "--simulator", "--pin-file", &sandbox.pin]);
    assert!(setup.stderr.contains("protects nothing"), "{setup:?}");
    assert!(setup.ok().starts_with("ecdsa-sha2-nistp256 "));
    assert_eq!(sandbox.status()["running"], true);
}
