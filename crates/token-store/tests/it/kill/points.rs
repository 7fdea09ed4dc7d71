//! Where a victim is killed: at each of its commands to the chip, and before it writes what they did.

use std::{fs, os::unix::fs::DirBuilderExt, sync::Mutex, time::Duration};

use rusqlite::Connection;
use tempfile::TempDir;
use testing::{Fault, Snapshot, Swtpm, Tap, When, memory_dir};
use token_store::{Error, Store, Token, WallKind};

use super::victim::Victim;
use crate::{Bench, PIN, TestResult, store_dir, tpm_at};

/// A token with a key, for a victim to work on.
pub(super) fn prepared(wall: WallKind) -> Result<(Bench, Token), Error> {
    let mut bench = Bench::new();
    let token = bench.token("work", wall);
    let open = bench.login(&token, PIN)?;
    bench.key(&open);
    drop(open);
    Ok((bench, token))
}

/// A token with a key as it was made, which each victim gets anew: the store, and the state of the
/// chip.
struct Origin {
    token: Token,
    dir: TempDir,
    chip: Snapshot,
}

impl Origin {
    fn make(what: &str, wall: WallKind) -> Result<Self, Error> {
        let (bench, token) = prepared(wall)?;
        if what == "repair" {
            bench.remove_counter();
        }
        let chip = bench.swtpm.snapshot();
        let dir = bench.dir;
        Ok(Self { token, dir, chip })
    }

    /// A copy of the store, and `swtpm` with the state of the chip.
    fn copy_to(&self, swtpm: Swtpm) -> Result<Bench, Box<dyn std::error::Error>> {
        swtpm.rewind(&self.chip);
        let dir = memory_dir();
        let copy = dir.path().join("store");
        fs::DirBuilder::new().mode(0o700).create(&copy)?;
        for file in fs::read_dir(self.dir.path().join("store"))? {
            let file = file?;
            fs::copy(file.path(), copy.join(file.file_name()))?;
        }
        Ok(Bench {
            store: Store::open(&store_dir(&dir))?,
            tpm: tpm_at(&swtpm.tcti()),
            dir,
            swtpm,
        })
    }
}

/// When a victim is killed.
#[derive(Debug, Clone, Copy)]
enum Kill {
    /// Not at all: it does what it does.
    Never,
    /// Before its command with this number, from 0.
    BeforeCommand(usize),
    /// After its last command, with this number, and before it writes down what that did.
    BeforeLastWrite(usize),
}

/// How many victims there are at once. They and their TPMs wait for each other most of the time.
const AT_ONCE: usize = 4;

/// Kills a victim that does `what` at each point there is: before its 1st, 2nd, … command to the
/// chip, and once when it has done all in the chip and not yet written that down. Each time `check`
/// looks at what is left, on a copy of one token.
pub(super) fn kill_everywhere(
    what: &str,
    wall: WallKind,
    check: impl Fn(&mut Bench, &Token) -> TestResult + Sync,
) -> TestResult {
    let origin = Origin::make(what, wall)?;
    let kill = |swtpm: Swtpm, kill: Kill| -> Result<(Swtpm, usize), String> {
        let failed = |err| format!("{what} ({wall}), killed {kill:?}: {err}");
        let (mut bench, commands) = kill_one(what, &origin, swtpm, kill).map_err(failed)?;
        check(&mut bench, &origin.token).map_err(failed)?;
        Ok((bench.swtpm, commands))
    };
    let (_, commands) = kill(Swtpm::start(), Kill::Never)?;
    assert!(commands > 3, "it did next to nothing");
    let points = (0..commands).map(Kill::BeforeCommand);
    let points = Mutex::new(points.chain([Kill::BeforeLastWrite(commands - 1)]));
    let next = || points.lock().expect("nobody panics in next()").next();
    std::thread::scope(|scope| {
        let workers = [(); AT_ONCE].map(|()| {
            scope.spawn(|| {
                let mut swtpm = Swtpm::start();
                while let Some(point) = next() {
                    (swtpm, _) = kill(swtpm, point)?;
                }
                Ok(())
            })
        });
        let ended = workers.map(|worker| worker.join().expect("the worker's own panic is above"));
        ended.into_iter().collect::<Result<(), String>>()
    })?;
    Ok(())
}

/// Kills one victim on a copy of the token, in the simulator `swtpm`; how many commands the chip got
/// from it.
fn kill_one(
    what: &str,
    origin: &Origin,
    swtpm: Swtpm,
    kill: Kill,
) -> Result<(Bench, usize), Box<dyn std::error::Error>> {
    let bench = origin.copy_to(swtpm)?;
    let tap = Tap::start(&bench.swtpm);
    let start = || Victim::start(what, &bench.dir.path().join("store"), &tap.tcti());
    match kill {
        Kill::Never => assert!(start().ends_before(|| false)),
        Kill::BeforeCommand(nth) => {
            tap.inject(When::Nth(nth), Fault::Silence);
            assert!(
                !start().ends_before(|| tap.commands().len() > nth),
                "fewer commands than without a kill"
            );
        }
        Kill::BeforeLastWrite(last) => {
            tap.inject(When::Nth(last), Fault::Delay(Duration::from_millis(300)));
            let mut victim = start();
            assert!(
                !victim.ends_before(|| tap.commands().len() == last + 1),
                "fewer commands than without a kill"
            );
            let holder = Connection::open(bench.file())?;
            holder.execute_batch("BEGIN IMMEDIATE")?;
            // From here on nobody can write.
            victim.ends_before(|| tap.exchanges()[last].response_code().is_some());
            drop(victim);
            holder.execute_batch("ROLLBACK")?;
        }
    }
    let commands = tap.commands().len();
    drop(tap);
    Ok((bench, commands))
}
