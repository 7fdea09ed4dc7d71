//! Several programs at once, and a token's whole life, on a bare TPM and behind a resource
//! manager.

use std::process::{Child, Command, Stdio};

use testing::{Abrmd, module};

use crate::program::{Outcome, PIN, Program, SO_PIN, text};

/// A program's home and its TPM, with or without a resource manager in front of it.
struct Place {
    // Declared in the order in which they must be dropped.
    abrmd: Option<Abrmd>,
    program: Program,
}

impl Place {
    fn bare() -> Self {
        Self {
            abrmd: None,
            program: Program::new(),
        }
    }

    fn managed() -> Self {
        let mut program = Program::new();
        let abrmd = Abrmd::start(&program.swtpm);
        program.home.set_tcti(abrmd.tcti());
        Self {
            abrmd: Some(abrmd),
            program,
        }
    }

    fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = self.program.home.command(program);
        let env = self.abrmd.as_ref().map(Abrmd::env).unwrap_or_default();
        command.envs(env).args(args);
        command
    }

    fn tpmssh(&self, args: &[&str]) -> Command {
        self.command(env!("CARGO_BIN_EXE_tpmssh"), args)
    }

    fn pkcs11_tool(&self, args: &[&str]) -> Command {
        let module = text(module());
        self.command("pkcs11-tool", &[&["--module", &module], args].concat())
    }

    fn run(&self, args: &[&str]) -> Outcome {
        Outcome::of(&mut self.tpmssh(args))
    }

    fn pins(&self) -> [&str; 4] {
        let Program { pin, so_pin, .. } = &self.program;
        ["--pin-file", pin, "--so-pin-file", so_pin]
    }

    fn init(&self, label: &str) -> Command {
        let init = ["token", "init", "--label", label];
        self.tpmssh(&[&init[..], &self.pins()].concat())
    }

    fn keygen(&self, token: &str, label: &str) -> Command {
        let pin = &self.program.pin;
        self.tpmssh(&[
            "--token",
            token,
            "keygen",
            "--label",
            label,
            "--pin-file",
            pin,
        ])
    }

    fn json(&self, args: &[&str]) -> serde_json::Value {
        serde_json::from_str(&self.run(&[args, &["--json"]].concat()).ok()).unwrap()
    }

    /// Everything is in order, and no PIN counter is left over.
    #[track_caller]
    fn is_well(&self) {
        let outcome = self.run(&["doctor"]);
        assert_eq!(outcome.code, Some(0), "{outcome:#?}");
        let said = "ok       leftovers             none in the TPM\n";
        assert!(outcome.stdout.contains(said), "{outcome:#?}");
    }
}

/// Starts all of them before it waits for any.
fn all_at_once(commands: Vec<Command>) {
    let start = |mut command: Command| {
        let child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        (command, child)
    };
    let started: Vec<(Command, Child)> = commands.into_iter().map(start).collect();
    for (command, child) in started {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{command:?}: {output:?}");
    }
}

/// Two programs, one TPM without a storage root key, no store: each makes what is missing, or
/// finds it made.
fn two_tokens_are_made_at_once(place: &Place) {
    all_at_once(vec![place.init("one"), place.init("two")]);
    let tokens = place.json(&["token", "list"]);
    assert_eq!(tokens.as_array().unwrap().len(), 2, "{tokens}");
    place.is_well();
    for token in ["one", "two"] {
        Outcome::of(&mut place.keygen(token, "k")).ok();
    }
}

#[test]
fn two_tokens_are_made_at_once_in_a_bare_tpm() {
    two_tokens_are_made_at_once(&Place::bare());
}

#[test]
fn two_tokens_are_made_at_once_behind_a_resource_manager() {
    two_tokens_are_made_at_once(&Place::managed());
}

