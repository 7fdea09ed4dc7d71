//! Objects and their attributes.

use testing::assert_matches;
use token_store::{
    Class, Error, KeySpec, Kind, OpenToken, TokenId, WallKind,
    object::{
        Attributes, Body, Half, MAX_VALUE_LEN, Mechanisms, NewCertificate, NewData, ObjectChange,
    },
};
use tpm_core::{KeyType, PublicKey, Scheme, Usage};

use crate::{Bench, PIN, TestResult, failure};

pub(crate) fn certificate(label: &str) -> NewCertificate {
    NewCertificate {
        label: label.to_owned(),
        cka_id: vec![1, 2, 3],
        value: b"the certificate".to_vec(),
        subject: b"the subject".to_vec(),
        issuer: b"the issuer".to_vec(),
        serial_number: b"the serial number".to_vec(),
        private: false,
        ..NewCertificate::default()
    }
}

#[test]
fn what_is_added_is_read_back_in_order() -> TestResult {
    let mut bench = Bench::new();
    let token = bench.token("work", WallKind::Counter).id;
    let cert = bench.store.add_certificate(token, &certificate("cert"))?;
    let data = bench.store.add_data(
        token,
        &NewData {
            label: "a label, \u{202e}turned round".to_owned(),
            private: true,
            application: "an application".to_owned(),
            object_id: vec![6, 1, 42],
            value: (0..=255).collect(),
            ..NewData::default()
        },
    )?;
    let objects = bench.reopen()?.objects(token)?;
    assert_eq!(
        objects.iter().map(|o| o.id).collect::<Vec<_>>(),
        [cert.id, data.id]
    );
    assert_eq!(objects[0].class(), Class::Certificate);
    assert_eq!(
        (objects[0].label.as_str(), &objects[0].cka_id[..]),
        ("cert", &[1, 2, 3][..])
    );
    let Body::Certificate {
        value,
        subject,
        issuer,
        serial_number,
    } = &objects[0].body
    else {
        panic!("it is a certificate");
    };
    assert_eq!(
        (&value[..], &subject[..]),
        (&b"the certificate"[..], &b"the subject"[..])
    );
    assert_eq!(
        (&issuer[..], &serial_number[..]),
        (&b"the issuer"[..], &b"the serial number"[..])
    );
    assert!(objects[1].private && objects[1].key().is_none());
    assert_eq!(
        objects[1].label, "a label, \u{202e}turned round",
        "kept exactly"
    );
    let Body::Data {
        value, application, ..
    } = &objects[1].body
    else {
        panic!("it is data");
    };
    assert_eq!((value.len(), application.as_str()), (256, "an application"));
    Ok(())
}

#[test]
fn a_key_pair_is_two_objects_with_attributes_of_their_own() -> TestResult {
    let mut bench = Bench::new();
    let token = bench.token("work", WallKind::Counter);
    let open = bench.login(&token, PIN)?;
    let spec = KeySpec {
        id: Some(b"\x01".to_vec()),
        subject: b"name".to_vec(),
        always_authenticate: true,
        ..KeySpec::new(KeyType::EccP256, "me@host")
    };
    let pair = open.generate(&mut bench.store, &spec)?;
    assert_eq!(
        (pair.private.class(), pair.public.class()),
        (Class::PrivateKey, Class::PublicKey)
    );
    assert!(pair.private.private && !pair.public.private);
    assert_eq!(
        (pair.private.cka_id.as_slice(), pair.public.label.as_str()),
        (&[1][..], "me@host")
    );
    assert_eq!(pair.private.public_key(), pair.public.public_key());
    assert!(pair.private.key().ok_or("a key")?.always_authenticate());

    let store = &mut bench.store;
    let change = ObjectChange {
        cka_id: Some(b"other".to_vec()),
        subject: Some(Vec::new()),
        ..ObjectChange::default()
    };
    store.change_object(pair.public.id, &change)?;
    store.change_object(pair.private.id, &ObjectChange::label(""))?;
    let public = store.object(pair.public.id)?;
    let private = store.object(pair.private.id)?;
    assert_eq!(
        (&public.cka_id[..], private.label.as_str()),
        (&b"other"[..], "")
    );
    assert_eq!(
        (&private.cka_id[..], public.label.as_str()),
        (&[1][..], "me@host")
    );
    Ok(())
}

