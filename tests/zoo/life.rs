//! From the first look at a chip to the token's end, by the programs that people use.

use std::fs;

use testing::{Chip, Home, Sshd, module};

use crate::{
    agent::served::Served,
    program::{Outcome, PIN, SO_PIN, text, tpmssh},
};

/// A home that goes through all of it with one chip.
pub(crate) struct Life<'a> {
    chip: &'a Chip,
    home: Home,
    sshd: Sshd,
    pin: String,
    so_pin: String,
}

/// The most wrong PINs that any wall takes here.
const MOST_TRIES: usize = 40;

impl<'a> Life<'a> {
    pub(crate) fn new(chip: &'a Chip, tcti: &str) -> Self {
        let home = Home::with_tcti(tcti);
        Self {
            chip,
            pin: text(home.secret_file("pin", PIN)),
            so_pin: text(home.secret_file("so-pin", SO_PIN)),
            sshd: Sshd::start(&home),
            home,
        }
    }

    /// Goes through all steps.
    pub(crate) fn live(&self) {
        self.look();
        self.set_up();
        let keys = self.make_keys();
        self.log_in_with_the_module(&keys);
        self.log_in_with_the_agent(&keys);
        self.doctor(&["--pin-file", &self.pin]);
        let pin = self.change_pin();
        self.lock_and_reset(&pin);
        self.delete();
    }

    /// Runs `tpmssh`; whatever comes of it, the chip's codes are not shown to people.
    fn run(&self, args: &[&str]) -> Outcome {
        let outcome = Outcome::of(tpmssh(&self.home).args(args));
        self.readable(args, &outcome);
        outcome
    }

    fn readable(&self, args: &[&str], outcome: &Outcome) {
        let said = format!("{}{}", outcome.stdout, outcome.stderr);
        for raw in ["TPM_RC", "response code", "TPM2_"] {
            assert!(!said.contains(raw), "{}: {args:?}: {said}", self.chip.id());
        }
        assert_ne!(
            outcome.code,
            Some(7),
            "{}: {args:?}: {said}",
            self.chip.id()
        );
    }

    pub(super) fn ok(&self, args: &[&str]) -> String {
        self.run(args).ok()
    }

    pub(super) fn look(&self) {
        let info = self.ok(&["tpm", "info"]);
        let offered = self.chip.key_types().join(", ");
        assert!(info.contains(&offered), "{offered}: {info}");
        self.doctor(&[]);
    }

    /// Doctor may find a problem of the firmware, and no other.
    pub(super) fn doctor(&self, args: &[&str]) {
        let said = self.run(&[&["doctor"], args].concat());
        let problems: Vec<_> = said
            .stdout
            .lines()
            .filter(|line| line.starts_with("problem") && !line.contains(" firmware "))
            .collect();
        assert!(problems.is_empty(), "{}: {}", self.chip.id(), said.stdout);
        let wanted = if self.chip.has_pin_indexes() {
            "PIN wall              a PIN counter for each token"
        } else {
            "PIN wall              the lockout of the whole TPM"
        };
        assert!(said.stdout.contains(wanted), "{}", said.stdout);
    }

    /// Runs `setup`; returns what it wrote to stderr.
    pub(super) fn set_up(&self) -> String {
        let made = self.run(&[
            "setup",
            "--key-label",
            "first",
            "--pin-file",
            &self.pin,
            "--so-pin-file",
            &self.so_pin,
        ]);
        let explained = made.stderr.contains("lockout of the whole TPM");
        assert_eq!(explained, !self.chip.has_pin_indexes(), "{}", made.stderr);
        let said = made.stderr.clone();
        made.ok();
        let token = self.ok(&["token", "info"]);
        let wall = if self.chip.has_pin_indexes() {
            "counter"
        } else {
            "lockout"
        };
        assert!(token.contains(wall), "{token}");
        said
    }

    /// One of each kind that is offered; the others are refused beforehand.
    pub(super) fn make_keys(&self) -> Vec<String> {
        let offered = self.chip.key_types();
        let mut made = Vec::new();
        for (kind, algorithm, bits) in [
            ("ecdsa-p256", "ecdsa", "256"),
            ("ecdsa-p384", "ecdsa", "384"),
            ("ecdsa-p521", "ecdsa", "521"),
            ("rsa2048", "rsa", "2048"),
            ("rsa3072", "rsa", "3072"),
        ] {
            let outcome = self.run(&[
                "keygen",
                "-t",
                algorithm,
                "-b",
                bits,
                "-C",
                kind,
                "--pin-file",
                &self.pin,
            ]);
            if offered.contains(&kind) {
                outcome.ok();
                made.push(kind.to_owned());
            } else {
                assert_eq!(outcome.code, Some(1), "{outcome:?}");
                assert!(outcome.stderr.contains("does not"), "{outcome:?}");
            }
        }
        assert!(made.contains(&"rsa2048".to_owned()), "every chip has it");
        made
    }

