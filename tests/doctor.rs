//! `tpmssh doctor` on machines of many kinds: what it says, word for word, and its exit code.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use testing::{Home, Swtpm};

use crate::program::{Outcome, Program, machine_has_tpm, run, tpmssh};

/// Compares with `tests/golden/doctor-NAME.txt`; with `TPMSSH_BLESS` set it writes that file.
#[track_caller]
fn assert_golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/golden")
        .join(format!("doctor-{name}.txt"));
    if std::env::var_os("TPMSSH_BLESS").is_some() {
        fs::write(&path, text).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap();
    assert_eq!(text, golden, "see {}", path.display());
}

/// What doctor said, without what differs from one machine and run to the next: each check on
/// one line, with names in place of paths, ports, versions and Names.
fn normalised(said: &str, home: &Home, tcti: &str) -> String {
    let said = unwrapped(said)
        .replace(&home.path().display().to_string(), "HOME")
        .replace(tcti, "TCTI");
    let warnings_around = warnings_around(&said);
    let mut out = String::new();
    let mut is_around = false;
    for line in said.lines() {
        if let Some((problems, warnings)) = total(line) {
            out.push_str(&total_line(problems, warnings - warnings_around));
            continue;
        }
        let (head, detail) = line.split_at(line.len().min(31));
        let name = head.get(9..).unwrap_or_default().trim();
        if AROUND.contains(&name) {
            is_around = true;
            continue;
        }
        if std::mem::take(&mut is_around) && line.trim_start().starts_with("->") {
            continue;
        }
        let counted = detail
            .replace(|c: char| c.is_ascii_digit(), "N")
            .replace("NN", "N");
        let detail = match name {
            // The numbers depend on the simulator.
            "keys in the TPM" | "NV memory" => &counted,
            // These depend on the simulator and on what is installed.
            "TPM" => "IDENTITY",
            "OpenSSH" => "VERSION",
            "storage root key" if detail.contains("Name") => "there, without a password, Name NAME",
            "PKCS#11 module" => "MODULE: ssh works with it, but ssh-agent refuses it there",
            _ => detail,
        };
        let line = format!("{head}{detail}");
        let command = line.trim_start();
        if command.starts_with("-> ssh-agent -P ") {
            out.push_str("         -> ssh-agent -P MODULE\n");
        } else {
            out.push_str(&line);
            out.push('\n');
        }
    }
    out
}

/// The checks of what is installed and set up on the machine of the test, which neither a golden
/// file nor its total has.
const AROUND: [&str; 4] = ["ssh's configuration", "PIN prompt", "host keys", "git"];

/// How many checks of [`AROUND`] warn.
fn warnings_around(said: &str) -> usize {
    let warned = said
        .lines()
        .filter_map(|line| line.strip_prefix("warning  "));
    let is_around = |line: &&str| AROUND.iter().any(|name| line.starts_with(name));
    warned.filter(is_around).count()
}

/// The parts of the last line: the text about problems, and the number of warnings.
fn total(line: &str) -> Option<(&str, usize)> {
    let (problems, warnings) = line.rsplit_once(", ")?;
    let number = warnings
        .strip_suffix(" warnings")
        .or(warnings.strip_suffix(" warning"))?;
    Some((problems, number.parse().ok()?))
}

fn total_line(problems: &str, warnings: usize) -> String {
    let s = if warnings == 1 { "" } else { "s" };
    format!("{problems}, {warnings} warning{s}\n")
}

/// Machines that differ only in the checks of [`AROUND`] have the same golden file.
#[test]
fn the_total_of_a_golden_file_leaves_out_what_the_machine_has_around() {
    let common = format!(
        "{:31}they differ\n{:31}\n",
        "warning  TPM", "ok       store"
    );
    let normalised = |around: &str, total: &str| {
        let said = format!("{common}{around}{total}\n");
        normalised(&said, &Home::new(), "no TCTI")
    };
    let prompt = format!(
        "{:31}none\n         -> install one\n",
        "warning  PIN prompt"
    );
    let git = format!("{:31}too old\n", "warning  git");
    let expected = normalised("", "0 problems, 1 warning");
    assert!(
        expected.ends_with("\n0 problems, 1 warning\n"),
        "{expected}"
    );
    assert_eq!(normalised(&prompt, "0 problems, 2 warnings"), expected);
    let both = format!("{prompt}{git}");
    assert_eq!(normalised(&both, "0 problems, 3 warnings"), expected);
    let said = normalised(&git, "1 problem (store), 2 warnings");
    assert!(said.ends_with("\n1 problem (store), 1 warning\n"), "{said}");
}