fn programs_and_modules_work_at_once(place: &Place) {
    Outcome::of(&mut place.init("work")).ok();
    let make = ["keygen", "--label", "first", "--id", "01", "--pin-file"];
    place.run(&[&make[..], &[&place.program.pin]].concat()).ok();
    let data = text(place.program.home.secret_file("data", "to be signed"));
    let signatures: Vec<_> = (0..3).map(|n| format!("{data}.{n}")).collect();
    let login = ["--login", "--pin", PIN];
    let mut commands = vec![place.init("another")];
    for (n, signature) in signatures.iter().enumerate() {
        let sign = [
            "--sign",
            "-m",
            "ECDSA-SHA256",
            "-d",
            "01",
            "-i",
            &data,
            "-o",
            signature,
        ];
        commands.push(place.pkcs11_tool(&[&login[..], &sign].concat()));
        commands.push(place.keygen("work", &format!("key {n}")));
    }
    all_at_once(commands);
    for signature in &signatures {
        let verify = ["--verify", "-m", "ECDSA-SHA256", "-d", "01", "-i", &data];
        let with = ["--signature-file", signature];
        let said = Outcome::of(&mut place.pkcs11_tool(&[&verify[..], &with].concat()));
        assert!(said.ok().contains("Signature is valid"));
    }
    let keys = place.json(&["--token", "work", "list-objects"]);
    assert_eq!(keys.as_array().unwrap().len(), 4, "{keys}");
    let tokens = place.json(&["token", "list"]);
    for token in tokens.as_array().unwrap() {
        assert_eq!(token["tries_left"], 3, "{token}");
    }
    place.is_well();
}

#[test]
fn programs_and_modules_work_at_once_on_a_bare_tpm() {
    programs_and_modules_work_at_once(&Place::bare());
}

#[test]
fn programs_and_modules_work_at_once_behind_a_resource_manager() {
    programs_and_modules_work_at_once(&Place::managed());
}

#[test]
fn a_token_lives_its_life_behind_a_resource_manager() {
    let place = Place::managed();
    let Program { pin, so_pin, .. } = &place.program;
    let secret = |name, content| place.program.secret(name, content);
    let (new, wrong) = (secret("new", "new horse"), secret("wrong", "wrong horse"));
    let new_so = secret("new-so", "new battery staple");
    let code = |args: &[&str]| place.run(args).code;
    let keygen = |pin: &str| code(&["keygen", "--yes", "--pin-file", pin]);
    assert_eq!(
        code(&["tpm", "take-ownership", "--no-passwords", "--yes"]),
        Some(0)
    );
    Outcome::of(&mut place.init("work")).ok();
    assert_eq!(keygen(pin), Some(0));
    let change = [
        "token",
        "change-pin",
        "--pin-file",
        pin,
        "--new-pin-file",
        &new,
    ];
    assert_eq!(code(&change), Some(0));
    for expected in [3, 3, 3, 4] {
        assert_eq!(keygen(&wrong), Some(expected));
    }
    assert_eq!(keygen(&new), Some(4));
    assert_eq!(code(&["doctor"]), Some(4));
    let reset = |so: &str| {
        code(&[
            "token",
            "reset-pin",
            "--so-pin-file",
            so,
            "--new-pin-file",
            pin,
        ])
    };
    assert_eq!(reset(so_pin), Some(0));
    assert_eq!(keygen(pin), Some(0));
    let change = [
        "token",
        "change-so-pin",
        "--so-pin-file",
        so_pin,
        "--new-so-pin-file",
        &new_so,
    ];
    assert_eq!(code(&change), Some(0));
    assert_eq!(reset(so_pin), Some(3));
    assert_eq!(reset(&new_so), Some(0));
    assert_eq!(code(&["token", "rename", "play"]), Some(0));
    assert_eq!(place.json(&["token", "info"])["in_this_tpm"], true);
    assert_eq!(code(&["doctor", "--pin-file", pin]), Some(0));
    assert_eq!(code(&["token", "delete", "--yes"]), Some(0));
    place.is_well();

    // And through PKCS#11.
    let tool = |args: &[&str]| Outcome::of(&mut place.pkcs11_tool(args));
    tool(&[
        "--init-token",
        "--slot",
        "0",
        "--label",
        "tool",
        "--so-pin",
        SO_PIN,
    ])
    .ok();
    let so = ["--login", "--login-type", "so", "--so-pin", SO_PIN];
    tool(&[&so[..], &["--init-pin", "--new-pin", PIN]].concat()).ok();
    let user = ["--login", "--pin", PIN];
    let make = ["--keypairgen", "--key-type", "EC:prime256v1", "-d", "01"];
    tool(&[&user[..], &make].concat()).ok();
    let again = tool(&[&user[..], &["--change-pin", "--new-pin", "other"]].concat());
    again.ok();
    assert_ne!(tool(&[&user[..], &["-O"]].concat()).code, Some(0));
    assert!(tool(&["-T"]).ok().contains("user PIN count low"));
    place.is_well();
}
