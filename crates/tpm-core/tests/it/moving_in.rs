//! Keys that were made outside of the chip: imported, loaded, used, and marked as imported.

use rand_core::OsRng;
use rsa::traits::{PrivateKeyParts, PublicKeyParts};
use testing::{Swtpm, Tap};
use tpm_core::{
    ArrivalKey, AuthValue, Blob, ChangeGuard, Curve, Entity, Error, Hash, KeyBlob, KeyType, Origin,
    OwnerAuth, PinAuth, PinCounter, PublicKey, RsaNumbers, Scheme, SoObject, SoftwareKey, Srk,
    TokenKey, Tpm, Usage, info,
};

type TestResult = Result<(), Box<dyn std::error::Error>>;

pub(crate) fn auth<A: From<AuthValue>>(text: &str) -> A {
    AuthValue::new(text.as_bytes()).expect("short").into()
}

pub(crate) struct Token {
    pub(crate) srk: Srk,
    pub(crate) key: TokenKey,
    pub(crate) pin: PinAuth,
}

/// A token behind each wall, with the PIN "pin" if it has a PIN.
pub(crate) fn token(tpm: &Tpm, wall: &str) -> Result<Token, Error> {
    let op = tpm.begin()?;
    let owner = OwnerAuth::empty();
    let srk = Srk::find_or_create(&op, &owner)?;
    let root = srk.open(&op)?;
    let so = SoObject::create(&root, &auth("so"), &auth("secret"))?;
    let (key, pin) = match wall {
        "counter" => {
            let guard = ChangeGuard::create(&root, &auth("secret"))?;
            let handle = PinCounter::pick_handle(&op)?;
            let counter = PinCounter::from_parts(handle, so.name(), guard.name());
            counter.define(&root, &owner, &so, &auth("so"), &auth("pin"), 5)?;
            (TokenKey::behind_counter(&root, counter)?, auth("pin"))
        }
        "lockout" => (
            TokenKey::behind_lockout(&root, &so, &auth("pin"))?,
            auth("pin"),
        ),
        _ => (TokenKey::without_pin(&root)?, PinAuth::empty()),
    };
    drop(root);
    drop(op);
    Ok(Token { srk, key, pin })
}

/// A new key of software, as `ssh-keygen` makes them.
pub(crate) fn software(key_type: KeyType) -> SoftwareKey {
    macro_rules! ecdsa {
        ($module:ident, $curve:ident) => {{
            use $module::elliptic_curve::sec1::ToEncodedPoint;
            let secret = $module::SecretKey::random(&mut OsRng);
            let point = secret.public_key().to_encoded_point(false);
            let (x, y) = (point.x().expect("x"), point.y().expect("y"));
            SoftwareKey::ecdsa(Curve::$curve, &secret.to_bytes(), x, y)
        }};
    }
    match key_type {
        KeyType::EccP256 => ecdsa!(p256, P256),
        KeyType::EccP384 => ecdsa!(p384, P384),
        KeyType::EccP521 => ecdsa!(p521, P521),
        _ => rsa_key(&rsa::RsaPrivateKey::new(&mut OsRng, key_type.bits().into()).expect("RSA")),
    }
    .expect("a sound key")
}

fn rsa_key(key: &rsa::RsaPrivateKey) -> Result<SoftwareKey, Error> {
    let bytes = |number: &rsa::BigUint| number.to_bytes_be();
    let (p, q) = (&key.primes()[0], &key.primes()[1]);
    // Of a prime p: the inverse of q is q^(p-2).
    let iqmp = q.modpow(&(p - 2_u8), p);
    SoftwareKey::rsa(&RsaNumbers {
        n: &bytes(key.n()),
        e: &bytes(key.e()),
        d: &bytes(key.d()),
        p: &bytes(p),
        q: &bytes(q),
        iqmp: &bytes(&iqmp),
    })
}