/// Wrapped details in one line again.
pub(crate) fn unwrapped(said: &str) -> String {
    said.replace(&format!("\n{:31}", ""), " ")
}

impl Program {
    /// What doctor says, if it ends with `code` and `stderr`.
    #[track_caller]
    fn doctor(&self, args: &[&str], code: i32, stderr: &str) -> String {
        let outcome = self.run(&[&["doctor"], args].concat());
        let got = (outcome.code, outcome.stderr.as_str());
        assert_eq!(got, (Some(code), stderr), "{}", outcome.stdout);
        normalised(&outcome.stdout, &self.home, &self.swtpm.tcti())
    }

    /// `doctor --strict` finds so many warnings, besides those of [`AROUND`].
    #[track_caller]
    fn doctor_counts(&self, warnings: usize) {
        let outcome = self.run(&["doctor", "--strict"]);
        let found = warnings + warnings_around(&outcome.stdout);
        let expected = format!("tpmssh: {found} warnings found\n");
        let got = (outcome.code, outcome.stderr.as_str());
        assert_eq!(got, (Some(8), expected.as_str()), "{}", outcome.stdout);
    }

    /// Checks that doctor named `command` as a fix, and runs it with the arguments `more` added.
    #[track_caller]
    fn fix(&self, said: &str, command: &str, more: &[&str]) {
        assert!(said.contains(&format!("-> tpmssh {command}")), "{said}");
        let args: Vec<_> = command.split(' ').chain(more.iter().copied()).collect();
        self.run(&args).ok();
    }

    fn store_dir(&self) -> PathBuf {
        self.home.path().join(".local/share/tpmssh")
    }
}

#[test]
fn a_good_simulator() {
    let program = Program::with_tpm(Swtpm::manufactured());
    let password = program.secret("password", "of the owner");
    program
        .run(&[
            "tpm",
            "take-ownership",
            "--yes",
            "--owner-auth-file",
            &password,
            "--endorsement-auth-file",
            &password,
            "--lockout-auth-file",
            &password,
        ])
        .ok();
    let pins = ["--pin-file", &program.pin, "--so-pin-file", &program.so_pin];
    let owner = ["--owner-auth-file", &password];
    program
        .run(&[&["token", "init"], &pins[..], &owner].concat())
        .ok();
    program.keygen("first");
    let said = program.doctor(&["--pin-file", &program.pin], 0, "");
    assert_golden("good", &said);
}

#[test]
fn an_emulated_tpm_without_ek_certificate() {
    let program = Program::new();
    let said = program.doctor(&[], 0, "");
    assert_golden("emulated", &said);
    program.doctor_counts(6);
    // The commands that doctor names fix what can be fixed.
    let password = program.secret("password", "of the owner");
    for which in ["lockout", "owner"] {
        let command = format!("tpm change-auth {which}");
        program.fix(&said, &command, &["--new-auth-file", &password]);
    }
    program.doctor_counts(3);
}

#[test]
fn a_machine_without_a_tpm() {
    if machine_has_tpm() {
        return; // this machine has a TPM
    }
    let home = Home::new();
    let outcome = Outcome::of(tpmssh(&home).arg("doctor"));
    assert_eq!(outcome.code, Some(5), "{outcome:#?}");
    assert_eq!(outcome.stderr, "tpmssh: 1 problem found\n");
    assert_golden("bare", &normalised(&outcome.stdout, &home, "no TCTI"));
}

#[test]
fn a_cleared_tpm() {
    let program = Program::with_key();
    program.run(&["tpm", "clear", "--yes"]).ok();
    let said = program.doctor(&[], 6, "tpmssh: 1 problem found\n");
    assert_golden("cleared", &said);
    assert!(said.contains("for ever: tpmssh token delete --forget\n"));
    program.run(&["token", "delete", "--forget", "--yes"]).ok();
    program.fix(&said, "tpm take-ownership", &["--no-passwords", "--yes"]);
    program.doctor(&[], 0, "");
}

#[test]
fn a_locked_token_in_a_locked_tpm() {
    let program = Program::with_key();
    let wrong = program.secret("wrong", "incorrect horse");
    let so = ["--so-pin-file", &wrong, "--new-pin-file", &program.pin];
    for _ in 0..3 {
        let keygen = program.run(&["keygen", "--yes", "--pin-file", &wrong]);
        assert_eq!(keygen.code, Some(3), "{keygen:#?}");
        let reset = program.run(&[&["token", "reset-pin"], &so[..]].concat());
        assert_eq!(reset.code, Some(3), "{reset:#?}");
    }
    let said = program.doctor(&[], 4, "tpmssh: 2 problems found\n");
    assert_golden("locked", &said);
    program.fix(&said, "tpm lockout reset", &[]);
    let so = [
        "--so-pin-file",
        &program.so_pin,
        "--new-pin-file",
        &program.pin,
    ];
    program.fix(&said, "token reset-pin", &so);
    program.doctor(&[], 0, "");
}

