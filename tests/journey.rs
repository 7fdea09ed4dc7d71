//! From a key in the TPM to a login over ssh, with the real OpenSSH and the module, and what
//! that costs in TPM commands, FlushContext aside.

use std::{
    fs,
    process::{Command, Output},
};

use testing::{Home, SshAgent, Sshd, Swtpm, Tap, module};
use token_store::{
    KeySpec, OpenToken, Pin, SoPin, Store, StoreDir, WallKind,
    token::{self, InitOptions},
};
use tpm_core::{KeyType, OwnerAuth, Tpm};

use crate::program::{PIN, SO_PIN};

/// A token with one key behind a tap, an sshd that knows the key, and a home.
struct Journey {
    sshd: Sshd,
    home: Home,
    tap: Tap,
    pin_file: std::path::PathBuf,
    _swtpm: Swtpm,
}

fn journey(wall: WallKind, key_type: KeyType) -> Journey {
    let swtpm = Swtpm::start();
    let tap = Tap::start(&swtpm);
    let home = Home::with_tcti(tap.tcti());
    let tpm = std::sync::Arc::new(Tpm::new(tap.tcti().parse().unwrap()));
    let mut store = Store::open_or_create(&StoreDir::at(home.store()).unwrap()).unwrap();
    let options = InitOptions {
        wall: Some(wall),
        ..InitOptions::new("journey")
    };
    let pin = Pin::new(PIN.as_bytes()).unwrap();
    let pin = (wall != WallKind::None).then_some(&pin);
    let so = SoPin::new(SO_PIN.as_bytes()).unwrap();
    let owner = OwnerAuth::empty();
    let token = token::init(&mut store, &tpm, &options, Some(&so), pin, &owner)
        .unwrap()
        .token;
    let open = OpenToken::open(&store, &tpm, &token, pin).unwrap();
    open.generate(&mut store, &KeySpec::new(key_type, "key"))
        .unwrap();
    let sshd = Sshd::start(&home);
    let journey = Journey {
        pin_file: home.secret_file("pin", PIN),
        sshd,
        home,
        tap,
        _swtpm: swtpm,
    };
    let listed = journey.run(journey.home.command("ssh-keygen").arg("-D").arg(module()));
    fs::write(journey.sshd.authorized_keys(), &listed.stdout).unwrap();
    journey.tap.reset();
    journey
}

impl Journey {
    fn run(&self, command: &mut Command) -> Output {
        let output = command.output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        output
    }

    fn ssh(&self, arguments: &[&str]) -> Output {
        let askpass = self.home.askpass(&self.pin_file);
        self.sshd.run(&self.home, &askpass, arguments, "echo in")
    }

    fn assert_login(&self, output: &Output) {
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.stdout, b"in\n", "{errors}{}", self.sshd.log());
        assert_eq!(errors, "", "ssh prints nothing of ours");
    }
}

fn path(module: &std::path::Path) -> String {
    module.display().to_string()
}

#[test]
fn listing_asks_the_tpm_nothing() {
    let journey = journey(WallKind::Counter, KeyType::EccP256);
    let home = &journey.home;
    let keys = journey.run(home.command("ssh-keygen").arg("-D").arg(module()));
    assert!(keys.stdout.starts_with(b"ecdsa-sha2-nistp256 "));
    let objects = journey.run(
        home.command("pkcs11-tool")
            .arg("--module")
            .arg(module())
            .arg("-O"),
    );
    assert!(String::from_utf8_lossy(&objects.stdout).contains("Public Key Object"));
    for option in ["-L", "-T", "-M", "-I"] {
        journey.run(
            home.command("pkcs11-tool")
                .arg("--module")
                .arg(module())
                .arg(option),
        );
    }
    assert_eq!(journey.tap.commands(), [0_u32; 0]);
}

#[test]
fn a_login_with_a_pin_counter_costs_at_most_eight_commands() {
    let journey = journey(WallKind::Counter, KeyType::EccP256);
    let module = path(&module());
    journey.assert_login(&journey.ssh(&["-I", &module]));
    assert!(journey.tap.count() <= 8, "{:x?}", journey.tap.commands());
    // The same through a configuration.
    journey.assert_login(&journey.ssh(&["-o", &format!("PKCS11Provider={module}")]));
}

#[test]
fn a_login_in_lockout_mode_costs_at_most_six_commands() {
    let journey = journey(WallKind::Lockout, KeyType::EccP256);
    journey.assert_login(&journey.ssh(&["-I", &path(&module())]));
    assert!(journey.tap.count() <= 6, "{:x?}", journey.tap.commands());
}

#[test]
fn every_key_type_logs_in() {
    for key_type in KeyType::ALL {
        let journey = journey(WallKind::None, key_type);
        journey.assert_login(&journey.ssh(&["-I", &path(&module())]));
    }
}

#[test]
fn a_second_signature_of_the_agent_costs_at_most_four_commands() {
    let journey = journey(WallKind::Counter, KeyType::Rsa2048);
    let module = module();
    let agent = SshAgent::start(&journey.home, &path(&module), &[]);
    let askpass = journey.home.askpass(&journey.pin_file);
    let add = |option: &str| {
        let mut command = journey.home.command("ssh-add");
        command
            .arg(option)
            .arg(&module)
            .envs(agent.env())
            .envs(askpass.clone());
        journey.run(&mut command);
    };
    add("-s");
    let listed = journey.run(journey.home.command("ssh-add").arg("-l").envs(agent.env()));
    assert!(String::from_utf8_lossy(&listed.stdout).contains("2048 SHA256:"));
    let login = || {
        journey
            .sshd
            .run(&journey.home, &agent.env(), &[], "echo in")
    };
    journey.assert_login(&login());
    journey.tap.reset();
    journey.assert_login(&login());
    assert!(journey.tap.count() <= 4, "{:x?}", journey.tap.commands());
    add("-e");
}

#[test]
fn a_wrong_pin_is_refused_and_costs_one_try() {
    let mut journey = journey(WallKind::Counter, KeyType::EccP256);
    let right = journey.pin_file.clone();
    journey.pin_file = journey.home.secret_file("wrong-pin", "incorrect horse");
    let output = journey.ssh(&["-I", &path(&module())]);
    assert!(!output.status.success());
    let token = |journey: &Journey| {
        let store = Store::open(&StoreDir::at(journey.home.store()).unwrap()).unwrap();
        store.find_token("journey").unwrap()
    };
    let left = token(&journey).tries.unwrap().left;
    // ssh asks once more for each key that it tries; here there is one.
    assert_eq!(
        left,
        token::DEFAULT_TRIES - 1,
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    journey.pin_file = right;
    journey.assert_login(&journey.ssh(&["-I", &path(&module())]));
    assert_eq!(token(&journey).tries.unwrap().left, token::DEFAULT_TRIES);
}
