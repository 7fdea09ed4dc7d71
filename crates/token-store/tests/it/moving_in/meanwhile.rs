//! Imports during which somebody else changes the store, or it fails.

use std::{io::Write, os::unix::fs::OpenOptionsExt};

use testing::{Tap, interposer::Action};
use token_store::{Error, Kind, OpenToken, Token, WallKind};
use tpm_core::SoftwareKey;

use super::{SIGN, bring_in, open, software, spec};
use crate::{Bench, TestResult, failure, tpm_at};

/// Imports `software` while another program does `sql` to the store, after the first look at it and
/// before the last.
fn import_meanwhile(
    bench: &mut Bench,
    token: &Token,
    software: &SoftwareKey,
    sql: String,
) -> Result<(), Error> {
    let tap = Tap::start(&bench.swtpm);
    let open = OpenToken::open(&bench.store, &tpm_at(&tap.tcti()), token, None)?;
    let file = bench.file();
    let mut done = false;
    tap.interpose(move |step| {
        if step.command.code() == SIGN && !done {
            done = true;
            let other = rusqlite::Connection::open(&file).map_err(std::io::Error::other)?;
            other.execute_batch(&sql).map_err(std::io::Error::other)?;
        }
        Ok(Action::Pass)
    });
    open.import(&mut bench.store, software, &spec("ours"))
        .map(drop)
}

#[test]
fn a_key_that_another_program_imports_meanwhile_is_there_once() -> TestResult {
    let mut bench = Bench::new();
    let token = bench.token("work", WallKind::None);
    let key = software();
    // What the other program is going to write.
    let theirs = bench.dir.path().join("theirs");
    let pair = open(&bench, &token)?.import(&mut bench.store, &key, &spec("theirs"))?;
    std::fs::copy(bench.file(), &theirs)?;
    bench.store.delete_key(pair.private.id)?;
    let sql = format!(
        "ATTACH '{}' AS theirs; BEGIN; INSERT INTO key SELECT * FROM theirs.key; \
         INSERT INTO object SELECT * FROM theirs.object; COMMIT",
        theirs.display()
    );
    let err = failure(import_meanwhile(&mut bench, &token, &key, sql));
    assert_eq!(
        err.to_string(),
        "token \"work\" has this key: \"theirs\" (imported)"
    );
    let labels: Vec<_> = (bench.store.objects(token.id)?.into_iter())
        .map(|object| object.label)
        .collect();
    assert_eq!(labels, ["theirs", "theirs"], "the two halves of one key");
    Ok(())
}

#[test]
fn a_token_that_is_made_anew_meanwhile_gets_no_key_of_before() -> TestResult {
    let mut bench = Bench::new();
    let (token, other) = (
        bench.token("work", WallKind::None),
        bench.token("other", WallKind::None),
    );
    bring_in(&mut bench, &token, "first")?;
    bring_in(&mut bench, &other, "second")?;
    // As after a new start and the import of another key: another arrival key is there.
    let anew = "UPDATE arrival SET (public, private) = \
                (SELECT public, private FROM arrival WHERE token = 2) WHERE token = 1; \
                DELETE FROM key WHERE token = 1";
    for sql in [anew, "DELETE FROM arrival WHERE token = 1"] {
        let err = failure(import_meanwhile(
            &mut bench,
            &token,
            &software(),
            sql.to_owned(),
        ));
        assert_eq!(
            err.to_string(),
            "the token was changed by another program meanwhile"
        );
        assert_eq!(err.kind(), Kind::Busy);
        assert_eq!(bench.store.objects(token.id)?.len(), 0);
        assert_eq!(bench.store.refused(token.id)?, []);
        // The next one starts without the arrival key of the other token.
        bench.tamper("DELETE FROM arrival WHERE token = 1");
    }
    Ok(())
}

/// At each command to the chip the store is taken away, for good; each time the import says so, and
/// nothing of it is there when the store is back.
#[test]
fn a_store_that_fails_on_the_way_has_nothing_of_the_key() -> TestResult {
    let mut bench = Bench::new();
    let token = bench.token("work", WallKind::None);
    let tap = Tap::start(&bench.swtpm);
    bench.tpm = tpm_at(&tap.tcti());
    let open = OpenToken::open(&bench.store, &bench.tpm, &token, None)?;
    tap.reset();
    open.import(&mut bench.store, &software(), &spec("first"))?;
    let commands = tap.count();
    assert!(commands > 5, "it did next to nothing");
    let before = bench.store.objects(token.id)?.len();
    drop(open);
    for nth in 0..commands {
        let store = bench.reopen()?;
        let open = OpenToken::open(&store, &bench.tpm, &token, None)?;
        let (file, away) = (bench.file(), bench.dir.path().join("away"));
        let mut left = nth;
        tap.interpose({
            let (file, away) = (file.clone(), away.clone());
            move |_| {
                if left == 0 {
                    std::fs::rename(&file, &away)?;
                    let mut spoilt = std::fs::OpenOptions::new();
                    spoilt.write(true).create_new(true).mode(0o600);
                    spoilt.open(&file)?.write_all(&[0_u8; 4096])?;
                }
                left = left.wrapping_sub(1);
                Ok(Action::Pass)
            }
        });
        let mut store = store;
        let result = open.import(&mut store, &software(), &spec("second"));
        tap.stop_interposing();
        if !away.exists() {
            assert!(result.is_ok(), "{nth}: nothing was taken away");
            continue;
        }
        let err = failure(result);
        assert_eq!(err.kind().exit_code(), 10, "{nth}: {err}");
        std::fs::rename(&away, &file)?;
        let store = bench.reopen()?;
        assert_eq!(store.objects(token.id)?.len(), before, "{nth}");
        assert_eq!(store.refused(token.id)?, []);
    }
    Ok(())
}
