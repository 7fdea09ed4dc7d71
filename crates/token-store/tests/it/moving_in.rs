//! Keys that were made outside of the TPM, in a token: what is kept, and what becomes of it.

use std::sync::Arc;

use p256::elliptic_curve::sec1::ToEncodedPoint;
use rand_core::OsRng;
use testing::{Fault, Tap, When};
use token_store::{Class, Error, Key, KeySpec, Kind, OpenToken, Token, WallKind, token};
use tpm_core::{Curve, KeyType, Origin, OwnerAuth, Scheme, SoftwareKey, Usage};

use crate::{Bench, PIN, SO_PIN, TestResult, failure, pin, signs, so_pin, tpm_at};

mod meanwhile;

pub(crate) fn software() -> SoftwareKey {
    let secret = p256::SecretKey::random(&mut OsRng);
    let point = secret.public_key().to_encoded_point(false);
    let (x, y) = (point.x().expect("x"), point.y().expect("y"));
    SoftwareKey::ecdsa(Curve::P256, &secret.to_bytes(), x, y).expect("a sound key")
}

fn spec(label: &str) -> KeySpec {
    KeySpec::new(KeyType::EccP256, label)
}

fn open(bench: &Bench, token: &Token) -> Result<OpenToken, Error> {
    let pin = token.login_required().then(|| pin(PIN));
    OpenToken::open(&bench.store, &bench.tpm, token, pin.as_ref())
}

/// Brings a key in, and returns it as the store has it.
fn bring_in(bench: &mut Bench, token: &Token, label: &str) -> Result<Arc<Key>, Error> {
    let open = open(bench, token)?;
    let pair = open.import(&mut bench.store, &software(), &spec(label))?;
    assert_eq!(pair.public.label, label);
    Ok(Arc::clone(pair.private.key().expect("a private key")))
}

#[test]
fn an_imported_key_signs_behind_each_wall_and_says_where_it_is_from() -> TestResult {
    for wall in [WallKind::Counter, WallKind::Lockout, WallKind::None] {
        let mut bench = Bench::new();
        let token = bench.token("work", wall);
        let imported = bring_in(&mut bench, &token, "me@old")?;
        assert_eq!(imported.origin(), Origin::Outside);
        let born = {
            let open = open(&bench, &token)?;
            assert!(signs(&open, &imported), "{wall}");
            bench.key(&open)
        };
        assert_eq!(born.origin(), Origin::Chip);
        // As another program finds them, with a login of its own.
        let store = bench.reopen()?;
        let mut found = Vec::new();
        store.each_private_key(token.id, |object| {
            found.push((object.label.clone(), object.key().map(|key| key.origin())));
        })?;
        let expected = [("me@old", Origin::Outside), ("me@host", Origin::Chip)];
        assert_eq!(
            found,
            expected.map(|(label, origin)| (label.to_owned(), Some(origin)))
        );
        let open = open(&bench, &token)?;
        for object in store.objects(token.id)? {
            let key = object.key().expect("halves of pairs");
            assert!(signs(&open, key), "{wall}: {}", object.label);
        }
        assert_eq!(store.refused(token.id)?, []);
    }
    Ok(())
}

/// A login loads the first key on the way, and one that was made here costs less.
#[test]
fn a_login_prefers_a_key_that_was_made_here() -> TestResult {
    let mut bench = Bench::new();
    let token = bench.token("work", WallKind::Counter);
    let imported = bring_in(&mut bench, &token, "me@old")?;
    let tap = Tap::start(&bench.swtpm);
    bench.tpm = tpm_at(&tap.tcti());
    let spent = |bench: &Bench, key: &Key| -> Result<usize, Error> {
        tap.reset();
        let open = open(bench, &token)?;
        assert!(signs(&open, key));
        Ok(tap.count())
    };
    assert_eq!(spent(&bench, &imported)?, 12, "it is the only one");
    let born = {
        let open = open(&bench, &token)?;
        bench.key(&open)
    };
    assert_eq!(spent(&bench, &born)?, 8);
    Ok(())
}