fn assert_idle(tpm: &Tpm) -> TestResult {
    let op = tpm.begin()?;
    assert_eq!(info::handles(&op, 0x8000_0000, 0x80ff_ffff)?, [0; 0]);
    assert_eq!(info::handles(&op, 0x0200_0000, 0x02ff_ffff)?, [0; 0]);
    assert_eq!(info::read(&op)?.active_sessions, 0);
    Ok(())
}

fn tpm(tcti: &str) -> Tpm {
    Tpm::new(tcti.parse().expect("a TCTI of the test crate"))
}

/// Signs something, and has it checked with `public`, which came from the file.
fn assert_signs(ready: &tpm_core::ReadyKey, op: &tpm_core::Operation<'_>, public: &PublicKey) {
    let scheme = match public {
        PublicKey::Rsa { .. } => Scheme::RsaPkcs1(Hash::Sha256),
        PublicKey::Ecc { .. } => Scheme::Ecdsa,
    };
    let signature = ready.sign(op, scheme, &[0x5a; 32]).expect("a signature");
    assert!(public.verify(scheme, &[0x5a; 32], &signature));
}

/// The number of commands without FlushContext: for the arrival key, an import, a login with the
/// first signature, and the next signature in the same operation.
#[test]
fn a_key_of_software_moves_in_behind_each_wall_at_a_known_price() -> TestResult {
    for (wall, price) in [
        ("counter", [5, 9, 10, 1]),
        ("lockout", [4, 7, 8, 1]),
        ("none", [3, 7, 7, 1]),
    ] {
        let swtpm = Swtpm::start();
        let tap = Tap::start(&swtpm);
        let tpm = tpm(&tap.tcti());
        let token = token(&tpm, wall)?;
        let software = software(KeyType::EccP256);
        let op = tpm.begin()?;
        let root = token.srk.open(&op)?;
        let spent = || {
            let count = tap.count();
            tap.reset();
            count
        };
        spent();
        let arrival = token.key.create_arrival_key(&root, &token.pin)?;
        let made = spent();
        let (pin, usage) = (&token.pin, Usage::SIGN);
        let key = token.key.import(&root, pin, &arrival, &software, usage)?;
        let imported = spent();
        assert_eq!(key.origin(), Origin::Outside);
        assert_eq!(key.public(), software.public());
        let ready = token.key.load_key(&root, pin, &key)?;
        assert_signs(&ready, &op, software.public());
        let first = spent();
        assert_signs(&ready, &op, software.public());
        assert_eq!([made, imported, first, spent()], price, "{wall}");

        // The stored bytes are enough to load it again.
        let arrival = ArrivalKey::from_blob(arrival.blob().clone())?;
        let key = KeyBlob::parse_imported(key.blob().clone(), &arrival)?;
        token.key.load_key(&root, pin, &key)?;
        drop(root);
        drop(op);
        assert_idle(&tpm)?;
    }
    Ok(())
}

#[test]
fn keys_of_every_type_and_use_move_in() -> TestResult {
    let swtpm = Swtpm::start();
    let tpm = tpm(&swtpm.tcti());
    let token = token(&tpm, "counter")?;
    let op = tpm.begin()?;
    let root = token.srk.open(&op)?;
    let arrival = token.key.create_arrival_key(&root, &token.pin)?;
    for key_type in KeyType::ALL {
        let software = software(key_type);
        for usage in [Usage::SIGN, Usage::SIGN_DECRYPT] {
            let key = token
                .key
                .import(&root, &token.pin, &arrival, &software, usage)?;
            assert_eq!((key.key_type(), key.usage()), (key_type, usage));
            let ready = token.key.load_key(&root, &token.pin, &key)?;
            assert_signs(&ready, &op, software.public());
            if let (PublicKey::Rsa { n, .. }, true) = (software.public(), usage.decrypt) {
                assert_eq!(ready.rsa_raw(&root, &vec![1; n.len()])?.len(), n.len());
            }
        }
    }
    drop(root);
    drop(op);
    assert_idle(&tpm)
}

