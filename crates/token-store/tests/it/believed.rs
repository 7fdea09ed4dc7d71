//! What somebody who can write the store writes into it is not believed.

use testing::assert_matches;
use token_store::{
    Error, Kind, MAX_TRIES, WallKind,
    token::{self, Health},
};
use tpm_core::Srk;

use crate::{Bench, PIN, SO_PIN, TestResult, failure, pin};

/// The failure of reading the token `work` after `sql`.
fn after(wall: WallKind, sql: &str) -> Error {
    let mut bench = Bench::new();
    let token = bench.token("work", wall);
    bench.tamper(sql);
    failure(bench.store.token(token.id))
}

#[test]
fn numbers_out_of_their_ranges_are_a_corrupt_store_and_the_token_is_named() {
    let out_of = |max: u32| {
        format!(
            "the store is corrupt: token \"work\": its limit of {max} wrong PINs is not one from 1 to 100"
        )
    };
    for (sql, text) in [
        ("UPDATE token SET max_tries = 1000000", out_of(1_000_000)),
        ("UPDATE token SET max_tries = 4294967295", out_of(u32::MAX)),
        ("UPDATE token SET max_tries = 101", out_of(MAX_TRIES + 1)),
        ("UPDATE token SET max_tries = 0", out_of(0)),
        (
            "UPDATE token SET nv_handle = 0x01c00002",
            "the store is corrupt: token \"work\": 0x01c00002 is not the handle of a PIN counter"
                .to_owned(),
        ),
        (
            "UPDATE token SET nv_handle = 0x017fffff",
            "the store is corrupt: token \"work\": 0x017fffff is not the handle of a PIN counter"
                .to_owned(),
        ),
        (
            "UPDATE token SET kdf_memory = 8",
            "the store is corrupt: token \"work\": the cost of the PIN derivation is out of range"
                .to_owned(),
        ),
        (
            "UPDATE token SET kdf_passes = 200",
            "the store is corrupt: token \"work\": the cost of the PIN derivation is out of range"
                .to_owned(),
        ),
        (
            "UPDATE token SET tries_left = 9, tries_max = 3",
            "the store is corrupt: token \"work\": it has more tries left than there are"
                .to_owned(),
        ),
    ] {
        let err = after(WallKind::Counter, sql);
        assert_eq!(err.to_string(), text, "{sql}");
        assert_eq!(err.kind().exit_code(), 7, "{sql}");
    }
    // What is in the range is read: the range makes the difference.
    let mut bench = Bench::new();
    let token = bench.token("work", WallKind::Counter);
    bench.tamper("UPDATE token SET max_tries = 100");
    assert!(bench.store.token(token.id).is_ok());
}

#[test]
fn parts_that_do_not_fit_together_are_a_corrupt_store() {
    for (wall, sql) in [
        (WallKind::Counter, "UPDATE token SET wall = 'none'"),
        (WallKind::Counter, "UPDATE token SET wall = 'lockout'"),
        (WallKind::Counter, "UPDATE token SET max_tries = NULL"),
        (WallKind::Counter, "UPDATE token SET guard_public = NULL"),
        (WallKind::Counter, "UPDATE token SET secret_public = NULL"),
        (
            WallKind::Counter,
            "UPDATE token SET so_public = guard_public",
        ),
        (
            WallKind::Counter,
            "UPDATE token SET guard_public = so_public",
        ),
        (
            WallKind::Counter,
            "UPDATE token SET token_public = so_public",
        ),
        (
            WallKind::Counter,
            "UPDATE token SET nv_handle = nv_handle + 1",
        ),
        (WallKind::Lockout, "UPDATE token SET so_public = NULL"),
        (
            WallKind::Lockout,
            "UPDATE token SET wall = 'none', pin_is_set = 0",
        ),
        (WallKind::None, "UPDATE token SET wall = 'lockout'"),
        (WallKind::None, "UPDATE token SET pin_is_set = 1"),
        (WallKind::None, "UPDATE token SET max_tries = 3"),
        (
            WallKind::None,
            "UPDATE token SET serial = 'ABCDEF0123456789'",
        ),
        (
            WallKind::None,
            "UPDATE token SET pin_generation = -1, created = -1",
        ),
    ] {
        let err = after(wall, sql);
        assert_eq!(err.kind(), Kind::Corrupt, "{wall}, {sql}: {err}");
        assert!(err.to_string().contains("token \"work\": "), "{sql}: {err}");
    }
}