/// A twin would go on signing after the key was deleted.
#[test]
fn a_key_of_the_chip_is_kept_once() -> TestResult {
    let mut bench = Bench::new();
    let token = bench.token("work", WallKind::None);
    let open = OpenToken::open(&bench.store, &bench.tpm, &token, None)?;
    let spec = KeySpec::new(KeyType::EccP256, "me@host");
    let blob = open.make(&spec)?;
    let pair = open.keep(&mut bench.store, &spec, &blob)?;
    let key = pair.private.key().expect("a private key");
    let failures = [
        failure(open.keep(&mut bench.store, &spec, &blob)),
        failure(open.keep_session_key(&mut bench.store, &spec, key)),
    ];
    for err in failures {
        assert_eq!(err.to_string(), "token \"work\" has this key: \"me@host\"");
        assert_eq!(err.kind(), Kind::Failed);
    }
    assert_eq!(bench.store.objects(token.id)?.len(), 2);
    Ok(())
}

/// What the owner of a key forbids, nobody gets from this crate: module, agent and program alike.
#[test]
fn a_key_does_what_its_owner_lets_it_do_and_nothing_else() -> TestResult {
    let mut bench = Bench::new();
    let token = bench.token("work", WallKind::None);
    let open = OpenToken::open(&bench.store, &bench.tpm, &token, None)?;
    let spec = |signs, allowed: Option<&[u64]>| KeySpec {
        usage: Usage::SIGN_DECRYPT,
        signs,
        mechanisms: allowed.map(|allowed| Mechanisms::new(allowed.to_vec())),
        ..KeySpec::new(KeyType::EccP256, "")
    };
    let other = open.generate_session_key(&spec(true, None))?;
    let PublicKey::Ecc { x, y, .. } = other.public() else {
        panic!("it is one");
    };
    // CKM_ECDSA_SHA256, CKM_ECDSA_SHA384, CKM_ECDH1_DERIVE; who signs, who agrees.
    let refused_use = "the key may not be used in this way: its list of allowed mechanisms says so";
    for (signs, allowed, sign, agree) in [
        (true, None, None, None),
        (false, None, Some("the key is not for signing"), None),
        (true, Some(&[0x1044][..]), None, Some(refused_use)),
        (true, Some(&[0x1045]), Some(refused_use), Some(refused_use)),
        (true, Some(&[0x1050]), Some(refused_use), None),
        (true, Some(&[]), Some(refused_use), Some(refused_use)),
    ] {
        let pair = open.generate(&mut bench.store, &spec(signs, allowed))?;
        let stored = bench.store.object(pair.private.id)?;
        let mut visited = Vec::new();
        bench
            .store
            .each_private_key(token.id, |object| visited.push(object))?;
        let last = visited.pop().ok_or("a key")?;
        let session = open.generate_session_key(&spec(signs, allowed))?;
        let copy = open.keep_session_key(&mut bench.store, &spec(true, None), &session)?;
        let copy = bench.store.object(copy.id)?;
        for object in [pair.private, stored, last, copy] {
            let key = object.key().ok_or("a private key")?;
            let refusal = |err: token_store::Error| (err.to_string(), err.kind().exit_code());
            let expected = |why: Option<&str>| why.map(|why| (why.to_owned(), 1));
            let signed = open.sign(key, Scheme::Ecdsa, &[1; 32]);
            assert_eq!(signed.err().map(refusal), expected(sign));
            let agreed = open.ecdh(key, x, y);
            assert_eq!(agreed.err().map(refusal), expected(agree));
        }
    }
    Ok(())
}

