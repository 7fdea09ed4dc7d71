//! A store that was damaged, tampered with, or is used by several programs at once.

use std::{fs, process::Command};

use proptest::prelude::*;
use rusqlite::Connection;
use tempfile::TempDir;
use testing::assert_matches;
use token_store::{Error, Kind, Store, WallKind, object::NewData};

use crate::{Bench, PIN, TestResult, failure, store_dir};

/// A store with a token, a key and data, closed, and its bytes.
pub(crate) fn filled() -> (Bench, Vec<u8>) {
    let mut bench = Bench::new();
    let token = bench.token("work", WallKind::Counter);
    let open = bench.login(&token, PIN).expect("a login");
    bench.key(&open);
    let data = NewData {
        label: "data".to_owned(),
        value: vec![7; 9_000],
        ..NewData::default()
    };
    bench.store.add_data(token.id, &data).expect("data");
    let bytes = fs::read(bench.file()).expect("a database");
    (bench, bytes)
}

/// Reads everything there is.
fn read_all(dir: &TempDir) -> Result<usize, Error> {
    let store = Store::open(&store_dir(dir))?;
    let mut count = 0;
    for token in store.tokens()? {
        count += 1 + store.objects(token.id)?.len() + store.refused(token.id)?.len();
    }
    Ok(count)
}

#[test]
fn a_store_cut_short_anywhere_is_corrupt_and_never_taken_for_a_new_one() -> TestResult {
    let (bench, bytes) = filled();
    for len in (0..bytes.len()).step_by(512) {
        fs::write(bench.file(), &bytes[..len])?;
        let err = failure(read_all(&bench.dir));
        assert_matches!(err, Error::Corrupt { .. }, "{len}: {err}");
        assert_eq!(err.kind().exit_code(), 7);
        let err = failure(Store::open_or_create(&store_dir(&bench.dir)));
        assert_matches!(err, Error::Corrupt { .. }, "{len}: {err}");
        assert_eq!(fs::read(bench.file())?, bytes[..len], "it is left as it is");
    }
    Ok(())
}

#[test]
fn garbage_is_not_a_store() -> TestResult {
    let (bench, bytes) = filled();
    let mut header = bytes.clone();
    header[..100].fill(0x5a);
    let another = {
        let path = bench.dir.path().join("another");
        Connection::open(&path)?.execute_batch("CREATE TABLE t (a); INSERT INTO t VALUES (1)")?;
        fs::read(path)?
    };
    for content in [header, vec![0; 4096], b"#!/bin/sh\n".to_vec(), another] {
        fs::write(bench.file(), content)?;
        let err = failure(read_all(&bench.dir));
        assert_matches!(err, Error::Corrupt { .. });
    }
    Ok(())
}

/// Each flipped bit is either noticed or makes no difference to anything but a text that
/// nothing protects; no flip brings down the program or makes another key.
#[test]
fn a_flipped_bit_is_noticed_or_harmless() -> TestResult {
    const RUNS: u64 = 2_000;
    let (bench, bytes) = filled();
    let names = |store: &Store| -> Result<Vec<_>, Error> {
        let mut names = Vec::new();
        for token in store.tokens()? {
            for object in store.objects(token.id)? {
                names.extend(object.key().map(|key| key.name().clone()));
            }
        }
        Ok(names)
    };
    let right = names(&bench.reopen()?)?;
    let mut random: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut noticed = 0;
    for _ in 0..RUNS {
        // xorshift64: the same bits in each run of the test.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let at = usize::try_from(random / 8)? % bytes.len();
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (random % 8);
        fs::write(bench.file(), &damaged)?;
        match bench.reopen().and_then(|store| names(&store)) {
            Ok(names) => assert!(names.iter().all(|name| right.contains(name)), "byte {at}"),
            Err(err) => {
                noticed += 1;
                let kind = err.kind();
                assert_matches!(kind, Kind::Corrupt | Kind::Disk, "byte {at}: {err}");
            }
        }
        let _ = fs::remove_file(bench.dir.path().join("store/store.db-journal"));
    }
    assert!(noticed > RUNS / 20, "only {noticed} noticed");
    Ok(())
}

