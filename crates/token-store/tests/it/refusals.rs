//! Objects that a store does not take.

use testing::assert_matches;
use token_store::{
    Error, KeySpec, Kind, OpenToken, WallKind,
    object::{
        Attributes, MAX_ID_LEN, MAX_LABEL_LEN, MAX_VALUE_LEN, NewCertificate, NewPublicKey,
        ObjectChange,
    },
};
use tpm_core::{Curve, KeyType, PublicKey};

use crate::{Bench, PIN, TestResult, failure, objects::certificate};

#[test]
fn a_new_label_has_no_control_characters() -> TestResult {
    let mut bench = Bench::new();
    let token = bench.token("work", WallKind::None);
    let open = OpenToken::open(&bench.store, &bench.tpm, &token, None)?;
    let pair = open.generate(&mut bench.store, &KeySpec::new(KeyType::EccP256, "k"))?;
    for label in ["a\nb", "\u{1b}[2J", "\u{7f}", "\u{85}"] {
        let spec = KeySpec::new(KeyType::EccP256, label);
        let made = failure(open.generate(&mut bench.store, &spec));
        let changed = failure(
            bench
                .store
                .change_object(pair.private.id, &ObjectChange::label(label)),
        );
        for err in [made, changed] {
            assert_matches!(err, Error::Invalid { what: "label", .. });
        }
    }
    bench
        .store
        .change_object(pair.private.id, &ObjectChange::label("Schlüssel 1"))?;
    Ok(())
}

#[test]
fn what_is_too_long_or_empty_or_has_a_nul_is_refused() -> TestResult {
    let mut bench = Bench::new();
    let token = bench.token("work", WallKind::Counter);
    let store = &mut bench.store;
    let add = |store: &mut token_store::Store, new: NewCertificate| {
        store
            .add_certificate(token.id, &new)
            .map(|object| object.id)
    };
    let plain = certificate("c");
    let id = add(
        store,
        NewCertificate {
            label: "x".repeat(MAX_LABEL_LEN),
            ..plain.clone()
        },
    )?;
    add(
        store,
        NewCertificate {
            cka_id: vec![0; MAX_ID_LEN],
            ..plain.clone()
        },
    )?;
    add(
        store,
        NewCertificate {
            value: vec![0; MAX_VALUE_LEN],
            ..plain.clone()
        },
    )?;
    let text = |err: Error| {
        assert_eq!(err.kind(), Kind::Usage);
        err.to_string()
    };
    let long = NewCertificate {
        label: "x".repeat(MAX_LABEL_LEN + 1),
        ..plain.clone()
    };
    assert_eq!(
        text(failure(add(store, long))),
        "the label is longer than 128 bytes"
    );
    let long = NewCertificate {
        cka_id: vec![0; MAX_ID_LEN + 1],
        ..plain.clone()
    };
    assert_eq!(
        text(failure(add(store, long))),
        "the id is longer than 128 bytes"
    );
    let long = NewCertificate {
        value: vec![0; MAX_VALUE_LEN + 1],
        ..plain.clone()
    };
    assert_eq!(
        text(failure(add(store, long))),
        "the value is longer than 65536 bytes"
    );
    let empty = NewCertificate {
        subject: Vec::new(),
        ..plain.clone()
    };
    text(failure(add(store, empty)));
    let nul = NewCertificate {
        label: "a\0b".to_owned(),
        ..plain.clone()
    };
    assert_eq!(
        text(failure(add(store, nul))),
        "unusable label: it has a NUL"
    );
    let long = ObjectChange::label("x".repeat(1 << 20));
    text(failure(store.change_object(id, &long)));
    // All or nothing.
    let before = store.object(id)?;
    let half = ObjectChange {
        cka_id: Some(vec![0; 200]),
        ..ObjectChange::label("changed")
    };
    text(failure(store.change_object(id, &half)));
    let of_data = ObjectChange {
        value: Some(Vec::new()),
        ..ObjectChange::label("changed")
    };
    let refused = store.change_object(id, &of_data);
    assert_matches!(refused, Err(Error::NoSuchObject));
    assert_eq!(store.object(id)?.label, before.label);
    assert_eq!(store.objects(token.id)?.len(), 3);
    Ok(())
}

#[test]
fn a_public_key_may_be_added_unless_it_is_none() -> TestResult {
    let mut bench = Bench::new();
    let token = bench.token("work", WallKind::Counter);
    let open = bench.login(&token, PIN)?;
    let key = bench.key(&open);
    let new = |public| NewPublicKey {
        label: "elsewhere".to_owned(),
        cka_id: Vec::new(),
        private: false,
        subject: Vec::new(),
        public,
        attributes: Attributes::default(),
    };
    let added = bench
        .store
        .add_public_key(token.id, &new(key.public().clone()))?;
    assert!(added.key().is_none());
    assert_eq!(added.public_key(), Some(key.public()));
    let off_curve = PublicKey::Ecc {
        curve: Curve::P256,
        x: vec![1; 32],
        y: vec![1; 32],
    };
    let err = failure(bench.store.add_public_key(token.id, &new(off_curve)));
    assert_eq!(err.kind(), Kind::KeyRefused, "{err}");
    Ok(())
}

#[test]
fn nothing_is_added_to_a_token_that_is_gone() -> TestResult {
    let mut bench = Bench::new();
    let token = bench.token("work", WallKind::None);
    bench.store.add_certificate(token.id, &certificate("c"))?;
    token_store::token::forget(&mut bench.store, &token)?;
    let err = failure(bench.store.add_certificate(token.id, &certificate("c")));
    assert_matches!(err, Error::NoSuchToken { .. });
    assert!(bench.store.objects(token.id)?.is_empty());
    Ok(())
}
