//! Makes a key in a TPM and signs with it: `cargo run --example sign -- swtpm:host=127.0.0.1,port=2321`
//! (any TPM will do; with no argument, `/dev/tpmrm0`).
//!
//! The key lives behind a PIN that the chip itself counts. Nothing is left in the chip but
//! the storage root key: the PIN counter is removed at the end.

use std::{env, error::Error};

use tpm_core::{
    AuthValue, ChangeGuard, KeyBlob, KeyType, PinCounter, Scheme, SoObject, Srk, TokenKey, Tpm,
    Usage, Wall,
};

fn main() -> Result<(), Box<dyn Error>> {
    let tcti = env::args()
        .nth(1)
        .unwrap_or_else(|| "device:/dev/tpmrm0".to_owned());
    let tpm = Tpm::new(tcti.parse()?);
    let op = tpm.begin()?;
    let owner = AuthValue::empty();
    let srk = Srk::find_or_create(&op, &owner)?;

    // In a real program both values come from PINs, through a slow hash.
    let (so_pin, pin) = (AuthValue::random(), AuthValue::random());
    let secret = AuthValue::random();
    let so = SoObject::create(&op, &srk, &so_pin, &secret)?;
    let guard = ChangeGuard::create(&op, &srk, &secret)?;
    let handle = PinCounter::pick_handle(&op)?;
    let counter = PinCounter::from_parts(handle, so.name(), guard.name());
    counter.define(&op, &srk, &owner, &so, &so_pin, &pin, 5)?;
    let token_key = TokenKey::create(&op, &srk, Wall::Counter(counter.clone()), &owner)?;

    let blob = token_key.create_key(&op, &srk, &pin, KeyType::EccP256, Usage::SIGN)?;
    let key = KeyBlob::parse(blob)?;
    println!("made {} with Name {}", key.key_type(), key.name());

    let ready = token_key.load_key(&op, &srk, &pin, &key)?;
    let digest = [0x5a; 32];
    let signature = ready.sign(&op, Scheme::Ecdsa, &digest)?;
    println!(
        "signed: {}",
        key.public().verify(Scheme::Ecdsa, &digest, &signature)
    );

    let wrong = token_key.load_key(&op, &srk, &so_pin, &key);
    println!(
        "a wrong PIN: {}",
        wrong.err().map_or_else(String::new, |err| err.to_string())
    );
    println!("tries left: {}", counter.state(&op, &srk)?.left());
    counter.undefine(&op, &srk, &owner)?;
    Ok(())
}