#[test]
fn the_same_key_comes_in_once() -> TestResult {
    let mut bench = Bench::new();
    let token = bench.token("work", WallKind::None);
    let open = open(&bench, &token)?;
    let key = software();
    open.import(&mut bench.store, &key, &spec("me@old"))?;
    let err = failure(open.import(&mut bench.store, &key, &spec("again")));
    assert_eq!(
        err.to_string(),
        "token \"work\" has this key: \"me@old\" (imported)"
    );
    assert_eq!(err.kind(), Kind::Failed);
    // With another usage it has another public area and another Name, and is the same key.
    let mut decrypts = spec("again");
    decrypts.usage = Usage::SIGN_DECRYPT;
    let err = failure(open.import(&mut bench.store, &key, &decrypts));
    assert!(matches!(err, Error::KeyExists { imported: true, .. }));
    assert_eq!(bench.store.objects(token.id)?.len(), 2);
    // Nor is a second arrival key made for the next one.
    open.import(&mut bench.store, &software(), &spec("other"))?;
    let count: i64 = rusqlite::Connection::open(bench.file())?.query_row(
        "SELECT count(*) FROM arrival",
        [],
        |row| row.get(0),
    )?;
    assert_eq!(count, 1);
    Ok(())
}

#[test]
fn an_imported_key_may_do_what_its_owner_allows_and_no_more() -> TestResult {
    let mut bench = Bench::new();
    let token = bench.token("work", WallKind::None);
    let open = open(&bench, &token)?;
    let mut agrees = spec("agrees");
    agrees.usage = Usage::SIGN_DECRYPT;
    let point = p256::SecretKey::random(&mut OsRng)
        .public_key()
        .to_encoded_point(false);
    let (x, y) = (point.x().expect("x"), point.y().expect("y"));
    for (spec, works) in [(spec("signs"), false), (agrees, true)] {
        let pair = open.import(&mut bench.store, &software(), &spec)?;
        let key = pair.private.key().expect("a key");
        assert_eq!(open.ecdh(key, x, y).is_ok(), works, "{}", spec.label);
    }
    Ok(())
}

/// How a row of the store looks to whoever opens the token: usable, hidden and refused, or broken.
fn outcome(bench: &Bench, token: &Token, key: &Key) -> String {
    let (open, store) = match (open(bench, token), bench.reopen()) {
        (Ok(open), Ok(store)) => (open, store),
        (Err(err), _) => return format!("no login: {err}"),
        (_, Err(err)) => return format!("no store: {err}"),
    };
    let refused = store.refused(token.id).expect("a list");
    if let [refused] = &refused[..] {
        return format!("refused: {}", refused.reason);
    }
    let objects = store.objects(token.id).expect("objects");
    let found = objects.iter().find(|object| {
        object.class() == Class::PrivateKey && object.public_key() == Some(key.public())
    });
    let Some(found) = found.and_then(|object| object.key()) else {
        return "not there".to_owned();
    };
    match open.sign(found, Scheme::Ecdsa, &[1; 32]) {
        Ok(_) => format!("signs, {}", found.origin().name()),
        Err(err) => format!("{}: {err}", found.origin().name()),
    }
}

