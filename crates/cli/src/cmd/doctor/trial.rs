//! The life of a throw-away token, to see what a chip does.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use serde::Serialize;
use token_store::token::{self, InitOptions};
use token_store::{KeySpec, OpenToken, Pin, SoPin, Store, StoreDir, Token};
use tpm_core::{Capabilities, Hash, KeyType, OwnerAuth, Scheme, Tpm, random};

use crate::show::output::error_line;
use crate::show::progress;

/// One step of the trial: its time and its result.
#[derive(Debug, Serialize)]
pub(super) struct Step {
    step: String,
    ms: f64,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// The name of the operation in the report's table of times.
    #[serde(skip)]
    operation: Option<&'static str>,
}

impl Step {
    /// The name of the operation and its time in milliseconds.
    pub(super) fn latency(&self) -> Option<(&'static str, f64)> {
        self.operation
            .filter(|_| self.error.is_none())
            .map(|operation| (operation, self.ms))
    }
}

/// Makes a token in a store of its own, a key of each kind that the chip makes, and signatures
/// with each hash that SSH uses; changes its PIN and deletes it.
///
/// # Errors
///
/// If there is no place for the store. What the chip refuses is a step that failed.
pub(super) fn live(tpm: &Arc<Tpm>, can: &Capabilities) -> anyhow::Result<Vec<Step>> {
    let dir = tempfile::Builder::new()
        .prefix("tpmssh-trial-")
        .tempdir()
        .context("no place for a throw-away store")?;
    let store = Store::open_or_create(&StoreDir::at(dir.path().join("store"))?)?;
    let mut trial = Trial {
        tpm,
        store,
        steps: Vec::new(),
    };
    trial.run(can);
    Ok(trial.steps)
}

struct Trial<'a> {
    tpm: &'a Arc<Tpm>,
    store: Store,
    steps: Vec<Step>,
}

impl Trial<'_> {
    fn run(&mut self, can: &Capabilities) -> Option<()> {
        let tpm = Arc::clone(self.tpm);
        self.step("random", Some("get_random32"), |_| {
            let op = tpm.begin().map_err(token_store::Error::from)?;
            Ok(random::bytes(&op, 32).map_err(token_store::Error::from)?)
        });
        let (pin, new) = (SoPin::generate(), SoPin::generate());
        let pin = Pin::new(pin.reveal().as_bytes()).ok()?;
        let new = Pin::new(new.reveal().as_bytes()).ok()?;
        let so = SoPin::generate();
        let token = self.step("init", None, |trial| {
            let options = InitOptions::new("trial");
            let owner = OwnerAuth::empty();
            let made = token::init(
                &mut trial.store,
                &tpm,
                &options,
                Some(&so),
                Some(&pin),
                &owner,
            )?;
            Ok(made.token)
        })?;
        self.use_keys(can, &token, &pin);
        self.step("change-pin", None, |trial| {
            Ok(token::change_pin(
                &mut trial.store,
                &tpm,
                &token,
                &pin,
                &new,
            )?)
        });
        self.step("delete", None, |trial| {
            let token = trial.store.token(token.id)?;
            Ok(token::delete(
                &mut trial.store,
                &tpm,
                &token,
                &OwnerAuth::empty(),
            )?)
        })
    }

    fn use_keys(&mut self, can: &Capabilities, token: &Token, pin: &Pin) -> Option<()> {
        let tpm = Arc::clone(self.tpm);
        let open = self.step("login", None, |trial| {
            Ok(OpenToken::open(&trial.store, &tpm, token, Some(pin))?)
        })?;
        for key_type in can.key_types() {
            let made = self.step(&format!("keygen {key_type}"), making(key_type), |trial| {
                let spec = KeySpec::new(key_type, key_type.name());
                let mut make = || open.generate(&mut trial.store, &spec);
                let what = format!("the TPM makes an {key_type} key");
                Ok(if key_type.is_rsa() {
                    progress::while_running(&tpm, &what, make)?
                } else {
                    make()?
                })
            });
            let Some(pair) = made else { continue };
            let key = pair.private.key()?;
            for (scheme, name, hash) in schemes(key_type) {
                let digest = vec![0x5a; hash.size()];
                // The first signature loads the key.
                self.step(&format!("sign {key_type} {name} first"), None, |_| {
                    Ok(open.sign(key, scheme, &digest)?)
                });
                let operation = signing(key_type, can.has_hash(hash));
                self.step(&format!("sign {key_type} {name}"), operation, |_| {
                    Ok(open.sign(key, scheme, &digest)?)
                });
            }
        }
        Some(())
    }

    /// Does something, and notes its time and its failure.
    fn step<T>(
        &mut self,
        step: &str,
        operation: Option<&'static str>,
        work: impl FnOnce(&mut Self) -> anyhow::Result<T>,
    ) -> Option<T> {
        let start = Instant::now();
        let done = work(self);
        let ms = (start.elapsed().as_secs_f64() * 10_000.0).round() / 10.0;
        self.steps.push(Step {
            step: step.to_owned(),
            ms,
            error: done.as_ref().err().map(error_line),
            operation,
        });
        done.ok()
    }
}

fn making(key_type: KeyType) -> Option<&'static str> {
    match key_type {
        KeyType::EccP256 => Some("create_ecc256"),
        KeyType::EccP384 => Some("create_ecc384"),
        KeyType::Rsa2048 => Some("create_rsa2048"),
        KeyType::Rsa3072 => Some("create_rsa3072"),
        _ => None,
    }
}

/// The operation that signs. If the chip lacks the hash, that is the private operation without padding.
fn signing(key_type: KeyType, has_hash: bool) -> Option<&'static str> {
    match (key_type, has_hash) {
        (KeyType::EccP256, _) => Some("sign_ecc256"),
        (KeyType::EccP384, _) => Some("sign_ecc384"),
        (KeyType::Rsa2048, true) => Some("sign_rsa2048"),
        (KeyType::Rsa2048, false) => Some("rsa_decrypt2048"),
        (KeyType::Rsa3072, true) => Some("sign_rsa3072"),
        (KeyType::Rsa3072, false) => Some("rsa_decrypt3072"),
        _ => None,
    }
}

/// The signature schemes of SSH for a key of this kind.
fn schemes(key_type: KeyType) -> Vec<(Scheme, &'static str, Hash)> {
    if key_type.is_rsa() {
        vec![
            (Scheme::RsaPkcs1(Hash::Sha256), "sha256", Hash::Sha256),
            (Scheme::RsaPkcs1(Hash::Sha512), "sha512", Hash::Sha512),
        ]
    } else {
        vec![(Scheme::Ecdsa, "ecdsa", Hash::Sha256)]
    }
}
