//! Makes a key in a TPM for an SSH login, behind a PIN that the TPM counts, and tries it:
//! `outside swtpm:host=127.0.0.1,port=2321`.
//!
//! It knows of the libraries what their documentation says, and nothing of the rest of the
//! repository.

use std::{env, error::Error};

use ssh_format::Curve;
use tpm_core::{
    ChangeGuard, GuardAuth, KeyBlob, KeyType, OwnerAuth, PinAuth, PinCounter, PublicKey, Scheme,
    SoAuth, SoObject, Srk, TokenKey, Tpm, Usage,
};

fn main() -> Result<(), Box<dyn Error>> {
    let tcti = env::args().nth(1).ok_or("which TPM? swtpm:host=…,port=…")?;
    let tpm = Tpm::new(tcti.parse()?);
    let op = tpm.begin()?;
    let owner = OwnerAuth::empty();
    let srk = Srk::find_or_create(&op, &owner)?;
    let root = srk.open(&op)?;

    let (so_pin, pin, secret) = (SoAuth::random(), PinAuth::random(), GuardAuth::random());
    let so = SoObject::create(&root, &so_pin, &secret)?;
    let guard = ChangeGuard::create(&root, &secret)?;
    let counter = PinCounter::from_parts(PinCounter::pick_handle(&op)?, so.name(), guard.name());
    counter.define(&root, &owner, &so, &so_pin, &pin, 5)?;
    let token_key = TokenKey::behind_counter(&root, counter.clone())?;

    let made = token_key.create_key(&root, &pin, KeyType::EccP256, Usage::SIGN)?;
    // What a program keeps between two runs are bytes.
    let (stored_key, stored_root) = (made, srk.to_bytes());
    let key = KeyBlob::parse(stored_key)?;
    let srk = Srk::from_bytes(&stored_root)?;
    let root = srk.open(&op)?;

    let PublicKey::Ecc { x, y, .. } = key.public() else {
        return Err("an ECC key was made".into());
    };
    let line = ssh_format::PublicKey::ecdsa(Curve::NistP256, x, y)?;
    println!("{}", line.authorized_keys_line("outside"));

    let ready = token_key.load_key(&root, &pin, &key)?;
    let digest = [0x5a; 32];
    let signature = ready.sign(&op, Scheme::Ecdsa, &digest)?;
    if !key.public().verify(Scheme::Ecdsa, &digest, &signature) {
        return Err("a wrong signature".into());
    }
    let wrong = token_key.load_key(&root, &PinAuth::random(), &key);
    println!("a wrong PIN: {}", wrong.err().ok_or("it was accepted")?);
    println!("tries left: {}", counter.state(&root)?.left());
    counter.undefine(&root, &owner)?;
    Ok(())
}
