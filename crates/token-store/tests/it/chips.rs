//! Keys in chips that can do less than others.

use token_store::{KeySpec, OpenToken, WallKind, token};
use tpm_core::{KeyType, OwnerAuth, Usage};

use crate::{Bench, TestResult, failure};

#[test]
fn rsa_keys_of_a_chip_without_sha_512_sign_with_it_all_the_same() -> TestResult {
    use testing::{Chip, State, Zoo};
    use tpm_core::{Hash, Scheme};

    let dir = tempfile::tempdir()?;
    let mut store = token_store::Store::open_or_create(&crate::store_dir(&dir))?;
    let zoo = Zoo::start(Chip::named("ifx-7.85.17.51968"), &[State::Factory]);
    let tpm = crate::tpm_at(&zoo.tcti());
    let options = token::InitOptions {
        wall: Some(WallKind::None),
        ..token::InitOptions::new("work")
    };
    let token = token::init(&mut store, &tpm, &options, None, None, &OwnerAuth::empty())?.token;
    let open = OpenToken::open(&store, &tpm, &token, None)?;
    let pair = open.generate(&mut store, &KeySpec::new(KeyType::Rsa2048, "k"))?;
    let key = pair.private.key().ok_or("a key")?;
    assert_eq!(
        key.blob().usage(),
        Usage::SIGN_DECRYPT,
        "the chip's attribute"
    );
    assert_eq!(key.usage(), Usage::SIGN, "what its owner lets it do");
    assert!(open.rsa_raw(key, &[1; 256]).is_err());

    // Opened anew from the store: what the chip can do is known without asking.
    let token = store.token(token.id)?;
    let open = OpenToken::open(&store, &tpm, &token, None)?;
    for hash in [Hash::Sha256, Hash::Sha384, Hash::Sha512] {
        zoo.tap().reset();
        let digest = vec![7; hash.size()];
        let scheme = Scheme::RsaPkcs1(hash);
        let signature = open.sign(key, scheme, &digest)?;
        assert!(key.public().verify(scheme, &digest, &signature));
        assert_eq!(zoo.tap().count(), 2, "{hash:?}: ContextLoad and one more");
    }
    Ok(())
}

/// What a chip can do is asked when a key is made, if the firmware is another.
#[test]
fn new_firmware_is_noticed_when_a_key_is_made() -> TestResult {
    use testing::{Chip, State, Zoo};

    let dir = tempfile::tempdir()?;
    let mut store = token_store::Store::open_or_create(&crate::store_dir(&dir))?;
    let mut zoo = Zoo::start(Chip::named("ifx-7.85.17.51968"), &[State::Factory]);
    let tpm = crate::tpm_at(&zoo.tcti());
    let options = token::InitOptions {
        wall: Some(WallKind::None),
        ..token::InitOptions::new("work")
    };
    let token = token::init(&mut store, &tpm, &options, None, None, &OwnerAuth::empty())?.token;
    assert_eq!(token.key_types, [KeyType::EccP256, KeyType::Rsa2048]);
    let spec = KeySpec::new(KeyType::EccP384, "k");
    let open = OpenToken::open(&store, &tpm, &token, None)?;
    let err = failure(open.generate(&mut store, &spec));
    assert_eq!(err.to_string(), "this TPM does not support ecdsa-p384");

    zoo.update(Chip::named("stm-1.512.0.0"));
    let tpm = crate::tpm_at(&zoo.tcti());
    let open = OpenToken::open(&store, &tpm, &token, None)?;
    open.generate(&mut store, &spec)?;
    let token = store.token(token.id)?;
    assert!(token.key_types.contains(&KeyType::EccP384), "and kept");
    assert_eq!(
        token.chip.as_ref().ok_or("known")?.firmware_version(),
        [1, 512, 0, 0]
    );
    // Known again: a further key asks for the firmware alone.
    let open = OpenToken::open(&store, &tpm, &token, None)?;
    zoo.tap().reset();
    open.generate(&mut store, &KeySpec::new(KeyType::EccP256, "k2"))?;
    let asked = zoo.tap().commands();
    assert_eq!(asked.iter().filter(|code| **code == 0x17a).count(), 1);
    assert!(!asked.contains(&0x18a), "TestParms: {asked:x?}");
    Ok(())
}

/// A chip reads the digest first, and chips differ in how they refuse it.
#[test]
fn a_hash_that_is_refused_is_understood_whatever_the_code() -> TestResult {
    use testing::{Fault, Tap, When};
    use tpm_core::{Hash, Scheme};

    const SIGN: u32 = 0x15d;
    let bench = Bench::new();
    let tap = Tap::start(&bench.swtpm);
    let dir = tempfile::tempdir()?;
    let mut store = token_store::Store::open_or_create(&crate::store_dir(&dir))?;
    let tpm = crate::tpm_at(&tap.tcti());
    let options = token::InitOptions {
        wall: Some(WallKind::None),
        ..token::InitOptions::new("work")
    };
    let token = token::init(&mut store, &tpm, &options, None, None, &OwnerAuth::empty())?.token;
    let open = OpenToken::open(&store, &tpm, &token, None)?;
    let spec = KeySpec {
        usage: Usage::SIGN_DECRYPT,
        ..KeySpec::new(KeyType::Rsa2048, "k")
    };
    let key = open.generate_session_key(&spec)?;
    let scheme = Scheme::RsaPkcs1(Hash::Sha512);
    for code in [0x1d5, 0x1c3, 0x2c3, 0x1c4, 0x2d2, 0x1d2, 0x095] {
        tap.inject(When::Next(SIGN), Fault::Answer(code));
        let signature = open.sign(&key, scheme, &[7; 64])?;
        assert!(
            key.public().verify(scheme, &[7; 64], &signature),
            "{code:#x}"
        );
    }
    Ok(())
}
