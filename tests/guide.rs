//! The guide (`docs/guide`): every command in it runs, on a machine of its own, and prints what
//! the page shows.

pub(crate) mod machine;
mod page;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use machine::Machine;
use page::{Block, Page};

/// The pages, each with a test of its own below.
macro_rules! pages {
    ($($name:ident = $file:literal;)*) => {
        const PAGES: &[&str] = &[$($file),*];

        $(
            #[test]
            fn $name() {
                run($file);
            }
        )*
    };
}

pages! {
    start = "start.md";
    daily_use = "daily.md";
    agent = "agent.md";
    browsers_and_tls = "browsers.md";
    programs = "programs.md";
    host_keys = "host-keys.md";
    certificates = "certificates.md";
    proof = "proof.md";
    administration = "admin.md";
    fleet = "fleet.md";
    policy = "policy.md";
    moving_in = "moving-in.md";
    troubleshooting = "troubleshooting.md";
    reference = "reference.md";
    glossary = "glossary.md";
}

fn guide() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guide"))
}

/// Runs the commands of a page one after the other on one machine.
fn run(file: &str) {
    let page = Page::read(&guide().join(file));
    let Some(mut machine) = Machine::start() else {
        return;
    };
    for block in &page.blocks {
        let Block::Console(console) = block else {
            continue;
        };
        for step in &console.steps {
            let shown = machine.run(&step.command);
            if let Err(why) = step.check(&shown) {
                panic!(
                    "{file}:{}: $ {}\n{why}\n--- printed (exit {}) ---\n{}",
                    step.line, step.command, shown.code, shown.text
                );
            }
        }
    }
}

/// A page that the summary names and no test runs would rot.
#[test]
fn every_page_is_in_the_summary_and_has_a_test() {
    let summary = fs::read_to_string(guide().join("SUMMARY.md")).unwrap();
    let named: BTreeSet<_> = summary
        .split("](")
        .skip(1)
        .map(|rest| rest.split(')').next().unwrap().to_owned())
        .collect();
    let there: BTreeSet<_> = fs::read_dir(guide())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".md") && name != "SUMMARY.md")
        .collect();
    assert_eq!(named, there, "SUMMARY.md and the files beside it");
    let tested: BTreeSet<_> = PAGES.iter().map(|&name| name.to_owned()).collect();
    let untested: Vec<_> = there
        .difference(&tested)
        // It has no commands.
        .filter(|name| name.as_str() != "README.md")
        .collect();
    assert!(untested.is_empty(), "no test runs {untested:?}");
}

/// A block that cannot run here says so in its fence, and says where it does run.
#[test]
fn what_is_not_run_is_little_and_says_why() {
    for file in PAGES {
        for block in &Page::read(&guide().join(file)).blocks {
            if let Block::NotRun { line, reason } = block {
                assert!(
                    page::REASONS.contains(&reason.as_str()),
                    "{file}:{line}: {reason:?} is no known reason"
                );
            }
        }
    }
}

/// Every `tpmssh` command of the guide, also of the blocks that do not run here, has a help page
/// that knows its options.
#[test]
fn every_option_in_the_guide_exists() {
    for file in PAGES {
        for (line, words) in Page::read(&guide().join(file)).tpmssh_commands() {
            page::check_options(&format!("{file}:{line}"), &words);
        }
    }
}

/// The messages that the page of errors lists are those of the program.
#[test]
fn every_error_in_the_guide_is_one_of_the_program() {
    let page = fs::read_to_string(guide().join("troubleshooting.md")).unwrap();
    let (_, table) = page.split_once("## What tpmssh says").unwrap();
    let sources = sources(&guide().join("../../crates"));
    let mut messages = 0;
    let rows = table.lines().take_while(|line| !line.starts_with("## "));
    for row in rows.filter(|line| line.starts_with("| `")) {
        let first = row.split(" | ").next().unwrap();
        for message in first.split('`').skip(1).step_by(2) {
            messages += 1;
            for part in message.split('…').map(str::trim) {
                assert!(
                    sources.contains(part),
                    "{part:?} of {message:?} is said nowhere"
                );
            }
        }
    }
    assert!(messages > 15, "{messages}");
}

/// All product code below a directory.
fn sources(dir: &std::path::Path) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap();
        if path.is_dir() && name != "tests" && name != "testing" {
            text += &sources(&path);
        } else if path.extension().is_some_and(|end| end == "rs") {
            text += &fs::read_to_string(&path).unwrap();
        }
    }
    text
}