/// Somebody with an editor makes an imported key one that was born here, and the other way round,
/// in each way that there is: no such row is used.
#[test]
fn a_row_that_was_edited_from_one_origin_to_the_other_does_not_load() -> TestResult {
    const ATTRIBUTES: &str = "UPDATE key SET public = \
        CAST(substr(public, 1, 4) || x'00040472' || substr(public, 9) AS BLOB) WHERE id = 1";
    for wall in [WallKind::Counter, WallKind::None] {
        let mut bench = Bench::new();
        let token = bench.token("work", wall);
        let imported = bring_in(&mut bench, &token, "me@old")?;
        let born = {
            let open = open(&bench, &token)?;
            bench.key(&open)
        };
        assert_eq!(outcome(&bench, &token, &imported), "signs, imported");
        assert_eq!(outcome(&bench, &token, &born), "signs, born-here");
        let backup = std::fs::read(bench.file())?;
        let restore = || std::fs::write(bench.file(), &backup);
        let tampered = |sql: &str, key: &Key| -> Result<String, std::io::Error> {
            bench.tamper(sql);
            let outcome = outcome(&bench, &token, key);
            restore()?;
            Ok(outcome)
        };
        let changed =
            "the store is corrupt: token \"work\": the key was changed or is of another token";

        // Its whole public area, as the chip would have made it for the same public key.
        let head = |key: &Key| {
            let public = &key.blob().blob().public;
            public[..public.len() - 68].to_vec()
        };
        let hex = base16ct::lower::encode_string;
        let retitled = |key: &Key, as_of: &Key, id: u32| {
            format!(
                "UPDATE key SET public = CAST(x'{}' || substr(public, -68) AS BLOB) WHERE id = {id}",
                hex(&head(as_of)),
            ) + if key.origin() == as_of.origin() {
                " AND 0"
            } else {
                ""
            }
        };
        let to_born = tampered(&retitled(&imported, &born, 1), &imported)?;
        assert_eq!(to_born, format!("born-here: {changed}"), "{wall}");
        let to_imported = tampered(&retitled(&born, &imported, 2), &born)?;
        assert_eq!(to_imported, format!("imported: {changed}"), "{wall}");
        // The private part of the other one.
        let exchanged = |id: u32| {
            let other = 3 - id;
            format!(
                "UPDATE key SET private = (SELECT private FROM key WHERE id = {other}) WHERE id = {id}"
            )
        };
        let private = tampered(&exchanged(1), &imported)?;
        assert_eq!(private, format!("imported: {changed}"));
        let private = tampered(&exchanged(2), &born)?;
        assert_eq!(private, format!("born-here: {changed}"));
        // The attributes alone: the policy is still that of an imported key.
        let attributes = tampered(ATTRIBUTES, &imported)?;
        let reason = "refused: its attributes or policy are not those of a signing key";
        assert_eq!(attributes, reason);
        // The arrival key taken away, replaced by the token key, or spoilt.
        assert_eq!(
            tampered("DELETE FROM arrival", &imported)?,
            "refused: it was made outside of the TPM, and its token has no arrival key"
        );
        let other = "UPDATE arrival SET public = (SELECT token_public FROM token), \
                     private = (SELECT token_private FROM token)";
        assert_eq!(
            tampered(other, &imported)?,
            "refused: the arrival key of its token: key refused: it is not an arrival key"
        );
        let private = "UPDATE arrival SET private = (SELECT private FROM key WHERE id = 1)";
        assert_eq!(
            tampered(private, &imported)?,
            "imported: the store is corrupt: token \"work\": the arrival key was changed or is of \
             another token"
        );
        // The control: nothing of this stayed, and the other key was never in the way.
        assert_eq!(outcome(&bench, &token, &imported), "signs, imported");
        bench.tamper("DELETE FROM arrival");
        assert_eq!(
            outcome(&bench, &token, &born),
            "refused: it was made outside of the TPM, and its token has no arrival key",
            "of the other one"
        );
        let login = open(&bench, &token)?;
        assert!(signs(&login, &born));
    }
    Ok(())
}

/// An arrival key of somebody's own, in the place of the token's: the chip does not load it, and so
/// nothing is wrapped for it.
#[test]
fn nothing_is_wrapped_for_an_arrival_key_that_the_chip_does_not_load() -> TestResult {
    const IMPORT: u32 = 0x156;
    let mut bench = Bench::new();
    let token = bench.token("work", WallKind::Counter);
    bring_in(&mut bench, &token, "me@old")?;
    // The public area of an arrival key with a public key of the attacker's.
    let point = p256::SecretKey::random(&mut OsRng)
        .public_key()
        .to_encoded_point(false);
    let coordinates = [
        &[0, 32],
        &point.as_bytes()[1..33],
        &[0, 32],
        &point.as_bytes()[33..],
    ];
    let hex = base16ct::lower::encode_string(&coordinates.concat());
    bench.tamper(&format!(
        "UPDATE arrival SET public = CAST(substr(public, 1, length(public) - 68) || x'{hex}' AS BLOB)"
    ));
    let tap = Tap::start(&bench.swtpm);
    bench.tpm = tpm_at(&tap.tcti());
    bench.store = bench.reopen()?;
    let open = bench.login(&token, PIN)?;
    let err = failure(open.import(&mut bench.store, &software(), &spec("new")));
    assert_eq!(
        err.to_string(),
        "the store is corrupt: token \"work\": the arrival key was changed or is of another token"
    );
    assert_eq!(err.kind().exit_code(), 7);
    assert!(!tap.commands().contains(&IMPORT));
    Ok(())
}