#[test]
fn a_trigger_a_view_or_another_table_in_the_store_is_refused_and_never_runs() {
    for sql in [
        "CREATE TRIGGER t AFTER UPDATE ON store BEGIN DELETE FROM token; END",
        "CREATE VIEW v AS SELECT * FROM token",
        "CREATE TABLE extra (a)",
        "CREATE VIRTUAL TABLE f USING fts5 (a)",
        "CREATE INDEX i ON token (label)",
        "ALTER TABLE token ADD COLUMN extra TEXT",
        "DROP INDEX object_of_token",
    ] {
        let (bench, _) = filled();
        bench.tamper(sql);
        let err = failure(bench.reopen());
        assert_eq!(
            err.to_string(),
            "the store is corrupt: its tables were changed",
            "{sql}"
        );
        // The one that was open before: triggers are off in it.
        let mut open = bench.store;
        let token = open.tokens().expect("tokens").remove(0);
        let _ = token_store::token::rename(&mut open, &token, "renamed");
        assert_eq!(open.tokens().expect("tokens").len(), 1, "{sql}");
    }
}

#[test]
fn values_that_no_version_writes_are_corrupt() {
    for sql in [
        "UPDATE token SET wall = 'moat'",
        "UPDATE token SET serial = ''",
        "UPDATE token SET created = -1",
        "UPDATE token SET nv_handle = NULL",
        "UPDATE token SET salt = x'00'",
        "UPDATE token SET kdf_memory = 8",
        "UPDATE token SET kdf_memory = 4000000000",
        "UPDATE token SET kdf_passes = 1",
        "UPDATE token SET srk = x''",
        "UPDATE token SET so_private = NULL",
        "UPDATE token SET label = CAST(x'ff' AS TEXT)",
        "UPDATE token SET tries_left = -5",
        "UPDATE object SET class = 'secret-key' WHERE class = 'data'",
        "UPDATE object SET key = NULL WHERE class = 'private-key'",
        "UPDATE object SET private = 7",
        "UPDATE object SET class = 'certificate' WHERE class = 'private-key'",
        "UPDATE object SET cka_id = zeroblob(2000000)",
        "DELETE FROM store",
    ] {
        let (bench, _) = filled();
        bench.tamper(&format!("PRAGMA foreign_keys = off; {sql}"));
        let outcome = read_all(&bench.dir)
            .and_then(|_| Store::open(&store_dir(&bench.dir))?.change_counter());
        let err = failure(outcome);
        assert_matches!(err, Error::Corrupt { .. }, "{sql}: {err}");
    }
}

#[test]
fn another_journal_mode_is_refused() -> TestResult {
    let (bench, _) = filled();
    drop(bench.store);
    let file = bench.dir.path().join("store/store.db");
    Connection::open(&file)?.query_row("PRAGMA journal_mode = wal", [], |_| Ok(()))?;
    let err = failure(read_all(&bench.dir));
    assert_matches!(err, Error::Corrupt { .. });
    Ok(())
}

#[test]
fn a_lost_database_is_not_replaced_by_a_new_one() -> TestResult {
    let (bench, _) = filled();
    let journal = bench.dir.path().join("store/store.db-journal");
    fs::write(&journal, "half of a transaction")?;
    fs::set_permissions(
        &journal,
        std::os::unix::fs::PermissionsExt::from_mode(0o600),
    )?;
    fs::remove_file(bench.file())?;
    for outcome in [
        Store::open(&store_dir(&bench.dir)),
        Store::open_or_create(&store_dir(&bench.dir)),
    ] {
        let text = "the store is corrupt: its file is gone and its journal is still there";
        assert_eq!(failure(outcome).to_string(), text);
    }
    assert!(!bench.file().exists());
    Ok(())
}

