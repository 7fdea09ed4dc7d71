//! Stores of other versions.

use std::{fs, os::unix::fs::PermissionsExt};

use testing::assert_matches;
use token_store::{Error, Trust, object::NewData};

use crate::{TestResult, damage::filled, failure};

#[test]
fn a_store_of_another_version_is_left_alone() -> TestResult {
    let (bench, _) = filled();
    bench.tamper("PRAGMA user_version = 13");
    let before = fs::read(bench.file())?;
    let err = failure(bench.reopen());
    assert_eq!(
        err.to_string(),
        "the store is of a newer version (13) than this program knows (12)"
    );
    assert_eq!(err.kind().exit_code(), 7);
    bench.tamper("PRAGMA user_version = 0");
    assert_matches!(failure(bench.reopen()), Error::Corrupt { .. });
    bench.tamper("PRAGMA user_version = 13");
    assert_eq!(fs::read(bench.file())?.len(), before.len());
    Ok(())
}

/// What makes a store one of version 11 again, but for its number.
const BACK_TO_VERSION_11: &str = "PRAGMA writable_schema = 1; \
     UPDATE sqlite_schema SET sql = replace(replace(sql, '\"object\"', 'object'), \
     'class = ''private-key'' OR class = ''public-key'' OR class = ''certificate'' OR class = ''data''', \
     'class IN (''private-key'', ''public-key'', ''certificate'', ''data'')') WHERE name = 'object'; \
     PRAGMA writable_schema = 0;";

/// What makes a store of version 11 one of version 1 again.
const BACK_TO_VERSION_1: &str = "DROP TABLE enrolment_authority; DROP TABLE enrolment; DROP TABLE withdrawal; DROP TABLE krl_number; DROP TABLE arrival; DROP TABLE proof_used; DROP TABLE proof_required; \
     DROP TABLE attestation_key; ALTER TABLE object DROP COLUMN attributes; \
     ALTER TABLE key DROP COLUMN mechanisms; ALTER TABLE key DROP COLUMN signs; \
     ALTER TABLE token DROP COLUMN pin_generation; \
     ALTER TABLE token DROP COLUMN chip; ALTER TABLE key DROP COLUMN decrypts; \
     DROP TABLE revocation; DROP TABLE issued; DROP TABLE authority; \
     DROP TABLE ssh_certificate; PRAGMA user_version = 1";

#[test]
fn a_store_of_version_1_is_brought_to_this_one_with_all_that_is_in_it() -> TestResult {
    let (bench, _) = filled();
    let token = bench.store.tokens()?.remove(0);
    let objects = bench.store.objects(token.id)?.len();
    bench.tamper(BACK_TO_VERSION_11);
    bench.tamper(BACK_TO_VERSION_1);

    let locked = fs::Permissions::from_mode(0o500);
    let dir = bench.file().parent().ok_or("a directory")?.to_owned();
    fs::set_permissions(&dir, locked)?;
    let err = failure(bench.reopen());
    assert_eq!(
        err.to_string(),
        "the store is of an older version (1) and read-only"
    );
    assert_eq!(err.kind().exit_code(), 11);
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o700))?;

    let store = bench.reopen()?;
    assert_eq!(store.objects(token.id)?.len(), objects);
    assert!(store.ssh_certificates(token.id)?.is_empty());
    store.check_integrity()?;
    Ok(())
}

/// The table of objects is another one since then.
#[test]
fn a_store_of_version_11_keeps_its_objects_and_their_numbers() -> TestResult {
    let (mut bench, _) = filled();
    let token = bench.store.tokens()?.remove(0);
    let last = bench.store.objects(token.id)?.pop().ok_or("an object")?;
    bench.store.delete_object(last.id)?;
    let before = format!("{:?}", bench.store.objects(token.id)?);
    bench.tamper(BACK_TO_VERSION_11);
    bench.tamper("PRAGMA user_version = 11");

    let mut store = bench.reopen()?;
    store.check_integrity()?;
    assert_eq!(format!("{:?}", store.objects(token.id)?), before);
    let new = store.add_data(token.id, &NewData::default())?;
    assert!(
        new.id > last.id,
        "the number of a deleted object is used again"
    );
    Ok(())
}

/// The keys of an authority were in two columns.
#[test]
fn a_store_of_version_9_keeps_whom_it_believes() -> TestResult {
    let (bench, _) = filled();
    let token = bench.store.tokens()?.remove(0);
    bench.tamper(BACK_TO_VERSION_11);
    bench.tamper("DROP TABLE enrolment_authority; DROP TABLE enrolment;");
    bench.tamper(include_str!("../../src/db/schema_9.sql"));
    bench.tamper(
        "INSERT INTO enrolment (key, is_host, server, audience, principals, ek_type, user_ca, host_ca, renew_at, expires, failures, next_try) \
         SELECT id, 1, 'https://ca/', 'https://ca/', 'web1', '', CAST('users' AS BLOB), CAST('hosts' AS BLOB), 1, 2, 0, 0 FROM key",
    );
    let mut store = bench.reopen()?;
    store.check_integrity()?;
    let enrolment = store.enrolments(token.id)?.remove(0);
    let trust = &enrolment.terms.trust;
    assert_eq!(trust.user_cas, [b"users".to_vec()]);
    assert_eq!(trust.host_cas, [b"hosts".to_vec()]);
    assert_eq!(trust.keys_number, 0);
    assert_eq!(enrolment.terms.role, None);

    // Newer keys take their place, and older ones do not.
    let newer = Trust {
        user_cas: vec![b"users".to_vec(), b"more".to_vec()],
        host_cas: vec![b"other".to_vec()],
        keys_number: 7,
        tls_roots: None,
    };
    assert!(store.trust_authorities(enrolment.id, &newer)?);
    let older = Trust {
        keys_number: 6,
        ..trust.clone()
    };
    assert!(!store.trust_authorities(enrolment.id, &older)?);
    assert!(!store.trust_authorities(enrolment.id, &newer)?);
    assert_eq!(store.enrolments(token.id)?[0].terms.trust, newer);
    assert!(store.end_enrolment(enrolment.id)?);
    assert!(!store.trust_authorities(enrolment.id, &newer)?);
    store.check_integrity()?;
    Ok(())
}

#[test]
fn a_store_of_version_1_that_was_changed_is_not_brought_to_this_one() {
    let (bench, _) = filled();
    bench.tamper(BACK_TO_VERSION_11);
    bench.tamper(BACK_TO_VERSION_1);
    bench.tamper("CREATE TABLE extra (a)");
    let before = fs::read(bench.file()).expect("a file");
    let err = failure(bench.reopen());
    assert_eq!(
        err.to_string(),
        "the store is corrupt: its tables were changed"
    );
    assert_eq!(fs::read(bench.file()).expect("a file"), before);
}
