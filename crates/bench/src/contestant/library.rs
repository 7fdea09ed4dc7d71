//! tpmssh as a library: the layer below the module and the agent.

use std::{fs, path::Path, sync::Arc};

use anyhow::{Context, Result};
use token_store::{Key, OpenToken, Pin, Store, StoreDir, Token, object::Body};
use tpm_core::{Hash, Scheme, Tpm};

use crate::world::TOKEN;

/// A token that is open, and one of its keys.
pub(super) struct Signer {
    open: OpenToken,
    key: Arc<Key>,
    scheme: Scheme,
    digest: Vec<u8>,
}

impl Signer {
    pub(super) fn open(tcti: &str, store: &Path, pin_file: &Path, label: &str) -> Result<Self> {
        let tpm = Arc::new(Tpm::new(tcti.parse()?));
        let store = Store::open(&StoreDir::at(store.to_owned())?)?;
        let (token, key) = find(&store, label)?;
        let pin = Pin::new(&fs::read(pin_file)?)?;
        let open = OpenToken::open(&store, &tpm, &token, Some(&pin))?;
        let (scheme, digest) = work(&key)?;
        Ok(Self {
            open,
            key,
            scheme,
            digest,
        })
    }

    pub(super) fn sign(&self) -> Result<()> {
        self.open.sign(&self.key, self.scheme, &self.digest)?;
        Ok(())
    }
}

/// The token of the bench, and the key `label` in it.
pub(super) fn find(store: &Store, label: &str) -> Result<(Token, Arc<Key>)> {
    let token = store.find_token(TOKEN)?;
    let objects = store.objects(token.id)?;
    let key = objects.into_iter().find_map(|object| match object.body {
        Body::PrivateKey { key, .. } if object.label == label => Some(key),
        _ => None,
    });
    Ok((token, key.with_context(|| format!("no key {label}"))?))
}

/// The scheme and the digest that each contestant signs with `key`.
pub(super) fn work(key: &Key) -> Result<(Scheme, Vec<u8>)> {
    let bits = key.key_type().bits();
    Ok(if key.key_type().is_rsa() {
        (Scheme::RsaPkcs1(Hash::Sha256), vec![0x5a; 32])
    } else {
        let digest = match bits {
            256 => 32,
            384 => 48,
            _ => 64,
        };
        (Scheme::Ecdsa, vec![0x5a; digest])
    })
}
