//! How lists, colours and notices look, on terminals and elsewhere.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::program::{Outcome, Program, run, text};
use crate::terminal::Session;

/// What a program shows on a terminal of this kind.
fn on_terminal(program: &Program, env: &[(&str, &str)], args: &[&str]) -> String {
    let mut command = program.home.command("setsid");
    command.args(["--ctty", env!("CARGO_BIN_EXE_tpmssh")]);
    command.args(args).envs(env.iter().copied());
    Session::spawn(command).end().1
}

/// Adds a certificate that the authority of the token signs for `first`.
fn certify(program: &Program, name: &str, validity: &str) {
    let public = program.secret("key.pub", &program.run(&["export", "first"]).ok());
    let sign = [
        "ca",
        "sign-user",
        &public,
        "-I",
        name,
        "-n",
        name,
        "-V",
        validity,
        "--pin-file",
        &program.pin,
    ];
    let certificate = program.secret("key-cert.pub", &program.run(&sign).ok());
    program.run(&["cert", "add", "--force", &certificate]).ok();
}

fn with_authority() -> Program {
    let program = Program::with_key();
    program
        .run(&["ca", "init", "--pin-file", &program.pin])
        .ok();
    program
}

#[test]
fn a_list_has_a_line_for_each_object_and_columns_that_line_up() {
    let program = with_authority();
    program.keygen("鍵 🔑");
    certify(&program, "anna", "+1h");
    certify(&program, "gone", "20200101Z:20210101Z");
    let list: Value = serde_json::from_str(&program.run(&["list", "--json"]).ok()).unwrap();
    let short = |entry: usize, field: &str, len: usize| {
        list[entry][field].as_str().unwrap()[..len].to_owned()
    };
    let key = |entry| {
        format!(
            "{}  {}",
            short(entry, "id", 8),
            short(entry, "fingerprint", 19)
        )
    };
    let of_key = short(0, "fingerprint", 19);
    let expected = format!(
        "LABEL  KIND             TYPE           ID        FINGERPRINT\n\
         first  key              ecdsa-p256     {}\n\
         ca     CA key           ecdsa-p256     {}\n\
         鍵 🔑  key              ecdsa-p256     {}\n\
         anna   SSH certificate  user, valid    1         {of_key}\n\
         gone   SSH certificate  user, expired  2         {of_key}\n",
        key(0),
        key(1),
        key(2),
    );
    assert_eq!(program.run(&["list"]).ok(), expected);
    assert_eq!(program.run(&["list-objects"]).ok(), expected);
    let classes: Vec<_> = (0..5).map(|entry| &list[entry]["class"]).collect();
    assert_eq!(
        classes,
        [
            "key-pair",
            "key-pair",
            "key-pair",
            "ssh-certificate",
            "ssh-certificate"
        ]
    );
    let authorities: Vec<_> = (0..3).map(|entry| &list[entry]["authority"]).collect();
    assert_eq!(authorities, [false, true, false]);
    // The shown beginning of an id names the key.
    assert!(
        program
            .run(&["export", &short(2, "id", 8)])
            .ok()
            .ends_with(" 鍵 🔑\n")
    );

    let long = program.run(&["list", "--long"]).ok();
    assert!(
        long.contains("  ecdsa-p256 CA key \"ca\"\n    id "),
        "{long}"
    );
    assert!(
        long.contains("  SSH certificate 1 of key \"first\"\n    state "),
        "{long}"
    );
    // With two tokens there is a column for the token.
    program.init("play");
    let args = [
        "--token",
        "play",
        "keygen",
        "-C",
        "mine",
        "--pin-file",
        &program.pin,
    ];
    program.run(&args).ok();
    let list = program.run(&["list"]).ok();
    let mine = list.lines().find(|line| line.starts_with("mine ")).unwrap();
    assert!(mine.ends_with("  play"), "{list}");
    assert!(list.lines().next().unwrap().ends_with("  TOKEN"), "{list}");
}

