//! Destination constraints and session binds, told to us and to the real `ssh-agent` in the same
//! bytes: whether a constraint is taken, a connection bound, a key seen, and a login signed.
//!
//! There are some hundred inputs of each kind, and as many as the environment variable
//! `TPMSSH_DIFFERENTIAL` says: `cargo xtask differential N`. No answer may be laxer here. STRICTER.md
//! lists the stricter ones.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

#[path = "../protocol/host.rs"]
mod host;
mod incumbent;
mod scenario;

use incumbent::Incumbent;
use scenario::{Question, Scenario};
use testing::differential::{self, Random, Verdict};

fn compare(question: Question, one_in: usize) {
    let stricter = include_str!("../../STRICTER.md");
    let cases = |random: &mut Random, incumbent: &mut Incumbent| -> Vec<Verdict> {
        let scenario = Scenario::new(random);
        let answers = scenario.ask(incumbent);
        answers
            .into_iter()
            .filter(|(asked, _)| *asked == question)
            .map(|(_, verdict)| verdict)
            .collect()
    };
    differential::run(question.name(), one_in, stricter, Incumbent::start, cases);
}

#[test]
fn constraints_are_taken_as_by_openssh() {
    compare(Question::Constrain, 12);
}

#[test]
fn connections_are_bound_as_by_openssh() {
    compare(Question::Bind, 16);
}

#[test]
fn keys_are_seen_as_by_openssh() {
    compare(Question::See, 8);
}

#[test]
fn logins_are_signed_as_by_openssh() {
    compare(Question::Sign, 16);
}
