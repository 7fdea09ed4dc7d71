//! A whole life of a token: from taking the chip to clearing it.

use testing::{Exchange, Swtpm, Tap};
use tpm_core::{
    Capabilities, ChangeGuard, KeyBlob, KeyType, PinCounter, Result, Scheme, SoObject, Srk, Usage,
    ek::{self, EkType},
    info,
    lockout::{self, Parameters},
    ownership::{self, Hierarchy},
    persistent, random, selftest,
};

use crate::{
    chip::NEW_PASSWORD,
    world::{
        ENDORSEMENT, Kind, LIMIT, LOCKOUT, NEW_PIN, NEW_SO_PIN, OWNER, PIN, SCALAR, SECRET, SO_PIN,
        auth, software, tpm,
    },
};

/// All secrets in the life of the token, with their names.
pub(crate) const SECRETS: [(&str, &[u8]); 10] = [
    ("PIN", PIN),
    ("new PIN", NEW_PIN),
    ("SO PIN", SO_PIN),
    ("new SO PIN", NEW_SO_PIN),
    ("secret of the guard", SECRET),
    ("owner password", OWNER),
    ("endorsement password", ENDORSEMENT),
    ("lockout password", LOCKOUT),
    ("new owner password", NEW_PASSWORD),
    ("private key from outside", &SCALAR),
];

/// What crosses the bus in the life of a token behind `kind`.
pub(crate) fn record(kind: Kind) -> Result<Vec<Exchange>> {
    let swtpm = Swtpm::start();
    let tap = Tap::start(&swtpm);
    let tpm = tpm(&tap.tcti());
    let (owner, pin, new_pin) = (auth(OWNER), auth(PIN), auth(NEW_PIN));
    let (so_pin, new_so_pin) = (auth(SO_PIN), auth(NEW_SO_PIN));

    // Ownership. The owner's password is there before the storage root key.
    let op = tpm.begin()?;
    let srk = Srk::find_or_create(&op, &auth(b""))?;
    for (hierarchy, value) in [
        (Hierarchy::Owner, OWNER),
        (Hierarchy::Endorsement, ENDORSEMENT),
        (Hierarchy::Lockout, LOCKOUT),
    ] {
        ownership::change_auth(&srk.open(&op)?, hierarchy, &auth(b""), &auth(value))?;
    }
    let srk = Srk::make_anew(&op, &owner)?;
    ek::create(&op, Some(&srk), EkType::EccP256, &auth(ENDORSEMENT), &owner)?;
    let parameters = Parameters {
        max_tries: 32,
        interval: 7200,
        recovery: 86_400,
    };
    lockout::set_parameters(&op, Some(&srk), &auth(LOCKOUT), parameters)?;
    lockout::reset(&op, Some(&srk), &auth(LOCKOUT))?;

    // Init.
    let so = SoObject::create(&srk.open(&op)?, &so_pin, &auth(SECRET))?;
    let guard = ChangeGuard::create(&srk.open(&op)?, &auth(SECRET))?;
    let counter = PinCounter::from_parts(PinCounter::pick_handle(&op)?, so.name(), guard.name());
    counter.define(&srk.open(&op)?, &owner, &so, &so_pin, &pin, LIMIT)?;
    let mut token_key = kind.token_key(&srk.open(&op)?, &so, &counter)?;
    // The PIN of the token key, which is empty without a wall.
    let (key_pin, wrong_pin) = (kind.pin(PIN), kind.pin(NEW_PIN));
    let sealed = token_key.seal(&srk.open(&op)?, &key_pin, &auth(SECRET))?;

    // Keygen, login, signatures.
    let usage = Usage::SIGN_DECRYPT;
    let ecc = token_key.create_key(&srk.open(&op)?, &key_pin, KeyType::EccP256, usage)?;
    let rsa = token_key.create_key(&srk.open(&op)?, &key_pin, KeyType::Rsa2048, usage)?;
    let (ecc, rsa) = (KeyBlob::parse(ecc)?, KeyBlob::parse(rsa)?);
    let wrong = token_key.verify(&srk.open(&op)?, &wrong_pin);
    assert_eq!(wrong.is_err(), kind != Kind::None);
    token_key.verify(&srk.open(&op)?, &key_pin)?;
    if let Some(ready) = token_key.open(&srk.open(&op)?, &key_pin, Some(&ecc))? {
        ready.sign(&op, Scheme::Ecdsa, &[1; 32])?;
        if let tpm_core::PublicKey::Ecc { x, y, .. } = ecc.public() {
            ready.ecdh(&srk.open(&op)?, x, y)?;
        }
    }
    let ready = token_key.load_key(&srk.open(&op)?, &key_pin, &rsa)?;
    ready.sign(&op, Scheme::RsaPkcs1(tpm_core::Hash::Sha256), &[1; 32])?;
    ready.rsa_raw(&srk.open(&op)?, &[1; 256])?;

    // A key moves in.
    let root = srk.open(&op)?;
    let arrival = token_key.create_arrival_key(&root, &key_pin)?;
    let software = software();
    let imported = token_key.import(&root, &key_pin, &arrival, &software, Usage::SIGN)?;
    let ready = token_key.load_key(&root, &key_pin, &imported)?;
    ready.sign(&op, Scheme::Ecdsa, &[1; 32])?;
    drop(root);

    // The PIN is changed by the user, and set by the SO, who changes his own.
    let secret = token_key.unseal(&srk.open(&op)?, &key_pin, &sealed)?;
    counter.change_auth(&srk.open(&op)?, (&guard, &secret), &pin, &new_pin)?;
    counter.state(&srk.open(&op)?)?;
    counter.presence(&op)?;
    counter.reset(&srk.open(&op)?, &so, &so_pin, LIMIT)?;
    counter.set_auth(&srk.open(&op)?, &so, &so_pin, &pin)?;
    if kind == Kind::Lockout {
        token_key = token_key.change_auth(&srk.open(&op)?, &pin, &new_pin)?;
        token_key = token_key.reset_auth(&srk.open(&op)?, &so, &so_pin, &pin)?;
    }
    token_key.check(&srk.open(&op)?)?;
    so.verify(&srk.open(&op)?, &so_pin)?;
    so.secret(&srk.open(&op)?, &so_pin)?;
    so.change_auth(&srk.open(&op)?, &so_pin, &new_so_pin)?;

    // What anybody may ask, and the end.
    info::read(&op)?;
    info::key_types(&op)?;
    Capabilities::read(&op)?;
    Capabilities::read_authentic(&srk.open(&op)?)?;
    persistent::list(&op)?;
    PinCounter::list(&op)?;
    random::bytes(&op, 20)?;
    selftest::full(&op)?;
    selftest::algorithms(&op, &[0x000b])?;
    selftest::result(&op)?;
    srk.has_password(&op)?;
    counter.undefine(&srk.open(&op)?, &owner)?;
    let new = auth(NEW_PASSWORD);
    ownership::change_auth(&srk.open(&op)?, Hierarchy::Owner, &auth(OWNER), &new)?;
    ownership::clear(&op, Some(&srk), &auth(LOCKOUT))?;
    drop(op);
    Ok(tap.exchanges())
}
