//! A page of the guide: its blocks of commands, and what each command has to print.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::machine::Shown;

/// Why a block may be left out, as its fence says: ```` ```console,REASON ````.
pub(super) const REASONS: &[&str] = &[
    // Run by `cargo xtask package-test`, on a machine that systemd booted.
    "installed",
    // Needs a second machine, a real chip or a graphical session.
    "elsewhere",
    // Needs pkcs11-provider, which Debian has from release 13 on, where it runs.
    PROVIDER,
];

const PROVIDER: &str = "provider";

/// A page, cut at its fences.
pub(super) struct Page {
    pub(super) blocks: Vec<Block>,
    /// The lines of every block, with their numbers.
    lines: Vec<(usize, String)>,
}

pub(super) enum Block {
    /// Commands that run, with what they print.
    Console(Console),
    /// Commands that cannot run here.
    NotRun { line: usize, reason: String },
}

pub(super) struct Console {
    pub(super) steps: Vec<Step>,
}

/// A command after `$ `, and the lines that follow it.
pub(super) struct Step {
    pub(super) line: usize,
    pub(super) command: String,
    expected: Vec<String>,
}

impl Page {
    pub(super) fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap_or_else(|err| panic!("{path:?}: {err}"));
        let mut page = Self {
            blocks: Vec::new(),
            lines: Vec::new(),
        };
        let mut lines = text.lines().enumerate();
        while let Some((start, line)) = lines.next() {
            let Some(kind) = line.trim_start().strip_prefix("```") else {
                continue;
            };
            let body: Vec<_> = lines
                .by_ref()
                .take_while(|(_, line)| line.trim_start() != "```")
                .map(|(number, line)| (number + 1, line.trim_end().to_owned()))
                .collect();
            match kind.split_once(',') {
                None if kind == "console" => page.blocks.push(Block::Console(console(&body))),
                Some(("console", PROVIDER)) if Path::new(&*crate::provider::PROVIDER).exists() => {
                    page.blocks.push(Block::Console(console(&body)));
                }
                Some(("console", reason)) => page.blocks.push(Block::NotRun {
                    line: start + 1,
                    reason: reason.to_owned(),
                }),
                _ => {
                    assert!(
                        ["text", "toml", "ini"].contains(&kind),
                        "{path:?}:{}: a block of an unknown kind {kind:?}",
                        start + 1
                    );
                    continue;
                }
            }
            page.lines.extend(body);
        }
        page
    }

    /// The words of each `tpmssh …` in the blocks of commands, with the number of its line.
    pub(super) fn tpmssh_commands(&self) -> Vec<(usize, Vec<String>)> {
        let mut commands = Vec::new();
        for step in console(&self.lines).steps {
            for part in step.command.split(['|', ';', '&', '(', ')']) {
                let words: Vec<_> = part
                    .split_whitespace()
                    .map(str::to_owned)
                    .skip_while(|word| word == "sudo" || word.contains('='))
                    .collect();
                if words.first().is_some_and(|word| word == "tpmssh") {
                    commands.push((step.line, words));
                }
            }
        }
        commands
    }
}

fn console(body: &[(usize, String)]) -> Console {
    let mut steps: Vec<Step> = Vec::new();
    let mut continues = false;
    for (line, text) in body {
        if continues {
            let step = steps.last_mut().expect("a command comes before");
            step.command.push('\n');
            step.command.push_str(text.trim_start_matches("> "));
        } else if let Some(command) = text.strip_prefix("$ ") {
            steps.push(Step {
                line: *line,
                command: command.to_owned(),
                expected: Vec::new(),
            });
        } else {
            let step = steps.last_mut().unwrap_or_else(|| {
                panic!("line {line}: a block of commands begins with `$ `: {text:?}")
            });
            step.expected.push(text.clone());
        }
        continues = text.ends_with('\\') && text.starts_with(['$', '>', ' ']);
    }
    Console { steps }
}

impl Step {
    /// Whether the output has the lines of the page, in this order. `…` in a line stands for
    /// anything, and alone for any lines. A step without lines only has to succeed; one that is
    /// to fail ends its command with `# fails`.
    pub(super) fn check(&self, shown: &Shown) -> Result<(), String> {
        let fails = self.command.trim_end().ends_with("# fails");
        if (shown.code != 0) != fails {
            return Err(format!("ended with {}", shown.code));
        }
        let mut lines = shown.text.lines();
        for expected in &self.expected {
            let expected = expected.trim_end();
            if expected == "…" || expected.is_empty() {
                continue;
            }
            if !lines.any(|line| matches(expected, line.trim_end())) {
                return Err(format!("not printed, or not in this order: {expected}"));
            }
        }
        Ok(())
    }
}

/// Whether `line` is `pattern`, in which `…` stands for any text.
fn matches(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else {
        return false;
    };
    let parts: Vec<_> = parts.collect();
    let Some((last, between)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in between {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Asks the program for the help page of a command, and looks for each `--option` of it.
pub(super) fn check_options(place: &str, words: &[String]) {
    let command: Vec<_> = words[1..]
        .iter()
        .take_while(|word| word.starts_with(|first: char| first.is_ascii_lowercase()))
        .map(String::as_str)
        .collect();
    // The words after the subcommand may be arguments: the longest prefix that has a page counts.
    let help = (0..=command.len()).rev().find_map(|count| {
        let output = Command::new(env!("CARGO_BIN_EXE_tpmssh"))
            .args(&command[..count])
            .arg("--help")
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let usage = format!("tpmssh {}", command[..count].join(" "));
        (output.status.success() && text.contains(usage.trim_end())).then_some(text)
    });
    let help = help.unwrap_or_else(|| panic!("{place}: no help page for {words:?}"));
    for option in words.iter().filter(|word| word.starts_with("--")) {
        let option = option
            .split('=')
            .next()
            .unwrap()
            .trim_end_matches(['"', '\'']);
        assert!(
            option == "--" || help.contains(option),
            "{place}: {words:?}: its help page has no {option}"
        );
    }
}

#[test]
fn an_ellipsis_stands_for_anything() {
    assert!(matches("a…c…", "abcd") && matches("…", "") && matches("a", "a"));
    assert!(!matches("a…c", "abcd") && !matches("a", "ab") && !matches("b…", "ab"));
}

#[test]
fn output_is_compared_line_by_line_and_in_order() {
    let step = |command: &str, expected: &[&str]| Step {
        line: 1,
        command: command.to_owned(),
        expected: expected.iter().map(|&line| line.to_owned()).collect(),
    };
    let shown = |code| Shown {
        code,
        text: "one\r\ntwo\r\nthree\r\n".to_owned(),
    };
    assert!(step("x", &["one", "…", "three"]).check(&shown(0)).is_ok());
    assert!(step("x", &["two", "one"]).check(&shown(0)).is_err());
    assert!(step("x", &[]).check(&shown(1)).is_err());
    assert!(step("x # fails", &[]).check(&shown(1)).is_ok());
    assert!(step("x # fails", &[]).check(&shown(0)).is_err());
}
