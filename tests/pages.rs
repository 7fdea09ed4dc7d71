//! Help pages, manual pages and completions, as people meet them.

use std::fs;
use std::path::Path;
use std::process::Command;

use testing::Home;

use crate::program::{Outcome, Program, text, tpmssh};
use crate::terminal::Session;

/// Whether a program is installed; in CI all are.
fn is_installed(program: &str) -> bool {
    let there = std::env::split_paths(&std::env::var_os("PATH").unwrap())
        .any(|dir| dir.join(program).exists());
    assert!(there || std::env::var_os("CI").is_none(), "no {program}");
    if !there {
        eprintln!("skipped: no {program} here");
    }
    there
}

#[test]
fn every_help_page_ends_with_examples_and_the_options_of_all() {
    let home = Home::new();
    let help = |args: &[&str]| Outcome::of(tpmssh(&home).args(args).arg("-h")).ok();
    let keygen = help(&["keygen"]);
    assert!(
        keygen.contains("\nGlobal options:\n      --token <TOKEN>  Use the token "),
        "{keygen}"
    );
    let examples = keygen.split("\nExamples:\n").nth(1).unwrap();
    assert_eq!(examples.lines().count(), 3, "{keygen}");
    assert!(
        examples
            .lines()
            .all(|line| line.starts_with("  tpmssh keygen ")),
        "{keygen}"
    );
    for page in [&["token", "delete"][..], &["ca", "revoke"], &["agent"]] {
        assert!(help(page).contains("\nExamples:\n  "), "{page:?}");
    }
    // The first page fits a terminal, and does not name the commands for packagers.
    let first = Outcome::of(tpmssh(&home).arg("help")).ok();
    assert!(first.lines().count() <= 24 && first.lines().all(|line| line.len() <= 80));
    for hidden in ["man ", "completions", "complete "] {
        assert!(!first.contains(hidden), "{first}");
    }
}

#[test]
fn manual_pages_have_the_sections_of_manual_pages() {
    let home = Home::new();
    let dir = home.path().join("man");
    fs::create_dir(&dir).unwrap();
    Outcome::of(tpmssh(&home).arg("man").arg(&dir)).ok();
    let read = |name: &str| fs::read_to_string(dir.join(name)).unwrap();
    for name in ["tpmssh.1", "tpmssh-keygen.1", "tpmssh-token-init.1"] {
        let page = read(name);
        let at = |section: &str| {
            let heading = format!("\n.SH {section}\n");
            page.find(&heading)
                .unwrap_or_else(|| panic!("{name}: no {section} in\n{page}"))
        };
        let sections = [
            "NAME",
            "SYNOPSIS",
            "DESCRIPTION",
            "OPTIONS",
            "FILES",
            "ENVIRONMENT",
            "\"EXIT STATUS\"",
            "\"SEE ALSO\"",
        ];
        let places = sections.map(at);
        assert!(places.is_sorted(), "{name}: {places:?}");
    }
    let keygen = read("tpmssh-keygen.1");
    assert!(keygen.contains("\n.SH EXAMPLES\n"), "{keygen}");
    assert!(
        keygen.contains("tpmssh keygen \\-C backup \\-t rsa \\-b 3072\n"),
        "{keygen}"
    );
    assert!(
        !keygen.contains("\\-\\-tcti\\fR \\fI"),
        "only on the first page: {keygen}"
    );

    // The page of the file has each of its keys, and no file with another is taken.
    let page = read("tpmssh-config.5");
    let file = "tcti = \"tabrmd:\"\nsimulated = false\ntoken = \"t\"\npin-wall = \"none\"\n\
                [agent]\npin = \"8h\"\nproxy = []\nnotify = true\nlog = true\nsha1 = false\n[agent.pins]\n";
    for line in file.lines() {
        let key = line.split(' ').next().unwrap().replace('-', "\\-");
        let key = key.trim_matches(['[', ']']);
        assert!(page.contains(key), "{key}: {page}");
    }
    fs::create_dir(home.config().parent().unwrap()).unwrap();
    let write = |text: &str| fs::write(home.config(), text).unwrap();
    write(file);
    Outcome::of(tpmssh(&home).args(["token", "list"])).ok();
    write(
        &page
            .replace("\\-", "-")
            .replace("\\(aq", "'")
            .lines()
            .skip_while(|it| *it != ".nf")
            .skip(1)
            .take_while(|it| *it != ".fi")
            .map(|it| format!("{it}\n"))
            .collect::<String>(),
    );
    Outcome::of(tpmssh(&home).args(["token", "list"])).ok();

    if is_installed("mandoc") {
        let mut lint = Command::new("mandoc");
        lint.args(["-T", "lint", "-W", "error"]);
        let pages = fs::read_dir(&dir).unwrap();
        lint.args(pages.map(|page| page.unwrap().path()));
        let output = lint.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}");
    }
}

/// A home with keys to complete, whose TPM has gone: completion needs none.
struct Shells {
    program: Program,
    dir: String,
}