#[test]
fn each_half_of_a_key_pair_has_what_is_said_of_it_alone() -> TestResult {
    let mut bench = Bench::new();
    let token = bench.token("work", WallKind::None);
    let open = OpenToken::open(&bench.store, &bench.tpm, &token, None)?;
    let mut dates = Attributes::default();
    dates.set(0x111, b"20301231");
    let spec = KeySpec {
        public: Half {
            label: Some("public".to_owned()),
            id: Some(vec![2]),
            subject: Some(b"name".to_vec()),
            hidden: Some(true),
            attributes: dates.clone(),
        },
        private: Half {
            hidden: Some(false),
            ..Half::default()
        },
        ..KeySpec::new(KeyType::EccP256, "both")
    };
    let pair = open.generate(&mut bench.store, &spec)?;
    let (public, private) = (pair.public, bench.store.object(pair.private.id)?);
    assert_eq!((&*public.label, &*private.label), ("public", "both"));
    assert_eq!((&*public.cka_id, private.cka_id.len()), (&[2][..], 20));
    assert_eq!((public.private, private.private), (true, false));
    assert_eq!(public.attributes, dates);
    assert_eq!(private.attributes, Attributes::default());
    let change = ObjectChange {
        attributes: dates.clone(),
        ..ObjectChange::default()
    };
    bench.store.change_object(private.id, &change)?;
    bench.store.delete_object(private.id)?;
    let public = bench.store.object(public.id)?;
    assert_eq!(public.attributes, dates, "kept without the other half");
    Ok(())
}

/// The public half that stays gets flags beside its attributes, for which there is always room.
#[test]
fn a_private_key_is_deleted_whatever_its_public_half_holds() -> TestResult {
    let mut bench = Bench::new();
    let token = bench.token("work", WallKind::None);
    let open = OpenToken::open(&bench.store, &bench.tpm, &token, None)?;
    let mut longest = Attributes::default();
    longest.set(0x111, vec![0; MAX_VALUE_LEN - 12]);
    let spec = KeySpec {
        usage: Usage::SIGN_DECRYPT,
        public: Half {
            attributes: longest,
            ..Half::default()
        },
        ..KeySpec::new(KeyType::EccP256, "both")
    };
    let pair = open.generate(&mut bench.store, &spec)?;
    bench.store.delete_object(pair.private.id)?;
    let public = bench.store.object(pair.public.id)?;
    assert_eq!(public.attributes.get(0x10c), Some(&[1][..]), "CKA_DERIVE");
    Ok(())
}

#[test]
fn private_keys_are_visited_one_by_one_in_order() -> TestResult {
    let mut bench = Bench::new();
    let tokens = ["a", "b"].map(|label| bench.token(label, WallKind::None).id);
    let mut made = Vec::new();
    for (token, label) in [(0, "one"), (1, "other"), (0, "two")] {
        let token = bench.store.token(tokens[token])?;
        let open = OpenToken::open(&bench.store, &bench.tpm, &token, None)?;
        let spec = KeySpec {
            always_authenticate: label == "two",
            ..KeySpec::new(KeyType::EccP256, label)
        };
        made.push(open.generate(&mut bench.store, &spec)?);
    }
    bench
        .store
        .add_certificate(tokens[0], &certificate("no key"))?;
    let mut seen = Vec::new();
    let store = bench.reopen()?;
    store.each_private_key(tokens[0], |object| seen.push(object))?;
    assert_eq!(
        seen.iter().map(|key| key.id).collect::<Vec<_>>(),
        [made[0].private.id, made[2].private.id]
    );
    for (seen, is) in seen.iter().zip([&made[0].private, &made[2].private]) {
        assert_eq!((seen.class(), seen.token), (Class::PrivateKey, tokens[0]));
        assert_eq!((&seen.label, &seen.cka_id), (&is.label, &is.cka_id));
        let (seen, is) = (seen.key().ok_or("a key")?, is.key().ok_or("a key")?);
        assert_eq!(seen.blob(), is.blob());
        assert_eq!(seen.always_authenticate(), is.always_authenticate());
    }
    Ok(())
}

#[test]
fn a_key_of_another_token_is_a_corrupt_store() -> TestResult {
    let mut bench = Bench::new();
    let [first, second] = ["a", "b"].map(|label| bench.token(label, WallKind::None));
    let open = OpenToken::open(&bench.store, &bench.tpm, &first, None)?;
    bench.key(&open);
    bench.tamper(&format!("UPDATE key SET token = {}", second.id.get()));
    let store = bench.reopen()?;
    let visited = store.each_private_key(first.id, |_| ());
    for err in [failure(store.objects(first.id)), failure(visited)] {
        assert_eq!(err.kind(), Kind::Corrupt, "{err}");
    }
    Ok(())
}

