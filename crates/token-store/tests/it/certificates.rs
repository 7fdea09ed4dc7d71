//! OpenSSH certificates beside keys, and the records of authorities.

use testing::assert_matches;
use token_store::{
    Error, Kind, MAX_SSH_CERTIFICATES, ObjectId, OpenToken, Revocations, Revoked, TokenId, WallKind,
};

use crate::{Bench, TestResult, failure};

/// A token with a key; the private half.
fn with_key() -> (Bench, TokenId, OpenToken, ObjectId) {
    let mut bench = Bench::new();
    let token = bench.token("work", WallKind::None);
    let open = OpenToken::open(&bench.store, &bench.tpm, &token, None).expect("no PIN");
    bench.key(&open);
    let object = bench.store.objects(token.id).expect("objects")[0].id;
    (bench, token.id, open, object)
}

#[test]
fn certificates_stay_beside_their_key_and_go_with_it() -> TestResult {
    let (mut bench, token, open, first) = with_key();
    bench.key(&open);
    let second = bench.store.objects(token)?[2].id;
    let store = &mut bench.store;
    let a = store.add_ssh_certificate(first, b"a", "anna")?;
    let b = store.add_ssh_certificate(first, b"b", "")?;
    let c = store.add_ssh_certificate(second, b"a", "")?;
    assert_eq!(
        store.add_ssh_certificate(first, b"a", "again")?,
        a,
        "it is there already"
    );
    let listed = bench.reopen()?.ssh_certificates(token)?;
    assert_eq!(
        listed
            .iter()
            .map(|it| (it.id, it.object, &it.certificate[..], it.comment.as_str()))
            .collect::<Vec<_>>(),
        [
            (a, first, &b"a"[..], "anna"),
            (b, first, &b"b"[..], ""),
            (c, second, &b"a"[..], "")
        ]
    );
    assert!(listed[0].created > 0);

    let store = &mut bench.store;
    store.remove_ssh_certificate(b)?;
    assert_matches!(
        failure(store.remove_ssh_certificate(b)),
        Error::NoSuchObject
    );
    assert_eq!(store.ssh_certificates(token)?.len(), 2);
    store.delete_object(first)?;
    let left = store.ssh_certificates(token)?;
    assert_eq!(left.iter().map(|it| it.id).collect::<Vec<_>>(), [c]);
    assert_matches!(
        failure(store.add_ssh_certificate(first, b"a", "")),
        Error::NoSuchObject
    );
    Ok(())
}

#[test]
fn certificates_are_bounded_in_size_and_number() -> TestResult {
    let (mut bench, token, _, object) = with_key();
    let store = &mut bench.store;
    let max = token_store::object::MAX_VALUE_LEN;
    let err = failure(store.add_ssh_certificate(object, &vec![0; max + 1], ""));
    assert_eq!(
        (err.kind(), err.to_string()),
        (
            Kind::Usage,
            "the certificate is longer than 65536 bytes".to_owned()
        )
    );
    for number in 0..MAX_SSH_CERTIFICATES {
        store.add_ssh_certificate(object, &number.to_be_bytes(), "")?;
    }
    let err = failure(store.add_ssh_certificate(object, b"one more", ""));
    assert_eq!(
        (err.kind(), err.to_string()),
        (
            Kind::Usage,
            "there are 32 certificates of this key, and there cannot be more".to_owned()
        )
    );
    assert_eq!(store.ssh_certificates(token)?.len(), MAX_SSH_CERTIFICATES);
    Ok(())
}

#[test]
fn an_authority_remembers_what_it_signed_and_uses_no_number_twice() -> TestResult {
    let (mut bench, token, _, object) = with_key();
    let store = &mut bench.store;
    assert!(store.authorities(token)?.is_empty());
    assert_matches!(
        failure(store.add_issued(object, 1, b"c")),
        Error::NoSuchObject
    );
    store.make_authority(object)?;
    store.make_authority(object)?;
    assert_eq!(store.authorities(token)?, [object]);
    store.add_issued(object, u64::MAX, b"first")?;
    let err = failure(store.add_issued(object, u64::MAX, b"second"));
    assert_matches!(err, Error::Conflict);
    store.add_issued(object, 1, b"second")?;
    let issued = bench.reopen()?.issued(object)?;
    assert_eq!(
        issued
            .iter()
            .map(|it| (it.serial, &it.certificate[..]))
            .collect::<Vec<_>>(),
        [(u64::MAX, &b"first"[..]), (1, &b"second"[..])]
    );
    Ok(())
}

#[test]
fn a_revocation_list_has_a_number_that_grows() -> TestResult {
    let (mut bench, _, _, object) = with_key();
    let store = &mut bench.store;
    store.make_authority(object)?;
    assert_eq!(store.revocations(object)?, Revocations::default());
    let all = [
        Revoked::Serial(u64::MAX),
        Revoked::KeyId("anna".to_owned()),
        Revoked::Key(b"blob".to_vec()),
    ];
    // Each is above the time, and so above those of a copy of the store that was put back.
    let mut last = std::time::UNIX_EPOCH.elapsed()?.as_secs() - 1;
    for revoked in &all {
        assert!(store.add_revocation(object, revoked)?);
        assert!(!store.add_revocation(object, revoked)?, "it is there");
        let number = store.revocations(object)?.number;
        assert!(number > last);
        last = number;
    }
    assert_eq!(store.revocations(object)?.revoked, all);
    assert_eq!(store.revocations(object)?.withdrawn, []);

    // Stores of version 7 recorded no number: it follows from the revocations.
    bench.tamper("DELETE FROM krl_number");
    assert!(bench.reopen()?.revocations(object)?.number >= last);
    let store = &mut bench.store;

    // One that is withdrawn is kept for the record, and the list of fewer has a higher number.
    assert!(store.withdraw_revocation(object, &all[1])?);
    assert!(!store.withdraw_revocation(object, &all[1])?, "it is gone");
    let after = store.revocations(object)?;
    assert!(after.number > last, "{} after {last}", after.number);
    assert_eq!(after.revoked, [all[0].clone(), all[2].clone()]);
    assert_eq!(after.withdrawn.len(), 1);
    assert_eq!(after.withdrawn[0].revoked, all[1]);
    assert!(after.withdrawn[0].revoked_at <= after.withdrawn[0].withdrawn_at);
    assert!(store.add_revocation(object, &all[1])?);
    assert!(store.revocations(object)?.number > after.number);
    // With its private half alone the record would be lost.
    let err = failure(store.delete_object(object));
    assert_matches!(err, Error::AuthorityKey);
    store.delete_key(object)?;
    assert_matches!(failure(store.revocations(object)), Error::NoSuchObject);
    Ok(())
}
