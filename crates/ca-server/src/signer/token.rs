//! The authority's keys in a token of the store: the TPM signs for the node itself, without an agent beside it.
//!
//! One thread uses the token, and requests wait in its queue, because a TPM makes one signature at a time.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use anyhow::{Context, bail};
use ssh_format::{AnyKey, Signature};
use token_store::{Config, Error as StoreError, Key, OpenToken, Pin, Store, StoreDir};
use tpm_core::Tpm;

use super::{Signer, failed, harden};
use crate::Refusal;
use crate::files;
use crate::policy::TokenPlace;

/// The longest time for a signature, including the wait in the queue.
const PATIENCE: Duration = Duration::from_secs(10);
/// The most requests in the queue, which is more than there are workers.
const QUEUE: usize = 64;
/// The longest file with a PIN, in bytes.
const MAX_PIN_FILE: u64 = 4096;

/// A request to the thread, and the channel for its answer.
enum Ask {
    Sign(AnyKey, Vec<u8>, SyncSender<anyhow::Result<Signature>>),
    /// The index of the first of these keys that the token does not have.
    Lacks(Vec<AnyKey>, SyncSender<anyhow::Result<Option<usize>>>),
}

/// A token of the store.
#[derive(Debug)]
pub struct InToken {
    label: String,
    asks: SyncSender<Ask>,
}

impl InToken {
    /// The token at `place`. It is opened for the first request, and again after an error.
    ///
    /// # Errors
    ///
    /// If the thread cannot be started.
    pub fn new(place: TokenPlace) -> std::io::Result<Self> {
        // Reads a file in /proc to decide whether the environment can be trusted. A hardened process cannot open it, so this comes first.
        let _ = StoreDir::for_user();
        harden();
        let (asks, queue) = sync_channel(QUEUE);
        let label = place.label.clone();
        let worker = Worker {
            place,
            open: None,
            refused: None,
        };
        std::thread::Builder::new()
            .name("signer".to_owned())
            .spawn(move || worker.run(&queue))?;
        Ok(Self { label, asks })
    }

    fn ask<T>(&self, ask: impl FnOnce(SyncSender<anyhow::Result<T>>) -> Ask) -> Result<T, Refusal> {
        let (answer, answered) = sync_channel(1);
        let why = |why: &str| failed(format!("the token \"{}\" {why}", self.label));
        self.asks.try_send(ask(answer)).map_err(|err| match err {
            TrySendError::Full(_) => why("has too much to sign"),
            TrySendError::Disconnected(_) => why("has no thread any more"),
        })?;
        match answered.recv_timeout(PATIENCE) {
            Ok(done) => done.map_err(|err| why(&format!("does not sign: {err:#}"))),
            Err(RecvTimeoutError::Timeout) => Err(why("does not answer in time")),
            Err(RecvTimeoutError::Disconnected) => Err(why("has no thread any more")),
        }
    }
}

impl Signer for InToken {
    fn sign(&self, key: &AnyKey, data: &[u8]) -> Result<Signature, Refusal> {
        self.ask(|answer| Ask::Sign(key.clone(), data.to_vec(), answer))
    }

    fn unlisted<'a>(&self, keys: &[&'a AnyKey]) -> Result<Option<&'a AnyKey>, Refusal> {
        let all = keys.iter().map(|it| (*it).clone()).collect();
        let lacks = self.ask(|answer| Ask::Lacks(all, answer))?;
        Ok(lacks.and_then(|index| keys.get(index).copied()))
    }
}

/// The state of the thread.
struct Worker {
    place: TokenPlace,
    open: Option<Opened>,
    /// Why the PIN was refused. A wrong PIN is not tried again, because the TPM counts each try.
    refused: Option<String>,
}

struct Opened {
    store: Store,
    token: OpenToken,
    keys: HashMap<Vec<u8>, Arc<Key>>,
}