#[test]
fn a_label_that_acts_on_a_terminal_is_refused_and_not_shown() {
    let err = after(
        WallKind::None,
        "UPDATE token SET label = 'a' || char(27) || '[2J'",
    );
    let text = err.to_string();
    assert!(text.ends_with("\": its label cannot be one"), "{text}");
    assert!(!text.contains('\u{1b}') && !text.contains("[2J"), "{text}");
}

/// The bytes of a pinned storage root key: its handle, its Name and its public area, the last
/// two with a length of 16 bits before them.
fn srk_with_other_point(bench: &Bench, keep_name: bool) -> Result<String, Error> {
    let op = bench.tpm.begin()?;
    let srk = Srk::find(&op)?.ok_or(tpm_core::Error::NoSrk)?;
    let mut bytes = srk.to_bytes();
    let name_len = usize::from(u16::from_be_bytes([bytes[4], bytes[5]]));
    let public_at = 4 + 2 + name_len + 2;
    // The generator of P-256: a point on the curve whose private half everybody knows.
    let point = [
        "20",
        "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296",
        "0020",
        "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5",
    ]
    .concat();
    let point = base16ct::lower::decode_vec(point).expect("hexadecimal digits");
    let at = bytes.len() - point.len();
    bytes[at..].copy_from_slice(&point);
    if !keep_name {
        let name = tpm_core::Name::of_public(&bytes[public_at..]);
        bytes[6..6 + name_len].copy_from_slice(name.bytes());
    }
    Ok(base16ct::lower::encode_string(&bytes))
}

#[test]
fn another_storage_root_key_under_the_old_name_is_a_corrupt_store() -> TestResult {
    let mut bench = Bench::new();
    let token = bench.token("work", WallKind::Counter);
    let other = srk_with_other_point(&bench, true)?;
    bench.tamper(&format!("UPDATE token SET srk = x'{other}'"));
    let err = failure(bench.store.token(token.id));
    assert_eq!(
        err.to_string(),
        "the store is corrupt: token \"work\": its storage root key was changed or cannot be read"
    );
    assert_eq!(err.kind().exit_code(), 7);
    Ok(())
}

#[test]
fn another_storage_root_key_with_its_own_name_is_another_tpm() -> TestResult {
    let mut bench = Bench::new();
    let token = bench.token("work", WallKind::Counter);
    let other = srk_with_other_point(&bench, false)?;
    bench.tamper(&format!("UPDATE token SET srk = x'{other}'"));
    let token = bench.store.token(token.id)?;
    let err = failure(bench.login(&token, PIN));
    assert_matches!(err, Error::OtherTpm);
    let err = failure(token::examine(&bench.store, &bench.tpm, &token, None));
    assert_matches!(err, Error::OtherTpm);
    Ok(())
}

/// The limit in the chip, as somebody has it who knows the SO PIN, or was between this program
/// and the chip when the counter was made.
fn raise_limit(bench: &Bench, token: &token_store::Token) -> TestResult {
    // A counter of the same shape at the same handle cannot be written by anybody else, so the
    // store is changed instead: it makes the same difference.
    let tries = token.max_tries.ok_or("a counter")?;
    bench.tamper(&format!("UPDATE token SET max_tries = {}", tries - 1));
    Ok(())
}

