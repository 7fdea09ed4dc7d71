//! What the result of an operation is worth.

use tpm_core::{
    ArrivalKey, AttestationKey, Blob, Capabilities, Certified, ChangeGuard, GuardAuth, KeyBlob,
    KeyType, PinCounter, ReadyKey, Scheme, SoObject, Srk, TokenKey, Usage,
};

use crate::world::{LIMIT, NEW_PIN, NEW_SO_PIN, PIN, PROBE, SO_PIN, World, auth};

/// A result, which is compared with that of an undisturbed run.
#[derive(Debug)]
pub(crate) enum Done {
    /// As text.
    Text(String),
    /// A key of the token, to be loaded in the chip and used.
    Key(Blob),
    /// A key that is loaded.
    Ready(Box<ReadyKey>),
    /// A sealed value of the token.
    Sealed(Blob),
    TokenKey(Box<TokenKey>),
    AttestationKey(Box<AttestationKey>),
    /// The certificate of the world's key.
    Certified(Box<Certified>),
    /// An arrival key, below which a key is then imported.
    Arrival(ArrivalKey),
    /// A key that came from outside.
    Imported(Box<KeyBlob>),
    So(SoObject),
    Guard(ChangeGuard),
    Srk(Srk),
    /// The guard's secret.
    Secret(GuardAuth),
    /// The chip's capabilities, or fewer: refusals are not authenticated, so a forged one can remove some.
    Capabilities(Box<Capabilities>),
}

impl Done {
    pub(crate) fn debug(value: impl std::fmt::Debug) -> Self {
        Self::Text(format!("{value:?}"))
    }

    /// Nothing but success.
    pub(crate) fn nothing(_: ()) -> Self {
        Self::Text("done".to_owned())
    }

    /// What it is worth with the real chip, as text.
    pub(crate) fn worth(self, world: &World) -> String {
        match self {
            Self::Text(text) => text,
            other => match other.try_out(world) {
                Ok(text) => text,
                Err(err) => format!("worthless: {err:?}"),
            },
        }
    }

    fn try_out(self, world: &World) -> tpm_core::Result<String> {
        let tpm = world.direct();
        let op = tpm.begin()?;
        let (srk, pin) = (&world.srk, world.pin());
        match self {
            Self::Text(text) => Ok(text),
            Self::Srk(found) => {
                // The chip has it, and holds the private half.
                found.check(&op)?;
                // Handle, Name; then type, name algorithm, attributes, policy, AES-128-CFB, scheme.
                let bytes = found.to_bytes();
                let public = &bytes[4 + 36 + 2..];
                Ok(format!("a storage root key: {:02x?}", &public[2..18]))
            }
            Self::Key(blob) => {
                let key = KeyBlob::parse(blob)?;
                let ready = world.token_key.load_key(&srk.open(&op)?, &pin, &key)?;
                ready.sign(&op, Scheme::Ecdsa, &[7; 32])?;
                Ok(format!("{} {:?} that signs", key.key_type(), key.usage()))
            }
            Self::AttestationKey(key) => {
                let root = srk.open(&op)?;
                let ready = world.token_key.load_key(&root, &pin, &world.key)?;
                key.certify(&root, &ready, &[7; 32])?;
                Ok("certifies".to_owned())
            }
            // Verified again, without the check that `certify` does. The chip's time differs from run to run.
            Self::Certified(certified) => {
                let found = world.attestation().look(world, &certified);
                assert_eq!(found, "true true true true true true");
                Ok(found)
            }
            Self::Arrival(arrival) => {
                let (root, software) = (srk.open(&op)?, &world.software);
                let key = world
                    .token_key
                    .import(&root, &pin, &arrival, software, Usage::SIGN)?;
                let ready = world.token_key.load_key(&root, &pin, &key)?;
                ready.sign(&op, Scheme::Ecdsa, &[7; 32])?;
                Ok("imports a key that signs".to_owned())
            }
            Self::Imported(key) => {
                let ready = world.token_key.load_key(&srk.open(&op)?, &pin, &key)?;
                ready.sign(&op, Scheme::Ecdsa, &[7; 32])?;
                let whose = *key.public() == *world.software.public();
                Ok(format!(
                    "{} {:?}, the right one: {whose}",
                    key.key_type(),
                    key.origin()
                ))
            }
            Self::Ready(ready) => {
                ready.sign(&op, Scheme::Ecdsa, &[7; 32])?;
                Ok(format!("{} that signs", ready.name()))
            }
            Self::Sealed(blob) => {
                let secret = world.token_key.unseal(&srk.open(&op)?, &pin, &blob)?;
                Ok(format!("seals {}", right(world, &op, &secret)))
            }
            Self::TokenKey(key) => {
                let mut text = format!("{:?}", key.wall());
                for value in [PIN, NEW_PIN] {
                    let pin = world.kind.pin(value);
                    let opened = key.verify(&srk.open(&op)?, &pin).is_ok();
                    text += &format!(" {opened}");
                    if opened {
                        let make = (KeyType::EccP256, Usage::SIGN);
                        let blob = key.create_key(&srk.open(&op)?, &pin, make.0, make.1)?;
                        let key_blob = KeyBlob::parse(blob)?;
                        let ready = key.load_key(&srk.open(&op)?, &pin, &key_blob)?;
                        ready.sign(&op, Scheme::Ecdsa, &[7; 32])?;
                    }
                }
                Ok(text)
            }
            Self::So(so) => {
                let mut text = String::new();
                for value in [SO_PIN, NEW_SO_PIN] {
                    text += match so.secret(&srk.open(&op)?, &auth(value)) {
                        Ok(secret) => right(world, &op, &secret),
                        Err(_) => "refuses ",
                    };
                }
                Ok(text)
            }
            Self::Capabilities(found) => {
                let mut real = Capabilities::read(&op)?;
                let lists = [
                    (&found.curves, &mut real.curves),
                    (&found.rsa_bits, &mut real.rsa_bits),
                ];
                for (found, real) in lists {
                    real.retain(|one| found.contains(one));
                }
                let no_more = *found == real;
                Ok(format!("no more than the chip has: {no_more}"))
            }
            Self::Secret(secret) => Ok(right(world, &op, &secret).to_owned()),
            Self::Guard(guard) => {
                let counter = PinCounter::from_parts(PROBE, world.so.name(), guard.name());
                let so = (&world.so, auth(SO_PIN));
                counter.define(
                    &srk.open(&op)?,
                    &world.owner,
                    so.0,
                    &so.1,
                    &auth(PIN),
                    LIMIT,
                )?;
                let secret = auth(crate::world::SECRET);
                counter.change_auth(
                    &srk.open(&op)?,
                    (&guard, &secret),
                    &auth(PIN),
                    &auth(NEW_PIN),
                )?;
                counter.undefine(&srk.open(&op)?, &world.owner)?;
                Ok("guards".to_owned())
            }
        }
    }
}

/// Whether a secret is the guard's: values cannot be compared, but the chip does it.
fn right(world: &World, op: &tpm_core::Operation<'_>, secret: &GuardAuth) -> &'static str {
    let change = |from: &[u8], to: &[u8]| {
        let guard = (&world.guard, secret);
        let counter = &world.counter;
        counter.change_auth(&world.srk.open(op)?, guard, &auth(from), &auth(to))
    };
    match change(PIN, NEW_PIN).and_then(|()| change(NEW_PIN, PIN)) {
        Ok(()) => "the secret ",
        Err(_) => "something else ",
    }
}