#[test]
fn the_life_of_a_token_goes_on_with_imported_keys_in_it() -> TestResult {
    for wall in [WallKind::Counter, WallKind::Lockout] {
        let mut bench = Bench::new();
        let token = bench.token("work", wall);
        let imported = bring_in(&mut bench, &token, "me@old")?;
        token::change_pin(
            &mut bench.store,
            &bench.tpm,
            &token,
            &pin(PIN),
            &pin("5678"),
        )?;
        let token = bench.store.token(token.id)?;
        let open = bench.login(&token, "5678")?;
        assert!(signs(&open, &imported), "{wall}: a changed PIN");
        let so = bench.so_login(&token, SO_PIN)?;
        so.reset_pin(&mut bench.store, &pin("9012"))?;
        let token = bench.store.token(token.id)?;
        let open = bench.login(&token, "9012")?;
        assert!(signs(&open, &imported), "{wall}: a reset PIN");
        // The next key comes in below the same arrival key.
        open.import(&mut bench.store, &software(), &spec("other"))?;

        // Made anew, the token has neither keys nor an arrival key, and takes both again.
        let renewed = token::reinit(
            &mut bench.store,
            &bench.tpm,
            &token,
            "work",
            &so_pin(SO_PIN),
        )?;
        assert_eq!(bench.store.objects(renewed.id)?.len(), 0);
        let arrivals = || -> rusqlite::Result<i64> {
            rusqlite::Connection::open(bench.file())?.query_row(
                "SELECT count(*) FROM arrival",
                [],
                |row| row.get(0),
            )
        };
        assert_eq!(arrivals()?, 0, "{wall}");
        let so = bench.so_login(&renewed, SO_PIN)?;
        so.reset_pin(&mut bench.store, &pin(PIN))?;
        let renewed = bench.store.token(renewed.id)?;
        let open = bench.login(&renewed, PIN)?;
        let pair = open.import(&mut bench.store, &software(), &spec("again"))?;
        assert!(signs(&open, pair.private.key().expect("a key")));
        // And with the token all goes.
        token::delete(&mut bench.store, &bench.tpm, &renewed, &OwnerAuth::empty())?;
        let left: i64 = rusqlite::Connection::open(bench.file())?.query_row(
            "SELECT count(*) FROM arrival",
            [],
            |row| row.get(0),
        )?;
        assert_eq!(left, 0);
    }
    Ok(())
}

const SIGN: u32 = 0x15d;

/// Nothing is kept unless the chip signs, and its signature is right.
#[test]
fn a_key_with_which_the_chip_does_not_sign_is_not_kept() -> TestResult {
    let mut bench = Bench::new();
    let token = bench.token("work", WallKind::Counter);
    let tap = Tap::start(&bench.swtpm);
    bench.tpm = tpm_at(&tap.tcti());
    let open = bench.login(&token, PIN)?;
    for (fault, text) in [
        // TPM_RC_FAILURE.
        (Fault::Answer(0x101), "the TPM is in failure mode"),
        // Within the signature.
        (Fault::Garble(30), "the TPM returned a wrong signature"),
    ] {
        tap.inject(When::Command(SIGN), fault);
        let err = failure(open.import(&mut bench.store, &software(), &spec("me@old")));
        assert_eq!(err.to_string(), text);
        assert_eq!(bench.store.objects(token.id)?.len(), 0);
        tap.clear_faults();
    }
    open.import(&mut bench.store, &software(), &spec("me@old"))?;
    assert_eq!(bench.store.objects(token.id)?.len(), 2, "the control");
    Ok(())
}