#[test]
fn a_store_that_others_can_enter() {
    let program = Program::with_key();
    fs::set_permissions(program.store_dir(), Permissions::from_mode(0o755)).unwrap();
    let said = program.doctor(&[], 9, "tpmssh: 1 problem found\n");
    assert_golden("open-store", &said);
    let path = program.store_dir();
    assert!(said.contains("-> if it is yours: chmod 700 HOME/.local/share/tpmssh\n"));
    run("chmod", &["700", &path.display().to_string()]);
    program.doctor(&[], 0, "");
}

/// With several tokens, a command names the one that it is about.
#[test]
fn one_of_several_tokens_is_locked() {
    let program = Program::with_token();
    program.init("play");
    let wrong = program.secret("wrong", "incorrect horse");
    let keygen =
        |pin: &str| program.run(&["--token", "play", "keygen", "--yes", "--pin-file", pin]);
    for _ in 0..2 {
        assert_eq!(keygen(&wrong).code, Some(3));
    }
    let said = program.doctor(&[], 0, "");
    assert!(
        said.contains(
            "warning  token                 \"play\": behind a PIN counter, only 1 of 3 tries left"
        ),
        "{said}"
    );
    assert_eq!(keygen(&wrong).code, Some(3));
    let said = program.doctor(&[], 4, "tpmssh: 1 problem found\n");
    assert!(said.contains("ok       token                 \"work\": behind a PIN counter, 3 of 3"));
    let fix = said
        .lines()
        .find_map(|line| line.strip_prefix("         -> tpmssh --token "));
    let (serial, command) = fix.unwrap().split_once(' ').unwrap();
    assert_eq!(command, "token reset-pin");
    let so = [
        "--so-pin-file",
        &program.so_pin,
        "--new-pin-file",
        &program.pin,
    ];
    let reset = [&["--token", serial, "token", "reset-pin"], &so[..]].concat();
    program.run(&reset).ok();
    keygen(&program.pin).ok();

    let json = program.run(&["doctor", "--json"]).ok();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let checks = json["checks"].as_array().unwrap();
    let count = |status| {
        checks
            .iter()
            .filter(|check| check["status"] == status)
            .count()
    };
    assert_eq!(json["warnings"], count("warning"));
    assert_eq!((json["problems"].as_u64(), count("problem")), (Some(0), 0));
    let tokens = checks.iter().filter(|check| check["name"] == "token");
    let details: Vec<_> = tokens
        .map(|check| check["detail"].as_str().unwrap())
        .collect();
    assert_eq!(
        details,
        [
            "\"work\": behind a PIN counter, 3 of 3 tries left, no keys",
            "\"play\": behind a PIN counter, 3 of 3 tries left, 1 key",
        ]
    );
}

/// A key whose blob was changed is found with the PIN, one with other attributes without it.
#[test]
fn keys_that_are_not_what_they_were() {
    let program = Program::with_key();
    let tamper = |sql: &str| {
        let file = program.store_dir().join("store.db");
        let db = rusqlite::Connection::open(file).unwrap();
        db.execute_batch(sql).unwrap();
    };
    tamper(
        "UPDATE key SET private = CAST(substr(private, 1, 60) || x'a5a5a5' || \
         substr(private, 64) AS BLOB)",
    );
    program.doctor(&[], 0, "");
    let pin = ["--pin-file", program.pin.as_str()];
    let said = program.doctor(&pin, 7, "tpmssh: 1 problem found\n");
    let line = "problem  token                 \"work\": the TPM refuses the key \"first\": it was changed\n";
    assert!(said.contains(line), "{said}");
    // fixedTPM, in the attributes at bytes 4 to 7 of the public area.
    tamper(
        "UPDATE key SET public = CAST(substr(public, 1, 7) || x'70' || \
         substr(public, 9) AS BLOB)",
    );
    let said = program.doctor(&[], 8, "tpmssh: 1 problem found\n");
    let line = "key \"first\" is refused: it can be duplicated out of the TPM\n         \
        -> make a new key with: tpmssh keygen\n";
    assert!(said.contains(line), "{said}");
}