/// One scalar in 256 begins with a zero byte; on P-521 more of them.
#[test]
fn a_short_private_number_is_padded_to_the_length_of_the_field() -> TestResult {
    use p256::elliptic_curve::sec1::ToEncodedPoint;
    let swtpm = Swtpm::start();
    let tpm = tpm(&swtpm.tcti());
    let token = token(&tpm, "none")?;
    let op = tpm.begin()?;
    let root = token.srk.open(&op)?;
    let arrival = token.key.create_arrival_key(&root, &token.pin)?;
    let mut scalar = [0; 32];
    scalar[30..].copy_from_slice(&[0x12, 0x34]);
    let point = p256::SecretKey::from_slice(&scalar)?.public_key();
    let point = point.to_encoded_point(false);
    let (x, y) = (point.x().expect("x"), point.y().expect("y"));
    for d in [&scalar[30..], &scalar[..], &[&[0; 9], &scalar[..]].concat()] {
        let software = SoftwareKey::ecdsa(Curve::P256, d, x, y)?;
        let key = token
            .key
            .import(&root, &token.pin, &arrival, &software, Usage::SIGN)?;
        let ready = token.key.load_key(&root, &token.pin, &key)?;
        assert_signs(&ready, &op, software.public());
    }
    Ok(())
}

#[test]
fn a_wrong_pin_costs_one_try_and_imports_nothing() -> TestResult {
    let swtpm = Swtpm::start();
    let tap = Tap::start(&swtpm);
    let tpm = tpm(&tap.tcti());
    let token = token(&tpm, "counter")?;
    let op = tpm.begin()?;
    let root = token.srk.open(&op)?;
    let arrival = token.key.create_arrival_key(&root, &token.pin)?;
    tap.reset();
    let software = software(KeyType::EccP256);
    let refused = token
        .key
        .import(&root, &auth("wrong"), &arrival, &software, Usage::SIGN);
    assert!(matches!(
        refused,
        Err(Error::AuthRejected { counted: false, .. })
    ));
    const IMPORT: u32 = 0x156;
    assert!(!tap.commands().contains(&IMPORT));
    let key = token
        .key
        .import(&root, &token.pin, &arrival, &software, Usage::SIGN)?;
    assert!(tap.commands().contains(&IMPORT), "the control");
    token.key.load_key(&root, &token.pin, &key)?;
    Ok(())
}

/// Every part of a stored imported key that somebody may exchange, and what the chip says.
#[test]
fn what_was_exchanged_does_not_load() -> TestResult {
    let swtpm = Swtpm::start();
    let tpm = tpm(&swtpm.tcti());
    let (one, other) = (token(&tpm, "none")?, token(&tpm, "none")?);
    let op = tpm.begin()?;
    let root = one.srk.open(&op)?;
    let none = PinAuth::empty();
    let arrival = one.key.create_arrival_key(&root, &none)?;
    let second = one.key.create_arrival_key(&root, &none)?;
    let foreign = other.key.create_arrival_key(&root, &none)?;
    let software = software(KeyType::EccP256);
    let key = one
        .key
        .import(&root, &none, &arrival, &software, Usage::SIGN)?;
    let twin = one
        .key
        .import(&root, &none, &second, &software, Usage::SIGN)?;
    let born = one
        .key
        .create_key(&root, &none, KeyType::EccP256, Usage::SIGN)?;
    let blob = |public: &Blob, private: &Blob| Blob {
        public: public.public.clone(),
        private: private.private.clone(),
    };
    let load = |key: &KeyBlob| one.key.load_key(&root, &none, key).map(drop);
    let integrity = |result: Result<(), Error>, entity| match result {
        Err(Error::Integrity(about)) => assert_eq!(about, entity),
        other => panic!("{other:?}"),
    };
    load(&key)?;
    load(&KeyBlob::parse(born.clone())?)?;

    // The private part of one with the public part of the other, both ways.
    let as_born = KeyBlob::parse(blob(&born, key.blob()))?;
    integrity(load(&as_born), Entity::Key);
    let as_imported = KeyBlob::parse_imported(blob(key.blob(), &born), &arrival)?;
    integrity(load(&as_imported), Entity::Key);
    // The imported key's own public area, edited to claim to be born here.
    let mut edited = key.blob().clone();
    edited.public = [
        &born.public[..born.public.len() - 68],
        &edited.public[edited.public.len() - 68..],
    ]
    .concat();
    let edited = KeyBlob::parse(edited)?;
    assert_eq!(edited.origin(), Origin::Chip, "so it claims");
    integrity(load(&edited), Entity::Key);
    // Below another arrival key, of the same token and of another one.
    let below = |arrival| KeyBlob::parse_imported(key.blob().clone(), arrival);
    integrity(load(&below(&second)?), Entity::Key);
    integrity(load(&below(&foreign)?), Entity::ArrivalKey);
    let mixed = ArrivalKey::from_blob(blob(arrival.blob(), second.blob()))?;
    integrity(load(&below(&mixed)?), Entity::ArrivalKey);
    // The same key, imported twice, is two objects.
    load(&twin)?;
    // Below a foreign arrival key nothing is imported, either.
    let refused = one
        .key
        .import(&root, &none, &foreign, &software, Usage::SIGN);
    integrity(refused.map(drop), Entity::ArrivalKey);
    drop(root);
    drop(op);
    assert_idle(&tpm)
}