    /// The signature algorithms that OpenSSH may use with a key of this kind.
    fn algorithms(kind: &str) -> &'static [&'static str] {
        match kind {
            "ecdsa-p256" => &["ecdsa-sha2-nistp256"],
            "ecdsa-p384" => &["ecdsa-sha2-nistp384"],
            "ecdsa-p521" => &["ecdsa-sha2-nistp521"],
            _ => &["rsa-sha2-512", "rsa-sha2-256"],
        }
    }

    fn let_in(&self, key: &str) -> String {
        let line = self.ok(&["export", key]);
        fs::write(self.sshd.authorized_keys(), &line).unwrap();
        line
    }

    pub(super) fn log_in_with_the_module(&self, keys: &[String]) {
        let module = text(module());
        let askpass = self.home.askpass(self.pin.as_ref());
        for key in keys {
            self.let_in(key);
            // First as OpenSSH does by itself, then with each hash.
            let choices = Self::algorithms(key).iter().map(|algorithm| {
                let option = format!("PubkeyAcceptedAlgorithms={algorithm}");
                vec!["-o".to_owned(), option]
            });
            for choice in std::iter::once(Vec::new()).chain(choices) {
                let mut args = vec!["-I", module.as_str()];
                args.extend(choice.iter().map(String::as_str));
                let output = self.sshd.run(&self.home, &askpass, &args, "echo in");
                let errors = String::from_utf8_lossy(&output.stderr);
                let context = format!("{} {key} {choice:?}: {errors}", self.chip.id());
                assert_eq!(output.stdout, b"in\n", "{context}{}", self.sshd.log());
                assert_eq!(errors, "", "{context}");
            }
        }
    }

    fn log_in_with_the_agent(&self, keys: &[String]) {
        let agent = Served::with(&self.home, &[], &[]);
        self.ok(&["unlock", "--pin-file", &self.pin]);
        for key in keys {
            let line = self.let_in(key);
            let file = self.home.path().join(format!("{key}.pub"));
            fs::write(&file, line).unwrap();
            for algorithm in Self::algorithms(key) {
                let accepted = format!("PubkeyAcceptedAlgorithms={algorithm}");
                let file = file.to_str().unwrap();
                let args = ["-o", "IdentitiesOnly=yes", "-i", file, "-o", &accepted];
                let output = self.sshd.run(&self.home, &agent.env(), &args, "echo in");
                let log = agent.log();
                assert_eq!(
                    output.stdout,
                    b"in\n",
                    "{} {algorithm}: {log}",
                    self.chip.id()
                );
            }
        }
        self.ok(&["lock"]);
    }

    fn change_pin(&self) -> String {
        let new = text(self.home.secret_file("new-pin", "another secret"));
        self.ok(&[
            "token",
            "change-pin",
            "--pin-file",
            &self.pin,
            "--new-pin-file",
            &new,
        ]);
        new
    }

    /// Wrong PINs to the limit, and what the last message advises.
    fn lock_and_reset(&self, pin: &str) {
        let try_pin = |pin: &str| {
            self.run(&[
                "token",
                "change-pin",
                "--yes",
                "--pin-file",
                pin,
                "--new-pin-file",
                pin,
            ])
        };
        // The old PIN, which is wrong by now.
        let locked = (0..MOST_TRIES)
            .map(|_| try_pin(&self.pin))
            .find(|outcome| outcome.code == Some(4))
            .expect("locked in the end");
        let right = try_pin(pin);
        assert_eq!(right.code, Some(4), "{right:?}");
        let reset = [
            "token",
            "reset-pin",
            "--so-pin-file",
            &self.so_pin,
            "--new-pin-file",
            pin,
        ];
        if self.chip.has_pin_indexes() {
            assert!(locked.stderr.contains("token reset-pin"), "{locked:?}");
            self.ok(&reset);
        } else {
            assert!(locked.stderr.contains("tpm lockout reset"), "{locked:?}");
            assert!(!locked.stderr.contains("token reset-pin"), "{locked:?}");
            let refused = self.run(&reset);
            assert_eq!(refused.code, Some(4), "{refused:?}");
            // Windows has set a lockout password and forgotten it, so that one can only wait.
            if self.run(&["tpm", "lockout", "reset"]).code != Some(0) {
                return;
            }
            self.ok(&reset);
        }
        try_pin(pin).ok();
    }

    pub(super) fn delete(&self) {
        let token = ["token", "delete", "--yes"];
        self.ok(&token);
        let left = self.run(&["token", "list"]);
        assert_eq!(left.stdout, "", "{left:?}");
    }
}