#[test]
fn a_limit_of_the_chip_that_is_not_the_tokens_is_found() -> TestResult {
    let mut bench = Bench::new();
    let token = bench.token("work", WallKind::Counter);
    let look = |bench: &Bench| -> Result<Health, Error> {
        let token = bench.store.token(token.id)?;
        token::examine(&bench.store, &bench.tpm, &token, None)
    };
    assert_eq!(look(&bench)?.wrong_limit, None);
    raise_limit(&bench, &token)?;
    assert_eq!(look(&bench)?.wrong_limit, Some(3));
    // The SO writes the limit of the token into the chip, and reads it back.
    let token = bench.store.token(token.id)?;
    let so = bench.so_login(&token, SO_PIN)?;
    so.reset_pin(&mut bench.store, &pin("again"))?;
    assert_eq!(look(&bench)?.wrong_limit, None);
    let found = Error::WrongLimit {
        found: 9,
        wanted: 3,
    };
    assert_eq!(
        found.to_string(),
        "the TPM locks this token after 9 wrong PINs, and not after 3"
    );
    assert_eq!(found.kind().exit_code(), 7);
    Ok(())
}

#[test]
fn a_note_of_a_counter_with_a_handle_of_something_else_is_a_corrupt_store() -> TestResult {
    let mut bench = Bench::new();
    bench.token("work", WallKind::None);
    let name = {
        let op = bench.tpm.begin()?;
        Srk::find(&op)?.ok_or("an SRK")?.name().to_string()
    };
    bench.tamper(&format!(
        "INSERT INTO nv_intent VALUES (0x01c00002, x'00', x'00', x'{name}', 0, 0)"
    ));
    let err = failure(token::orphans(&bench.store, &bench.tpm));
    assert_eq!(
        err.to_string(),
        "the store is corrupt: 0x01c00002 is noted as the handle of a PIN counter"
    );
    assert_eq!(err.kind().exit_code(), 7);
    Ok(())
}

#[test]
fn objects_out_of_their_ranges_are_a_corrupt_store() {
    for sql in [
        "UPDATE object SET label = hex(zeroblob(100))",
        "UPDATE object SET cka_id = zeroblob(129)",
        "UPDATE object SET subject = zeroblob(70000)",
    ] {
        let mut bench = Bench::new();
        let token = bench.token("work", WallKind::Counter);
        let open = bench.login(&token, PIN).expect("a login");
        bench.key(&open);
        bench.tamper(sql);
        let err = failure(bench.store.objects(token.id));
        assert_eq!(err.kind(), Kind::Corrupt, "{sql}: {err}");
    }
}

/// A reset by the SO ends the logins that there are, also for keys that the chip has opened.
#[test]
fn a_login_is_over_when_the_so_resets_the_pin_or_it_is_changed() -> TestResult {
    let mut bench = Bench::new();
    for wall in [WallKind::Counter, WallKind::Lockout] {
        let token = bench.token("work", wall);
        let open = bench.login(&token, PIN)?;
        let key = bench.key(&open);
        assert!(crate::signs(&open, &key));
        token::rename(&mut bench.store, &token, "renamed")?;
        assert!(open.is_current(&bench.store.token(token.id)?), "{wall}");

        let so = bench.so_login(&token, SO_PIN)?;
        so.reset_pin(&mut bench.store, &pin("reset"))?;
        let token = bench.store.token(token.id)?;
        assert!(!open.is_current(&token), "{wall}");

        let open = bench.login(&token, "reset")?;
        assert!(open.is_current(&token));
        token::change_pin(
            &mut bench.store,
            &bench.tpm,
            &token,
            &pin("reset"),
            &pin("changed"),
        )?;
        assert!(!open.is_current(&bench.store.token(token.id)?), "{wall}");
        // Who has an old copy of the row logs in all the same, if the chip's part is as it was.
        if wall == WallKind::Counter {
            let open = bench.login(&token, "changed")?;
            assert!(open.is_current(&bench.store.token(token.id)?));
        }
    }
    Ok(())
}
