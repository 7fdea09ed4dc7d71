//! A whole life of a token: from taking the chip to clearing it.

use testing::{Exchange, Swtpm, Tap};
use tpm_core::{
    AuthValue, Capabilities, ChangeGuard, KeyBlob, KeyType, PinCounter, Result, Scheme, SoObject,
    Srk, TokenKey, Usage, Wall,
    ek::{self, EkType},
    info,
    lockout::{self, Parameters},
    ownership::{self, Hierarchy},
    persistent, random, selftest,
};

use crate::{
    chip::NEW_PASSWORD,
    world::{
        ENDORSEMENT, Kind, LIMIT, LOCKOUT, NEW_PIN, NEW_SO_PIN, OWNER, PIN, SECRET, SO_PIN, auth,
        tpm,
    },
};

/// Every secret in it, with what it is.
pub(crate) const SECRETS: [(&str, &[u8]); 9] = [
    ("PIN", PIN),
    ("new PIN", NEW_PIN),
    ("SO PIN", SO_PIN),
    ("new SO PIN", NEW_SO_PIN),
    ("secret of the guard", SECRET),
    ("owner password", OWNER),
    ("endorsement password", ENDORSEMENT),
    ("lockout password", LOCKOUT),
    ("new owner password", NEW_PASSWORD),
];

/// What crosses the bus in the life of a token behind `kind`.
pub(crate) fn record(kind: Kind) -> Result<Vec<Exchange>> {
    let swtpm = Swtpm::start();
    let tap = Tap::start(&swtpm);
    let tpm = tpm(&tap.tcti());
    let none = AuthValue::empty();
    let (owner, pin, new_pin) = (auth(OWNER), auth(PIN), auth(NEW_PIN));
    let (so_pin, new_so_pin) = (auth(SO_PIN), auth(NEW_SO_PIN));

    // Ownership. The owner's password is there before the storage root key.
    let op = tpm.begin()?;
    let srk = Srk::find_or_create(&op, &none)?;
    for (hierarchy, value) in [
        (Hierarchy::Owner, OWNER),
        (Hierarchy::Endorsement, ENDORSEMENT),
        (Hierarchy::Lockout, LOCKOUT),
    ] {
        ownership::change_auth(&op, &srk, hierarchy, &none, &auth(value))?;
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
    let so = SoObject::create(&op, &srk, &so_pin, &auth(SECRET))?;
    let guard = ChangeGuard::create(&op, &srk, &auth(SECRET))?;
    let counter = PinCounter::from_parts(PinCounter::pick_handle(&op)?, so.name(), guard.name());
    counter.define(&op, &srk, &owner, &so, &so_pin, &pin, LIMIT)?;
    let wall = match kind {
        Kind::Counter => Wall::Counter(counter.clone()),
        Kind::Lockout => Wall::Lockout {
            so: so.name().clone(),
        },
        Kind::None => Wall::None,
    };
    let mut token_key = TokenKey::create(&op, &srk, wall, &pin)?;
    let sealed = token_key.seal(&op, &srk, &pin, &auth(SECRET))?;

    // Keygen, login, signatures.
    let usage = Usage::SIGN_DECRYPT;
    let ecc = token_key.create_key(&op, &srk, &pin, KeyType::EccP256, usage)?;
    let rsa = token_key.create_key(&op, &srk, &pin, KeyType::Rsa2048, usage)?;
    let (ecc, rsa) = (KeyBlob::parse(ecc)?, KeyBlob::parse(rsa)?);
    let wrong = token_key.verify(&op, &srk, &new_pin);
    assert_eq!(wrong.is_err(), kind != Kind::None);
    token_key.verify(&op, &srk, &pin)?;
    if let Some(ready) = token_key.open(&op, &srk, &pin, Some(&ecc))? {
        ready.sign(&op, Scheme::Ecdsa, &[1; 32])?;
        if let tpm_core::PublicKey::Ecc { x, y, .. } = ecc.public() {
            ready.ecdh(&op, &srk, x, y)?;
        }
    }
    let ready = token_key.load_key(&op, &srk, &pin, &rsa)?;
    ready.sign(&op, Scheme::RsaPkcs1(tpm_core::Hash::Sha256), &[1; 32])?;
    ready.rsa_raw(&op, &srk, &[1; 256])?;

    // The PIN is changed by the user, and set by the SO, who changes his own.
    let secret = token_key.unseal(&op, &srk, &pin, &sealed)?;
    counter.change_auth(&op, &srk, (&guard, &secret), &pin, &new_pin)?;
    counter.state(&op, &srk)?;
    counter.presence(&op)?;
    counter.reset(&op, &srk, &so, &so_pin, LIMIT)?;
    counter.set_auth(&op, &srk, &so, &so_pin, &pin)?;
    if kind == Kind::Lockout {
        token_key = token_key.change_auth(&op, &srk, &pin, &new_pin)?;
        token_key = token_key.reset_auth(&op, &srk, &so, &so_pin, &pin)?;
    }
    token_key.check(&op, &srk)?;
    so.verify(&op, &srk, &so_pin)?;
    so.secret(&op, &srk, &so_pin)?;
    so.change_auth(&op, &srk, &so_pin, &new_so_pin)?;

    // What anybody may ask, and the end.
    info::read(&op)?;
    info::key_types(&op)?;
    Capabilities::read(&op)?;
    Capabilities::read_authentic(&op, &srk)?;
    persistent::list(&op)?;
    PinCounter::list(&op)?;
    random::bytes(&op, 20)?;
    selftest::full(&op)?;
    selftest::algorithms(&op, &[0x000b])?;
    selftest::result(&op)?;
    srk.has_password(&op)?;
    counter.undefine(&op, &srk, &owner)?;
    let new = auth(NEW_PASSWORD);
    ownership::change_auth(&op, &srk, Hierarchy::Owner, &owner, &new)?;
    ownership::clear(&op, Some(&srk), &auth(LOCKOUT))?;
    drop(op);
    Ok(tap.exchanges())
}