impl Shells {
    fn new() -> Self {
        let mut program = Program::with_key();
        for label in ["anna@laptop key", "it's $(touch ran) `touch ran`"] {
            program.keygen(label);
        }
        program
            .run(&["ca", "init", "-C", "authority", "--pin-file", &program.pin])
            .ok();
        program.swtpm.stop();
        for shell in ["bash", "zsh", "fish"] {
            let script = program.run(&["completions", shell]).ok();
            program.secret(shell, &script);
        }
        let bin = Path::new(env!("CARGO_BIN_EXE_tpmssh")).parent().unwrap();
        let dir = text(bin.to_owned());
        Self { program, dir }
    }

    /// A command that finds the built program.
    fn command(&self, program: &str) -> Command {
        let mut command = self.program.home.command(program);
        let path = std::env::var("PATH").unwrap();
        command
            .env("PATH", format!("{}:{path}", self.dir))
            .env("TERM", "dumb");
        command
    }

    fn interactive(&self, shell: &[&str]) -> Session {
        let mut command = self.command("setsid");
        command.arg("--ctty").args(shell).env("PS1", "> ");
        Session::spawn(command)
    }

    fn nothing_was_run(&self) {
        assert!(!self.program.home.path().join("ran").exists());
    }
}

#[test]
fn bash_completes_the_names_that_there_are() {
    let shells = Shells::new();
    let mut bash = shells.interactive(&["bash", "--norc", "--noprofile", "-i"]);
    bash.expect("> ");
    bash.type_in("source ./bash\n");
    bash.expect("> ");
    for (typed, completed) in [
        ("tpmssh expo", "tpmssh export "),
        ("tpmssh export fi", "tpmssh export first "),
        // bash ends a word at @.
        ("tpmssh export an", "tpmssh export anna@laptop\\ key "),
        ("tpmssh export anna@l", "anna@laptop\\ key "),
        ("tpmssh export 'anna@laptop k", "'anna@laptop key' "),
        (
            "tpmssh delete it",
            "it\\'s\\ \\$\\(touch\\ ran\\)\\ \\`touch\\ ran\\` ",
        ),
        ("tpmssh token info w", "tpmssh token info work "),
        ("tpmssh --token=w", "tpmssh --token=work "),
        ("tpmssh ca list --ca ", "tpmssh ca list --ca authority "),
        ("tpmssh sign --key first ./pi", "./pin "),
        ("tpmssh keygen -t r", "tpmssh keygen -t rsa "),
    ] {
        bash.type_in(&format!("{typed}\t"));
        bash.expect(completed);
        bash.type_in("\x15");
        bash.forget();
    }
    // What is completed is one word of the command.
    bash.type_in("tpmssh export anna@l\t\n");
    bash.expect(" anna@laptop key\r\n");
    bash.type_in("exit\n");
    bash.end();
    shells.nothing_was_run();
}

#[test]
fn zsh_completes_the_names_that_there_are() {
    if !is_installed("zsh") {
        return;
    }
    let shells = Shells::new();
    let mut zsh = shells.interactive(&["zsh", "-f", "-i"]);
    zsh.type_in("PS1='> '; autoload -U compinit; compinit -u -D; source ./zsh; echo rea''dy\n");
    zsh.expect("ready\r\n");
    for (typed, completed) in [
        ("tpmssh export fi", "tpmssh export first "),
        ("tpmssh export anna@l", "anna@laptop\\ key "),
        ("tpmssh token info ", "work "),
    ] {
        zsh.type_in(&format!("{typed}\t"));
        zsh.expect(completed);
        zsh.type_in("\x15");
        zsh.forget();
    }
    zsh.type_in("tpmssh export anna@l\t\n");
    zsh.expect(" anna@laptop key\r\n");
    zsh.type_in("exit\n");
    zsh.end();
    shells.nothing_was_run();
}

#[test]
fn fish_completes_the_names_that_there_are() {
    if !is_installed("fish") {
        return;
    }
    let shells = Shells::new();
    for (line, completed) in [
        ("tpmssh export fi", "first\tecdsa-p256\n"),
        ("tpmssh export anna@l", "anna@laptop key\tecdsa-p256\n"),
        ("tpmssh token info ", "work\tPIN wall: counter\n"),
        ("tpmssh ca list --ca ", "authority\tCA key, ecdsa-p256\n"),
        ("tpmssh sign ./pi", "./pin\n"),
    ] {
        let mut fish = shells.command("fish");
        fish.args([
            "--no-config",
            "-c",
            "source ./fish; complete -C $argv[1]",
            line,
        ]);
        assert_eq!(Outcome::of(&mut fish).ok(), completed, "{line}");
    }
    shells.nothing_was_run();
}

#[test]
fn completion_without_a_store_is_quiet() {
    let home = Home::new();
    let complete = ["complete", "--", "tpmssh", "export", ""];
    let outcome = Outcome::of(tpmssh(&home).args(complete));
    assert_eq!((outcome.code, outcome.stderr.as_str()), (Some(0), ""));
    assert_eq!(outcome.stdout, "");
}
