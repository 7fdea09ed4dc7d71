//! Comparing our answers with those of another program, for random inputs from seeds.

mod random;

use std::collections::BTreeMap;
use std::fmt::Debug;

pub use random::Random;

/// The environment variable with the number of the first input, if it is not 0.
pub const FIRST: &str = "TPMSSH_DIFFERENTIAL_FIRST";

/// How many inputs of each kind there are.
fn inputs() -> u64 {
    match std::env::var("TPMSSH_DIFFERENTIAL") {
        Ok(number) => number.parse().expect("TPMSSH_DIFFERENTIAL is a number"),
        Err(_) => 300,
    }
}

/// The result for one input.
#[derive(Debug)]
pub struct Verdict {
    /// A description of the input, from which a test can be made.
    pub input: Vec<u8>,
    /// Whether this project accepts it, or why not.
    pub ours: Result<(), String>,
    /// Whether the other program accepts it.
    pub theirs: bool,
}

#[derive(Default)]
struct Tally {
    both: usize,
    neither: usize,
    laxer: Vec<String>,
    unlisted: Vec<String>,
    stricter: BTreeMap<&'static str, usize>,
}

/// The texts between backquotes in the first column of a Markdown table.
fn reasons(table: &'static str) -> Vec<&'static str> {
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| row.split('`').next()).collect()
}

/// Makes all inputs of one kind, on all processors. Checks that this project accepts no input that
/// the other program refuses, that it refuses no other inputs except for the reasons in the table,
/// and that both verdicts are frequent.
///
/// `other` starts the other program, once for each processor. `cases` makes some inputs, which
/// depend only on the seed. The rarer verdict must be at least one in `one_in`. `stricter` is a
/// Markdown table: a stricter verdict is allowed if its reason contains the text between backquotes
/// at the beginning of a row.
///
/// # Panics
///
/// If an input is accepted only by this project, or refused only by it for a reason that is not in
/// the table.
pub fn run<Other>(
    kind: &str,
    one_in: usize,
    stricter: &'static str,
    other: impl Fn() -> Other + Sync,
    cases: impl Fn(&mut Random, &mut Other) -> Vec<Verdict> + Sync,
) {
    let reasons = reasons(stricter);
    let inputs = inputs();
    let first = std::env::var(FIRST).map_or(0, |number| {
        number.parse().expect("the first input is a number")
    });
    let next = std::sync::atomic::AtomicU64::new(first);
    let done = std::sync::atomic::AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut total = Tally::default();
    std::thread::scope(|scope| {
        let work = || {
            use std::sync::atomic::Ordering::Relaxed;
            let mut other = other();
            let mut tally = Tally::default();
            while done.load(Relaxed) < inputs {
                let seed = next.fetch_add(1, Relaxed);
                let verdicts = cases(&mut Random::new(seed), &mut other);
                done.fetch_add(verdicts.len() as u64, Relaxed);
                for verdict in verdicts {
                    tally.add(seed, &verdict, &reasons);
                }
            }
            tally
        };
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            total.merge(worker.join().expect("no worker panics"));
        }
    });
    total.report(kind, one_in);
}

impl Tally {
    fn add(&mut self, seed: u64, verdict: &Verdict, reasons: &[&'static str]) {
        let shown = |why: &dyn Debug| {
            let input = base16ct::lower::encode_string(&verdict.input);
            format!("seed {seed}, {why:?}: hexadecimal {input}")
        };
        match (&verdict.ours, verdict.theirs) {
            (Ok(()), true) => self.both += 1,
            (Err(_), false) => self.neither += 1,
            (Ok(()), false) => self.laxer.push(shown(&"accepted here alone")),
            (Err(why), true) => match reasons.iter().find(|&&text| why.contains(text)) {
                Some(reason) => *self.stricter.entry(*reason).or_default() += 1,
                None => self.unlisted.push(shown(why)),
            },
        }
    }

    fn merge(&mut self, other: Self) {
        self.both += other.both;
        self.neither += other.neither;
        self.laxer.extend(other.laxer);
        self.unlisted.extend(other.unlisted);
        for (reason, count) in other.stricter {
            *self.stricter.entry(reason).or_default() += count;
        }
    }

    fn report(&self, kind: &str, one_in: usize) {
        let stricter: usize = self.stricter.values().sum();
        let all = self.both + self.neither + stricter + self.laxer.len() + self.unlisted.len();
        println!(
            "{kind}: {all} inputs, {} accepted and {} refused by both, laxer {}, stricter {}",
            self.both,
            self.neither,
            self.laxer.len(),
            stricter + self.unlisted.len(),
        );
        for (reason, count) in &self.stricter {
            println!("    {count:6} {reason}");
        }
        let shown = |all: &[String]| {
            let some: Vec<&str> = all.iter().take(10).map(String::as_str).collect();
            some.join("\n")
        };
        assert!(self.laxer.is_empty(), "laxer:\n{}", shown(&self.laxer));
        assert!(
            self.unlisted.is_empty(),
            "stricter without a reason in the table:\n{}",
            shown(&self.unlisted)
        );
        // A generator that makes only valid or only invalid inputs would test nothing.
        let rarer = self.both.min(self.neither);
        assert!(rarer >= all / one_in, "{rarer} of {all} are of one sort");
    }
}