#[test]
fn on_another_tpm_it_is_nothing() -> TestResult {
    let (here, there) = (Swtpm::start(), Swtpm::start());
    let (here, there) = (tpm(&here.tcti()), tpm(&there.tcti()));
    let token = token(&here, "none")?;
    let (arrival, key) = {
        let op = here.begin()?;
        let root = token.srk.open(&op)?;
        let arrival = token.key.create_arrival_key(&root, &token.pin)?;
        let software = software(KeyType::EccP256);
        let key = token
            .key
            .import(&root, &token.pin, &arrival, &software, Usage::SIGN)?;
        (arrival, key)
    };
    let op = there.begin()?;
    let srk = Srk::find_or_create(&op, &OwnerAuth::empty())?;
    let other = TokenKey::without_pin(&srk.open(&op)?)?;
    let refused = other.load_key(&srk.open(&op)?, &PinAuth::empty(), &key);
    assert!(matches!(refused, Err(Error::Integrity(Entity::ArrivalKey))));
    let software = software(KeyType::EccP256);
    let root = token.srk.open(&op)?;
    let refused = token
        .key
        .import(&root, &token.pin, &arrival, &software, Usage::SIGN);
    assert!(matches!(refused, Err(Error::OtherTpm)), "{refused:?}");
    Ok(())
}

