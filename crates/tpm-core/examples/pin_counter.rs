//! The life of a PIN counter:
//! `cargo run --example pin_counter -- swtpm:host=127.0.0.1,port=2321`
//! (any TPM will do; without an argument, the kernel's).
//!
//! The TPM itself counts wrong PINs of one token. At the limit it refuses the right PIN too, until
//! the security officer (SO) resets the counter. Nothing but the storage root key stays in the TPM.

use std::{
    env,
    error::Error as StdError,
    io::{self, Write},
};

use tpm_core::{
    ChangeGuard, Error, GuardAuth, KeyBlob, KeyType, OpenSrk, OwnerAuth, PinAuth, PinCounter,
    Scheme, SoAuth, SoObject, Srk, TokenKey, Tpm, Usage,
};

const LIMIT: u32 = 3;

fn main() -> Result<(), Box<dyn StdError>> {
    let tcti = env::args().nth(1);
    let tcti = tcti.as_deref().unwrap_or("device");
    run(&Tpm::new(tcti.parse()?), &mut io::stdout())
}

pub(crate) fn run(tpm: &Tpm, out: &mut dyn Write) -> Result<(), Box<dyn StdError>> {
    let op = tpm.begin()?;
    let owner = OwnerAuth::empty();
    let srk = Srk::find_or_create(&op, &owner)?;
    let root = srk.open(&op)?;

    // The SO object authorizes writing the counter, the change guard a change of the PIN.
    let so_pin = SoAuth::random();
    let secret = GuardAuth::random();
    let so = SoObject::create(&root, &so_pin, &secret)?;
    let guard = ChangeGuard::create(&root, &secret)?;
    let handle = PinCounter::pick_handle(&op)?;
    let counter = PinCounter::from_parts(handle, so.name(), guard.name());

    // Real programs make this value and the SO's from PINs with a slow hash such as Argon2id.
    let pin = PinAuth::new(b"value of the right PIN")?;
    counter.define(&root, &owner, &so, &so_pin, &pin, LIMIT)?;
    let life = live(
        &root,
        &counter,
        (&so, &so_pin),
        (&guard, &secret),
        &pin,
        out,
    );
    counter.undefine(&root, &owner)?;
    life
}

fn live(
    root: &OpenSrk<'_>,
    counter: &PinCounter,
    (so, so_pin): (&SoObject, &SoAuth),
    change: (&ChangeGuard, &GuardAuth),
    pin: &PinAuth,
    out: &mut dyn Write,
) -> Result<(), Box<dyn StdError>> {
    let token_key = TokenKey::behind_counter(root, counter.clone())?;
    let blob = token_key.create_key(root, pin, KeyType::EccP256, Usage::SIGN)?;
    let key = KeyBlob::parse(blob)?;
    let ready = token_key.load_key(root, pin, &key)?;
    ready.sign(root.op(), Scheme::Ecdsa, &[0x5a; 32])?;
    writeln!(out, "the right PIN: signed")?;

    let wrong = PinAuth::new(b"value of a wrong PIN")?;
    loop {
        match token_key.verify(root, &wrong) {
            Err(err @ Error::AuthRejected { .. }) => writeln!(out, "a wrong PIN: {err}")?,
            Err(Error::PinExhausted) => break,
            other => return Err(format!("not what a wrong PIN gives: {other:?}").into()),
        }
        writeln!(out, "tries left: {}", counter.state(root)?.left())?;
    }
    let refused = token_key.verify(root, pin).err();
    writeln!(
        out,
        "the right PIN now: {}",
        refused.ok_or("it was accepted")?
    )?;

    counter.reset(root, so, so_pin, LIMIT)?;
    token_key.verify(root, pin)?;
    writeln!(out, "after the SO's reset: the PIN is right")?;

    let new = PinAuth::new(b"value of the next PIN")?;
    counter.change_auth(root, change, pin, &new)?;
    token_key.verify(root, &new)?;
    writeln!(out, "the PIN is changed, and the key is the same")?;
    Ok(())
}
