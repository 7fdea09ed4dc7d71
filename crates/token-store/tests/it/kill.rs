//! Programs that are killed: at every command to the chip, and before what they write.
//!
//! The victim is this very test program, run again in a process of its own.

use std::{
    fs,
    os::unix::fs::DirBuilderExt,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use rusqlite::Connection;
use tempfile::TempDir;
use testing::{Fault, Snapshot, Swtpm, Tap, When, assert_matches, memory_dir};
use token_store::{
    Error, KeySpec, OpenToken, SoToken, Store, StoreDir, Token, WallKind,
    object::{NewCertificate, ObjectChange},
    token::{self, InitOptions, Renewal},
};
use tpm_core::{KeyType, OwnerAuth, Tpm};

use crate::{Bench, PIN, SO_PIN, TestResult, pin, signs, so_pin, store_dir, tpm_at};

const NEW_PIN: &str = "new pin";
const NEW_SO_PIN: &str = "new so pin";

/// What the key and the token are called by turns.
const LABELS: [&str; 2] = ["work", "play"];

/// Does one thing to a store, in the process that will be killed.
#[test]
#[ignore = "the victim of the other tests of this file"]
fn victim() -> TestResult {
    let Some(what) = std::env::var_os("VICTIM") else {
        return Ok(());
    };
    let mut store = Store::open(&StoreDir::at(std::env::var("VICTIM_STORE")?)?)?;
    let tpm = tpm_at(&std::env::var("VICTIM_TCTI")?);
    act(what.to_str().ok_or("text")?, &mut store, &tpm)?;
    Ok(())
}

fn act(what: &str, store: &mut Store, tpm: &Arc<Tpm>) -> Result<(), Error> {
    let owner = OwnerAuth::empty();
    if what == "init" {
        let (so, pin) = (so_pin(SO_PIN), pin(PIN));
        let options = InitOptions {
            wall: Some(WallKind::Counter),
            ..InitOptions::new("new")
        };
        return token::init(store, tpm, &options, Some(&so), Some(&pin), &owner).map(drop);
    }
    let token = store.find_token("work")?;
    let so = |store: &Store| SoToken::open(store, tpm, &token, &so_pin(SO_PIN));
    match what {
        "keygen" => {
            let open = OpenToken::open(store, tpm, &token, Some(&pin(PIN)))?;
            open.generate(store, &KeySpec::new(KeyType::EccP256, "second"))
                .map(drop)
        }
        "import" => {
            let open = OpenToken::open(store, tpm, &token, Some(&pin(PIN)))?;
            let spec = KeySpec::new(KeyType::EccP256, "from outside");
            open.import(store, &crate::moving_in::software(), &spec)
                .map(drop)
        }
        "change pin" => token::change_pin(store, tpm, &token, &pin(PIN), &pin(NEW_PIN)),
        "reset pin" => so(store)?.reset_pin(store, &pin(NEW_PIN)),
        "change so pin" => so(store)?.change_so_pin(store, &so_pin(NEW_SO_PIN)),
        "repair" => so(store)?.repair(store, &pin(NEW_PIN), &owner),
        "reinit" => token::reinit(store, tpm, &token, "work", &so_pin(SO_PIN)).map(drop),
        "renew" => {
            let (so, pin) = (so_pin(SO_PIN), pin(NEW_PIN));
            let renewal = Renewal {
                label: "work",
                max_tries: None,
                so: &so,
                pin: Some(&pin),
            };
            token::renew(store, tpm, &token, &renewal, &owner).map(drop)
        }
        "delete" => token::delete(store, tpm, &token, &owner),
        "write" => write_for_ever(store, &token),
        what => panic!("nobody can {what}"),
    }
}

/// Relabels the token and its key, and adds and deletes a certificate, as long as it lives.
fn write_for_ever(store: &mut Store, token: &Token) -> Result<(), Error> {
    let key = store.objects(token.id)?[0].id;
    let certificate = NewCertificate {
        value: vec![0x30; 2000],
        subject: vec![0x30; 200],
        ..NewCertificate::default()
    };
    loop {
        for label in LABELS {
            store.change_object(key, &ObjectChange::label(label))?;
            token::rename(store, token, label)?;
            let added = store.add_certificate(token.id, &certificate)?;
            store.delete_object(added.id)?;
        }
    }
}

/// A victim at work, which dies when dropped.
struct Victim(Child);

impl Victim {
    fn start(what: &str, store: &Path, tcti: &str) -> Self {
        let child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--ignored", "--exact", "kill::victim"])
            .env("VICTIM", what)
            .env("VICTIM_STORE", store)
            .env("VICTIM_TCTI", tcti)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("this program again");
        Self(child)
    }

    /// Waits until it has ended or `stuck` holds, and returns whether it has ended.
    fn ends_before(&mut self, stuck: impl Fn() -> bool) -> bool {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(status) = self.0.try_wait().expect("a child of ours") {
                assert!(status.success(), "the victim failed by itself");
                return true;
            }
            if stuck() {
                return false;
            }
            assert!(
                Instant::now() < deadline,
                "the victim neither ends nor gets stuck"
            );
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A token with a key, for a victim to work on.
fn prepared(wall: WallKind) -> Result<(Bench, Token), Error> {
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
fn kill_everywhere(
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

/// Whether the token opens for `text`, with all its keys.
fn opens(bench: &Bench, token: &Token, text: &str) -> Result<bool, Error> {
    let token = bench.store.token(token.id)?;
    match bench.login(&token, text) {
        Ok(open) => {
            for object in bench.store.objects(token.id)? {
                if let Some(key) = object.key() {
                    assert!(signs(&open, key), "a key does not sign");
                }
            }
            Ok(true)
        }
        Err(Error::WrongPin { .. }) => Ok(false),
        Err(err) => Err(err),
    }
}

/// Whether the token's SO PIN is `text`.
fn so_opens(bench: &Bench, token: &Token, text: &str) -> Result<bool, Error> {
    let token = bench.store.token(token.id)?;
    match bench.so_login(&token, text) {
        Ok(_) => Ok(true),
        Err(Error::WrongPin { .. }) => Ok(false),
        Err(err) => Err(err),
    }
}

/// What is left in the chip belongs to a token or is known for a leftover, and can be removed.
fn no_counter_is_lost(bench: &mut Bench) -> TestResult {
    for orphan in token::orphans(&bench.store, &bench.tpm)? {
        assert!(orphan.ours, "{orphan:?} was forgotten");
        token::remove_orphan(&mut bench.store, &bench.tpm, &orphan, &OwnerAuth::empty())?;
    }
    let counted = bench
        .store
        .tokens()?
        .iter()
        .filter(|token| token.nv_handle.is_some())
        .count();
    assert_eq!(bench.nv_indexes(), counted);
    assert!(token::orphans(&bench.store, &bench.tpm)?.is_empty());
    Ok(())
}

#[test]
fn a_killed_init_leaves_a_token_or_none_and_no_counter_that_is_lost() -> TestResult {
    kill_everywhere("init", WallKind::Counter, |bench, old| {
        assert!(opens(bench, old, PIN)?);
        if let Ok(new) = bench.store.find_token("new") {
            assert!(opens(bench, &new, PIN)? && so_opens(bench, &new, SO_PIN)?);
        }
        no_counter_is_lost(bench)?;
        act("init", &mut bench.store, &bench.tpm)?;
        no_counter_is_lost(bench)
    })
}

#[test]
fn a_killed_keygen_leaves_a_whole_key_or_none() -> TestResult {
    kill_everywhere("keygen", WallKind::Counter, |bench, token| {
        assert!(opens(bench, token, PIN)?);
        let objects = bench.store.objects(token.id)?.len();
        assert_matches!(objects, 2 | 4, "{objects} objects");
        let keys: usize =
            Connection::open(bench.file())?
                .query_row("SELECT count(*) FROM key", [], |row| row.get(0))?;
        assert_eq!(keys * 2, objects);
        Ok(())
    })
}

/// It leaves at most an arrival key without keys, below which the next import goes.
#[test]
fn a_killed_import_leaves_a_whole_key_or_none() -> TestResult {
    kill_everywhere("import", WallKind::Counter, |bench, token| {
        let rows = |table: &str| -> rusqlite::Result<usize> {
            let count = format!("SELECT count(*) FROM {table}");
            Connection::open(bench.file())?.query_row(&count, [], |row| row.get(0))
        };
        let objects = bench.store.objects(token.id)?.len();
        assert_matches!(objects, 2 | 4, "{objects} objects");
        assert_eq!(rows("key")? * 2, objects);
        let arrivals = rows("arrival")?;
        assert!(arrivals == 1 || objects == 2, "{arrivals} arrival keys");
        assert_eq!(bench.store.refused(token.id)?, []);
        let open = OpenToken::open(&bench.store, &bench.tpm, token, Some(&pin(PIN)))?;
        let software = crate::moving_in::software();
        let spec = KeySpec::new(KeyType::EccP256, "after that");
        open.import(&mut bench.store, &software, &spec)?;
        Ok(())
    })
}

/// For either way of setting a PIN, behind either wall that has one.
fn a_kill_leaves_the_old_pin_or_the_new_one(what: &str) -> TestResult {
    for wall in [WallKind::Counter, WallKind::Lockout] {
        kill_everywhere(what, wall, |bench, token| {
            let old = opens(bench, token, PIN)?;
            assert_ne!(opens(bench, token, NEW_PIN)?, old, "one of the two");
            Ok(())
        })?;
    }
    Ok(())
}

#[test]
fn a_killed_pin_change_leaves_the_old_pin_or_the_new_one() -> TestResult {
    a_kill_leaves_the_old_pin_or_the_new_one("change pin")
}

#[test]
fn a_killed_pin_reset_leaves_the_old_pin_or_the_new_one() -> TestResult {
    a_kill_leaves_the_old_pin_or_the_new_one("reset pin")
}

#[test]
fn a_killed_so_pin_change_leaves_the_old_so_pin_or_the_new_one() -> TestResult {
    kill_everywhere("change so pin", WallKind::Counter, |bench, token| {
        let old = so_opens(bench, token, SO_PIN)?;
        assert_ne!(so_opens(bench, token, NEW_SO_PIN)?, old, "one of the two");
        assert!(opens(bench, token, PIN)?);
        Ok(())
    })
}

#[test]
fn a_killed_repair_leaves_something_to_repair_or_a_token_that_works() -> TestResult {
    kill_everywhere("repair", WallKind::Counter, |bench, token| {
        match opens(bench, token, NEW_PIN) {
            Ok(works) => assert!(works),
            Err(Error::CounterMissing) => {
                act("repair", &mut bench.store, &bench.tpm)?;
                assert!(opens(bench, token, NEW_PIN)?);
            }
            Err(err) => return Err(err.into()),
        }
        no_counter_is_lost(bench)
    })
}

#[test]
fn a_killed_reinit_leaves_the_old_token_or_an_empty_one() -> TestResult {
    kill_everywhere("reinit", WallKind::Counter, |bench, token| {
        let now = bench.store.token(token.id)?;
        if now.pin_is_set {
            assert!(opens(bench, token, PIN)?);
            assert_eq!(bench.store.objects(token.id)?.len(), 2);
        } else {
            assert!(bench.store.objects(token.id)?.is_empty());
            bench
                .so_login(&now, SO_PIN)?
                .reset_pin(&mut bench.store, &pin(NEW_PIN))?;
            assert!(opens(bench, token, NEW_PIN)?);
        }
        no_counter_is_lost(bench)
    })
}

/// `tpmssh token init --again`.
#[test]
fn a_killed_renewal_leaves_the_old_token_or_the_new_one_or_can_be_done_again() -> TestResult {
    kill_everywhere("renew", WallKind::Counter, |bench, token| {
        let objects = bench.store.objects(token.id)?.len();
        match opens(bench, token, PIN) {
            Ok(true) => assert_eq!(objects, 2, "the old token"),
            Ok(false) => {
                assert!(opens(bench, token, NEW_PIN)?);
                assert_eq!(objects, 0, "the new token");
            }
            Err(Error::CounterMissing) => {
                act("renew", &mut bench.store, &bench.tpm)?;
                assert!(opens(bench, token, NEW_PIN)?);
            }
            Err(err) => return Err(err.into()),
        }
        no_counter_is_lost(bench)
    })
}

/// What only the disk knows of: killed during its 1st, 2nd, … write it is done or is not.
#[test]
fn a_killed_write_is_done_or_is_not() -> TestResult {
    let (bench, token) = prepared(WallKind::Counter)?;
    let tcti = bench.swtpm.tcti();
    for round in 0..4 {
        token::rename(&mut bench.reopen()?, &token, LABELS[0])?;
        let before = bench.reopen()?.change_counter()?;
        let mut victim = Victim::start("write", &bench.dir.path().join("store"), &tcti);
        let written = || {
            bench
                .store
                .change_counter()
                .is_ok_and(|now| now > before + round)
        };
        assert!(!victim.ends_before(written));
        drop(victim);
        // Opening it plays the journal back, if one was left.
        let store = bench.reopen()?;
        store.check_integrity()?;
        assert!(LABELS.contains(&store.token(token.id)?.label.as_str()));
        let objects = store.objects(token.id)?;
        assert_matches!(objects.len(), 2 | 3, "{objects:?}");
        assert!(
            [&["me@host"], &LABELS[..]]
                .concat()
                .contains(&objects[0].label.as_str())
        );
        if let Some(certificate) = objects.get(2) {
            bench.reopen()?.delete_object(certificate.id)?;
        }
    }
    assert!(opens(&bench, &token, PIN)?);
    Ok(())
}

#[test]
fn a_killed_delete_leaves_the_token_or_nothing() -> TestResult {
    kill_everywhere("delete", WallKind::Counter, |bench, token| {
        if bench.store.token(token.id).is_ok() {
            assert!(opens(bench, token, PIN)?);
        }
        no_counter_is_lost(bench)?;
        let rows: usize =
            Connection::open(bench.file())?
                .query_row("SELECT count(*) FROM token", [], |row| row.get(0))?;
        assert_eq!(rows, bench.store.tokens()?.len(), "half a token is left");
        Ok(())
    })
}
