//! Makes a key in a TPM and signs with it:
//! `cargo run --example sign -- swtpm:host=127.0.0.1,port=2321`
//! (any TPM will do; without an argument, the kernel's).
//!
//! The key has no PIN: whoever has its blob and this machine can use it. `pin_counter.rs` shows a
//! key behind a PIN. Nothing but the storage root key stays in the TPM.

use std::{
    env,
    error::Error,
    io::{self, Write},
};

use tpm_core::{KeyBlob, KeyType, OwnerAuth, PinAuth, Scheme, Srk, TokenKey, Tpm, Usage};

fn main() -> Result<(), Box<dyn Error>> {
    let tcti = env::args().nth(1);
    let tcti = tcti.as_deref().unwrap_or("device");
    run(&Tpm::new(tcti.parse()?), &mut io::stdout())
}

pub(crate) fn run(tpm: &Tpm, out: &mut dyn Write) -> Result<(), Box<dyn Error>> {
    let op = tpm.begin()?;
    let srk = Srk::find_or_create(&op, &OwnerAuth::empty())?;
    let root = srk.open(&op)?;

    // A token key is the parent of signing keys. A PIN, if there is one, protects the token key.
    let token_key = TokenKey::without_pin(&root)?;
    let none = PinAuth::empty();
    let blob = token_key.create_key(&root, &none, KeyType::EccP256, Usage::SIGN)?;
    // A program would store `srk.to_bytes()`, `token_key.blob()` and `blob`, and later check them:
    // `Srk::from_bytes`, `TokenKey::from_parts` and `KeyBlob::parse`.
    let key = KeyBlob::parse(blob)?;
    writeln!(out, "made a key: {} {}", key.key_type(), key.name())?;

    let ready = token_key.load_key(&root, &none, &key)?;
    let digest = [0x5a; 32];
    let signature = ready.sign(&op, Scheme::Ecdsa, &digest)?;
    writeln!(
        out,
        "the signature is right: {}",
        key.public().verify(Scheme::Ecdsa, &digest, &signature)
    )?;
    Ok(())
}