#[test]
fn each_half_of_a_key_pair_is_deleted_by_itself() -> TestResult {
    let mut bench = Bench::new();
    let token = bench.token("work", WallKind::Counter);
    let open = bench.login(&token, PIN)?;
    let spec = KeySpec::new(KeyType::EccP256, "k");
    let a = open.generate(&mut bench.store, &spec)?;
    let b = open.generate(&mut bench.store, &spec)?;
    bench.store.delete_object(a.public.id)?;
    assert_eq!(bench.store.object(a.private.id)?.class(), Class::PrivateKey);
    let key = b.public.public_key().cloned();
    bench.store.delete_object(b.private.id)?;
    let left = bench.store.object(b.public.id)?;
    assert_matches!(left.body, Body::PublicKey { key: None, .. });
    assert_eq!(left.public_key().cloned(), key);
    assert_eq!(
        (&left.label, &left.cka_id),
        (&b.public.label, &b.public.cka_id)
    );
    assert_eq!(bench.store.objects(token.id)?.len(), 2);
    let mut private = Vec::new();
    bench
        .store
        .each_private_key(token.id, |object| private.push(object.id))?;
    assert_eq!(private, [a.private.id], "what the agent lists");
    bench.store.delete_object(b.public.id)?;
    bench.store.delete_object(a.private.id)?;
    assert!(bench.store.objects(token.id)?.is_empty());
    assert!(!bench.store.token(token.id)?.has_keys);
    assert_matches!(
        failure(bench.store.delete_object(a.private.id)),
        Error::NoSuchObject
    );
    let c = open.generate(&mut bench.store, &spec)?;
    assert!(c.private.id > b.public.id, "numbers are not used again");
    bench.store.delete_key(c.public.id)?;
    assert!(bench.store.objects(token.id)?.is_empty(), "both halves");
    Ok(())
}

/// Its record of what it signed and revoked hangs from it.
#[test]
fn the_private_half_of_an_authority_is_deleted_with_its_key_pair_alone() -> TestResult {
    let mut bench = Bench::new();
    let token = bench.token("work", WallKind::None);
    let open = OpenToken::open(&bench.store, &bench.tpm, &token, None)?;
    let spec = KeySpec::new(KeyType::EccP256, "ca");
    let ca = open.generate(&mut bench.store, &spec)?;
    bench.store.make_authority(ca.private.id)?;
    let err = failure(bench.store.delete_object(ca.private.id));
    assert_matches!(err, Error::AuthorityKey);
    assert_eq!(
        err.to_string(),
        "the key is a certificate authority and is deleted with `tpmssh delete` only"
    );
    bench.store.delete_object(ca.public.id)?;
    assert_eq!(bench.store.authorities(token.id)?, [ca.private.id]);
    bench.store.delete_key(ca.private.id)?;
    assert!(bench.store.objects(token.id)?.is_empty());
    Ok(())
}

/// What was seen is believed only as long as the file has not changed.
#[test]
fn a_change_is_seen_after_a_long_rest_too() -> TestResult {
    let mut bench = Bench::new();
    let token: TokenId = bench.token("work", WallKind::None).id;
    let other = bench.reopen()?;
    let file = bench.store.dir().join("store.db");
    let rested = || -> std::io::Result<bool> {
        let age = std::fs::metadata(&file)?.modified()?.elapsed();
        Ok(age.is_ok_and(|age| age > std::time::Duration::from_millis(200)))
    };
    testing::eventually(|| rested().is_ok_and(|rested| rested));
    let before = other.change_counter()?;
    assert_eq!(other.change_counter()?, before);
    bench.store.add_certificate(token, &certificate("c"))?;
    assert!(other.change_counter()? > before);
    Ok(())
}

#[test]
fn the_change_counter_moves_with_every_change_of_any_program() -> TestResult {
    let mut bench = Bench::new();
    let token: TokenId = bench.token("work", WallKind::None).id;
    let mut other = bench.reopen()?;
    let mut seen = vec![bench.store.change_counter()?];
    let object = bench.store.add_certificate(token, &certificate("c"))?.id;
    seen.push(other.change_counter()?);
    other.change_object(object, &ObjectChange::label("d"))?;
    seen.push(bench.store.change_counter()?);
    other.delete_object(object)?;
    seen.push(bench.store.change_counter()?);
    assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "{seen:?}");
    bench.store.objects(token)?;
    failure(bench.store.delete_object(object));
    assert_eq!(
        seen.last(),
        Some(&other.change_counter()?),
        "looking and failing change nothing"
    );
    Ok(())
}