impl Worker {
    fn run(mut self, queue: &Receiver<Ask>) {
        while let Ok(ask) = queue.recv() {
            // Sending fails if the caller has stopped waiting, which does not matter.
            match ask {
                Ask::Sign(key, data, answer) => drop(answer.send(self.sign(&key, &data))),
                Ask::Lacks(keys, answer) => drop(answer.send(self.lacks(&keys))),
            }
        }
    }

    fn sign(&mut self, key: &AnyKey, data: &[u8]) -> anyhow::Result<Signature> {
        let opened = self.opened()?;
        let Some(found) = opened.keys.get(key.blob()) else {
            bail!("it has no key {}", key.fingerprint());
        };
        let signed = ssh_keys::sign(&opened.token, found, data);
        if signed.is_err() {
            self.open = None;
        }
        Ok(signed?)
    }

    fn lacks(&mut self, keys: &[AnyKey]) -> anyhow::Result<Option<usize>> {
        let opened = self.opened()?;
        let is_here = |key: &AnyKey| opened.keys.contains_key(key.blob());
        Ok(keys.iter().position(|key| !is_here(key)))
    }

    /// The open token. It is opened again if its PIN was changed since.
    fn opened(&mut self) -> anyhow::Result<&Opened> {
        if let Some(why) = &self.refused {
            bail!("{why}; the PIN is not tried again before the node is restarted");
        }
        let is_current = |it: &Opened| {
            let token = it.store.token(it.token.token());
            token.is_ok_and(|token| it.token.is_current(&token))
        };
        if !self.open.as_ref().is_some_and(is_current) {
            self.open = None;
            match open(&self.place) {
                Ok(opened) => self.open = Some(opened),
                Err(err) => {
                    let refused = err.downcast_ref::<StoreError>();
                    if matches!(refused, Some(StoreError::WrongPin { .. })) {
                        self.refused = Some(format!("{err:#}"));
                    }
                    return Err(err);
                }
            }
        }
        self.open.as_ref().context("it is not open")
    }
}

fn open(place: &TokenPlace) -> anyhow::Result<Opened> {
    let dir = match &place.store {
        Some(dir) => StoreDir::at(dir)?,
        None => StoreDir::for_user()?,
    };
    let store = Store::open(&dir)?;
    let tpm = Arc::new(Tpm::new(Config::load()?.tcti(None)?.tcti));
    let token = store.find_token(&place.label)?;
    let pin = place.pin.as_deref().map(read_pin).transpose()?;
    let open = OpenToken::open(&store, &tpm, &token, pin.as_ref())?;
    let mut keys = HashMap::new();
    for object in store.objects(token.id)? {
        let Some(key) = object.key() else { continue };
        if let Ok(public) = ssh_keys::public_key(key.public()) {
            keys.insert(public.blob().to_vec(), Arc::clone(key));
        }
    }
    Ok(Opened {
        store,
        token: open,
        keys,
    })
}

/// Reads the PIN from a file that only this user can read. A name without a directory is a credential of systemd.
///
/// systemd keeps credentials in a directory that only the user of the unit can read. If its file system has access control lists, the mode of
/// a credential shows their mask in the place of the group (0440), so the mode is not checked.
///
/// # Errors
///
/// If it cannot be read, others can read it, or it is no PIN.
///
/// # Source
///
/// systemd.exec(5), "Credentials".
pub(crate) fn read_pin(file: &Path) -> anyhow::Result<Pin> {
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY");
    let credential = credentials.filter(|_| file.components().count() == 1);
    let (path, text) = match credential {
        Some(dir) => {
            let path = PathBuf::from(dir).join(file);
            let text = files::read_private(&path, MAX_PIN_FILE)?;
            (path, text)
        }
        None => (file.to_owned(), files::read_secret(file, MAX_PIN_FILE)?),
    };
    let pin = text.strip_suffix('\n').unwrap_or(&text);
    Pin::new(pin.as_bytes()).with_context(|| format!("the PIN in {}", path.display()))
}