#[test]
fn certificates_have_a_line_each_and_those_that_end_soon_are_found() {
    let program = with_authority();
    for (name, validity) in [
        ("today", "+1h"),
        ("later", "+8w"),
        ("gone", "20200101Z:20210101Z"),
        ("revoked", "+2h"),
    ] {
        certify(&program, name, validity);
    }
    program.run(&["ca", "revoke", "--key-id", "revoked"]).ok();
    for list in ["ca", "cert"] {
        let lines = program.run(&[list, "list"]).ok();
        assert_eq!(lines.lines().count(), 5, "{lines}");
        let state = |name: &str| {
            let line = lines.lines().find(|it| it.contains(&format!(" {name} ")));
            line.unwrap_or_else(|| panic!("{lines}")).to_owned()
        };
        assert!(state("today").contains("  user  valid    2"), "{lines}");
        assert!(
            state("gone").contains("  user  expired  2021-01-01 00:00:00 UTC  gone"),
            "{lines}"
        );
        let revoked = if list == "ca" { "revoked" } else { "valid" };
        assert!(
            state("revoked").contains(&format!("  user  {revoked}")),
            "{lines}"
        );
    }
    let expiring = |time| {
        let listed = program.run(&["ca", "list", "--json", "--expiring", time]);
        let listed: Value = serde_json::from_str(&listed.ok()).unwrap();
        let ids = listed.as_array().unwrap().iter();
        ids.map(|it| it["key_id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(expiring("14d"), ["today"]);
    assert_eq!(expiring("20w"), ["today", "later"]);
    let none = program.run(&["ca", "list", "--expiring", "1m"]);
    assert_eq!(
        none.stderr,
        "tpmssh: no certificate ends within this time\n"
    );
    assert_eq!(none.ok(), "");
}

#[test]
fn colours_are_for_terminals_that_want_them() {
    let program = Program::with_key();
    let xterm = ("TERM", "xterm-256color");
    let list = |env: &[(&str, &str)], args: &[&str]| on_terminal(&program, env, args);
    let bold = "\u{1b}[1mLABEL\u{1b}[0m  ";
    assert!(list(&[xterm], &["list"]).starts_with(bold));
    assert!(list(&[xterm], &["keygen", "--help"]).contains("\u{1b}["));
    let error = "\u{1b}[1m\u{1b}[31mtpmssh:\u{1b}[0m no key \"nope\"\r\n\u{1b}[36mhint:\u{1b}[0m ";
    assert!(list(&[xterm], &["export", "nope"]).starts_with(error));
    let wrong = list(&[xterm], &["nope"]);
    assert!(wrong.starts_with("\u{1b}[1m\u{1b}[31mtpmssh:"), "{wrong:?}");
    for (env, args) in [
        (&[xterm, ("NO_COLOR", "1")][..], &["list"][..]),
        (&[("TERM", "dumb")], &["list"]),
        (&[xterm], &["list", "--color", "never"]),
        (&[xterm], &["--color=never", "export", "nope"]),
        (&[xterm], &["keygen", "--color=never", "--help"]),
        (&[xterm], &["list", "--json"]),
    ] {
        let shown = list(env, args);
        assert!(!shown.contains('\u{1b}'), "{env:?} {args:?}: {shown:?}");
    }
    // Not a terminal.
    let mut piped = program.command();
    let piped = Outcome::of(piped.args(["list"]).env("TERM", "xterm"));
    assert!(piped.ok().starts_with("LABEL  "));
    assert!(
        program
            .run(&["list", "--color=always"])
            .ok()
            .starts_with(bold)
    );
    program.run(&["list", "--color=blue"]).fails(
        2,
        "tpmssh: invalid value 'blue' for '--color <WHEN>' [possible values: auto, always, never]\nhint: see tpmssh list --help\n",
    );
}

#[test]
fn doctor_colours_the_words_that_say_how_grave_it_is() {
    let program = Program::with_key();
    program
        .home
        .secret_file(".ssh/config", "IdentityAgent none\n");
    fs::remove_file(program.home.path().join("pin")).unwrap();
    let coloured = [
        "\u{1b}[32mok\u{1b}[0m       TPM",
        "\u{1b}[1m\u{1b}[33mwarning\u{1b}[0m  ",
    ];
    let doctor = |env: &[(&str, &str)], args: &[&str]| {
        on_terminal(&program, env, &[&["doctor"], args].concat())
    };
    let xterm = ("TERM", "xterm-256color");
    for env in [
        &[xterm][..],
        &[xterm, ("NO_COLOR", "")],
        &[xterm, ("CLICOLOR", "1")],
    ] {
        let shown = doctor(env, &[]);
        for word in coloured {
            assert!(shown.contains(word), "{env:?}: {shown:?}");
        }
    }
    for (env, args) in [
        (&[xterm, ("NO_COLOR", "1")][..], &[][..]),
        (&[xterm, ("CLICOLOR", "0")], &[]),
        (&[("TERM", "dumb")], &[]),
        (&[xterm], &["--color", "never"]),
        (&[xterm], &["--json"]),
    ] {
        let shown = doctor(env, args);
        assert!(!shown.contains('\u{1b}'), "{env:?} {args:?}: {shown:?}");
        assert!(shown.contains("warning"), "{shown}");
    }
    // Without a terminal there are no colours, unless an option or a variable asks for them.
    let piped = |env: &[(&str, &str)], args: &[&str]| {
        let mut command = program.command();
        command.arg("doctor").args(args).envs(env.iter().copied());
        Outcome::of(&mut command).ok()
    };
    assert!(!piped(&[xterm], &[]).contains('\u{1b}'));
    for (env, args) in [
        (&[][..], &["--color", "always"][..]),
        (&[("NO_COLOR", "1")], &["--color", "always"]),
        (&[("CLICOLOR_FORCE", "1")], &[]),
    ] {
        let shown = piped(env, args);
        assert!(shown.contains(coloured[0]), "{env:?} {args:?}: {shown:?}");
    }
}

/// The simulator is named by the configuration file, as `tpmssh simulator start` does it.
#[test]
fn that_the_tpm_is_simulated_is_said_once_a_terminal_session() {
    let program = Program::with_key();
    let config = program.home.config();
    fs::create_dir(config.parent().unwrap()).unwrap();
    let tcti = program.swtpm.tcti();
    fs::write(&config, format!("tcti = \"{tcti}\"\nsimulated = true\n")).unwrap();
    fs::set_permissions(&config, fs::Permissions::from_mode(0o600)).unwrap();
    let notice = "the TPM is simulated and protects nothing";
    let session = |line: &str| {
        let mut command = program.home.command("setsid");
        command
            .args(["--ctty", "sh", "-c", line])
            .env_remove("TPMSSH_TCTI");
        command.env("P", env!("CARGO_BIN_EXE_tpmssh"));
        Session::spawn(command).end().1
    };
    let shown = session("$P list; $P export | cat; $P list | $P verify -s nope; $P list");
    assert!(
        shown.starts_with(&format!("tpmssh: {notice}\r\nLABEL")),
        "{shown}"
    );
    assert_eq!(shown.matches(notice).count(), 1, "{shown}");
    // Each window of a terminal is a session.
    let shown = session("$P token list; $P doctor; $P doctor");
    assert_eq!(shown.matches(notice).count(), 3, "{shown}");
    // If stderr goes to a file, each command says it: the file may be read alone.
    let shown = session("$P list 2>a; $P list 2>b; cat a b");
    assert_eq!(shown.matches(notice).count(), 2, "{shown}");
    // If the state directory cannot be written, each command says it.
    let state = text(program.home.path().join(".local/state"));
    run("rm", &["-r", &state]);
    fs::write(&state, "a file").unwrap();
    let shown = session("$P list; $P list");
    assert_eq!(shown.matches(notice).count(), 2, "{shown}");
}

/// The line that counts the seconds of an RSA key is shown only if it can be overwritten.
#[test]
fn progress_needs_a_terminal_that_can_write_over_a_line() {
    let program = Program::with_token();
    let keygen = ["keygen", "-t", "rsa", "--pin-file", &program.pin];
    let dumb = on_terminal(&program, &[("TERM", "dumb")], &keygen);
    assert!(
        dumb.starts_with("tpmssh: the TPM makes an rsa2048 key; this can take minutes\r\n"),
        "{dumb:?}"
    );
    assert!(!dumb.contains('\u{1b}'), "{dumb:?}");
}
