//! Many inputs, each judged by us and by `ssh-keygen`.

pub(crate) use testing::differential::{FIRST, Random, Verdict};

use crate::keygen::Keygen;

/// Runs [`testing::differential::run`] with the table of this crate.
pub(crate) fn run(
    kind: &str,
    one_in: usize,
    cases: impl Fn(&mut Random, &Keygen) -> Vec<Verdict> + Sync,
) {
    let stricter = include_str!("../../STRICTER.md");
    let cases = |random: &mut Random, keygen: &mut Keygen| cases(random, keygen);
    testing::differential::run(kind, one_in, stricter, Keygen::new, cases);
}