fn unsound(key: Result<SoftwareKey, Error>) -> &'static str {
    match key {
        Err(Error::Unsound(why) | Error::KeyRefused(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_ec_key_that_is_not_sound_is_refused() {
    use p256::elliptic_curve::sec1::ToEncodedPoint;
    const ORDER: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc,
        0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let secret = p256::SecretKey::random(&mut OsRng);
    let point = secret.public_key().to_encoded_point(false);
    let (x, y) = (
        point.x().expect("x").as_slice(),
        point.y().expect("y").as_slice(),
    );
    let key = |d: &[u8], x, y| SoftwareKey::ecdsa(Curve::P256, d, x, y);
    assert!(key(&secret.to_bytes(), x, y).is_ok(), "the control");
    let range = "its private number is out of range";
    let halves = "its halves do not belong together";
    assert_eq!(unsound(key(&[], x, y)), range);
    assert_eq!(unsound(key(&[0; 32], x, y)), range);
    assert_eq!(unsound(key(&ORDER, x, y)), range);
    assert_eq!(unsound(key(&[1; 33], x, y)), range);
    assert_eq!(unsound(key(&[0xff; 32], x, y)), range);
    assert_eq!(unsound(key(&[1; 32], x, y)), halves);
    assert_eq!(unsound(key(&secret.to_bytes(), y, x)), halves);
    assert_eq!(unsound(key(&secret.to_bytes(), x, &[0; 32])), halves);
    assert_eq!(unsound(key(&secret.to_bytes(), &[1; 33], y)), halves);
}

#[test]
fn an_rsa_key_that_is_not_sound_is_refused() {
    use rsa::BigUint;
    let good = rsa::RsaPrivateKey::new(&mut OsRng, 2048).expect("RSA");
    assert!(rsa_key(&good).is_ok(), "the control");
    let (n, d) = (good.n().clone(), good.d().clone());
    let (p, q) = (good.primes()[0].clone(), good.primes()[1].clone());
    let e = BigUint::from(65_537_u32);
    let key = |n: &BigUint, e: &BigUint, d: &BigUint, p: &BigUint, q: &BigUint| {
        let iqmp = q.modpow(&(p - 2_u8), p);
        SoftwareKey::rsa(&RsaNumbers {
            n: &n.to_bytes_be(),
            e: &e.to_bytes_be(),
            d: &d.to_bytes_be(),
            p: &p.to_bytes_be(),
            q: &q.to_bytes_be(),
            iqmp: &iqmp.to_bytes_be(),
        })
    };
    let halves = "its halves do not belong together";
    // The factors may stand in either order.
    assert!(key(&n, &e, &d, &q, &p).is_ok());
    assert_eq!(unsound(key(&n, &e, &(&d + 2_u8), &p, &q)), halves);
    assert_eq!(unsound(key(&(&n + 2_u8), &e, &d, &p, &q)), halves);
    let exponent = "its public exponent is not 65537";
    assert_eq!(unsound(key(&n, &BigUint::from(3_u8), &d, &p, &q)), exponent);
    let size = "its size is not 2048 or 3072 bits";
    assert_eq!(unsound(key(&(&n >> 8), &e, &d, &p, &q)), size);
    assert_eq!(unsound(key(&(&n >> 1), &e, &d, &p, &q)), size);
    // 1 is a power of 65537, so this modulus has the form of ROCA's: 1 modulo all small primes.
    let small = (2_u32..168).filter(|n| (2..*n).all(|factor| n % factor != 0));
    let small = small.fold(BigUint::from(1_u8), |product, prime| product * prime);
    let roca = (BigUint::from(1_u8) << 2047) / &small * &small + &small + 1_u8;
    let weak = "its RSA modulus has the ROCA weakness (CVE-2017-15361)";
    assert_eq!(unsound(key(&roca, &e, &d, &p, &q)), weak);
    // A composite factor, with which the modulus is as long as it has to be.
    let composite = loop {
        let one = rsa::RsaPrivateKey::new(&mut OsRng, 1024).expect("RSA");
        if (one.n() * &q).bits() == 2048 {
            break one.n().clone();
        }
    };
    let why = unsound(key(&(&composite * &q), &e, &d, &composite, &q));
    assert_eq!(why, "its factors are not prime");
    // p = q: the square of the larger prime has 2048 bits, because the product of both has.
    let near = if p > q { &p } else { &q };
    let why = unsound(key(&(near * near), &e, &d, near, near));
    assert_eq!(why, "its factors are too near to each other");
    // Factors of different lengths.
    let why = unsound(key(&n, &e, &d, &n, &BigUint::from(1_u8)));
    assert_eq!(why, "its factors are not half as long as its modulus");
    // The coefficient of another key.
    let bytes = |number: &BigUint| number.to_bytes_be();
    let numbers = [&n, &e, &d, &p, &q].map(bytes);
    let wrong = SoftwareKey::rsa(&RsaNumbers {
        n: &numbers[0],
        e: &numbers[1],
        d: &numbers[2],
        p: &numbers[3],
        q: &numbers[4],
        iqmp: &[7],
    });
    assert_eq!(unsound(wrong), halves);
}

#[test]
fn nothing_of_a_software_key_is_printed() {
    let key = software(KeyType::EccP256);
    let text = format!("{key:?}");
    assert!(text.starts_with("SoftwareKey { public: Ecc"), "{text}");
    assert!(text.ends_with(".. }"), "{text}");
    let numbers = RsaNumbers {
        n: &[1],
        e: &[2],
        d: &[3],
        p: &[4],
        q: &[5],
        iqmp: &[6],
    };
    assert_eq!(format!("{numbers:?}"), "RsaNumbers(…)");
}