/// The journal that a killed program left beside its database brings the old state back; one
/// that comes from elsewhere gives either that or damage that is noticed.
#[test]
fn a_journal_is_played_back_or_found_to_be_of_another_store() -> TestResult {
    let (bench, before) = filled();
    let dir = bench.dir.path().join("store");
    let journal = dir.join("store.db-journal");
    // A transaction that has reached the file but was not committed, as a kill leaves it.
    let torn = {
        let conn = Connection::open(bench.file())?;
        conn.execute_batch(
            "PRAGMA cache_size = 1; PRAGMA cache_spill = 1; BEGIN IMMEDIATE; \
             UPDATE token SET label = 'torn'; \
             INSERT INTO object (token, class, label, cka_id, private, subject, value, issuer, \
             serial_number, application, object_id) SELECT token, 'data', label, cka_id, 0, \
             x'', zeroblob(60000), x'', x'', '', x'' FROM object;",
        )?;
        (fs::read(bench.file())?, fs::read(&journal)?)
    };
    assert_ne!(torn.0, before);
    fs::write(bench.file(), &torn.0)?;
    fs::write(&journal, &torn.1)?;
    fs::set_permissions(
        &journal,
        std::os::unix::fs::PermissionsExt::from_mode(0o600),
    )?;
    let store = bench.reopen()?;
    assert_eq!(store.tokens()?[0].label, "work");
    assert_eq!(fs::read(bench.file())?, before);
    drop(store);

    let (other, _) = filled();
    other.tamper("UPDATE object SET label = 'x'; DELETE FROM object WHERE class = 'data'; VACUUM");
    fs::write(other.dir.path().join("store/store.db-journal"), &torn.1)?;
    fs::set_permissions(
        other.dir.path().join("store/store.db-journal"),
        std::os::unix::fs::PermissionsExt::from_mode(0o600),
    )?;
    match read_all(&other.dir) {
        Ok(count) => assert!(count > 0, "it is one store or the other, whole"),
        Err(err) => assert_eq!(err.kind(), Kind::Corrupt, "{err}"),
    }
    Ok(())
}

#[test]
fn a_writer_that_is_stopped_is_waited_for_and_then_reported() -> TestResult {
    let (bench, _) = filled();
    let holder = Connection::open(bench.file())?;
    holder.execute_batch("BEGIN EXCLUSIVE")?;
    let mut store = bench.store;
    let err = failure(store.tokens());
    assert_matches!(err, Error::Busy);
    assert_eq!(err.kind().exit_code(), 10);
    holder.execute_batch("ROLLBACK")?;
    let token = store.tokens()?.remove(0);
    token_store::token::rename(&mut store, &token, "free")?;
    Ok(())
}

/// Run by the next test in a process of its own.
#[test]
#[ignore = "a part of two_programs_write_at_once_and_lose_nothing"]
fn one_of_two_writers() -> TestResult {
    let Some(dir) = std::env::var_os("WRITER_STORE") else {
        return Ok(());
    };
    let mut store = Store::open(&token_store::StoreDir::at(dir)?)?;
    let token = store.tokens()?.remove(0).id;
    for i in 0..WRITES {
        let data = NewData {
            label: format!("{}-{i}", std::process::id()),
            ..NewData::default()
        };
        store.add_data(token, &data)?;
    }
    Ok(())
}

const WRITES: usize = 200;

#[test]
fn two_programs_write_at_once_and_lose_nothing() -> TestResult {
    let mut bench = Bench::new();
    let token = bench.token("work", WallKind::None);
    let writers = [(); 2].map(|()| {
        Command::new(std::env::current_exe().expect("this test"))
            .args(["--ignored", "--exact", "damage::one_of_two_writers"])
            .env("WRITER_STORE", bench.dir.path().join("store"))
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("this test again")
    });
    for mut writer in writers {
        assert!(writer.wait()?.success());
    }
    assert_eq!(bench.store.objects(token.id)?.len(), 2 * WRITES);
    bench.store.check_integrity()?;
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever stands in a stored key or certificate row, reading it ends in an object, a
    /// refusal or a corrupt store.
    #[test]
    fn any_stored_bytes_are_read_or_refused(
        public: Vec<u8>, private: Vec<u8>, value: Vec<u8>, srk: Vec<u8>, which in 0..4,
    ) {
        let (dir, bytes) = SAMPLE.with(Clone::clone);
        let file = dir.path().join("store/store.db");
        fs::write(&file, &*bytes).expect("a file of ours");
        let conn = Connection::open(&file).expect("a database");
        let (sql, blob) = match which {
            0 => ("UPDATE key SET public = ?", public),
            1 => ("UPDATE key SET private = ?", private),
            2 => ("UPDATE object SET value = ?", value),
            _ => ("UPDATE token SET srk = ?", srk),
        };
        conn.execute(sql, [blob]).expect("an update");
        drop(conn);
        if let Err(err) = read_all(&dir) {
            prop_assert_eq!(err.kind(), Kind::Corrupt);
        }
    }
}

thread_local! {
    static SAMPLE: (std::rc::Rc<TempDir>, std::rc::Rc<Vec<u8>>) = {
        let (bench, bytes) = filled();
        (std::rc::Rc::new(bench.dir), std::rc::Rc::new(bytes))
    };
}
