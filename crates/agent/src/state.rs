//! What the agent knows and holds.

use std::collections::HashMap;
use std::env;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use token_store::{Key, StoreDir};
use tokio::sync::Notify;
use tpm_core::{Tcti, Tpm};

use crate::ask::broker::{Broker, Way};
use crate::ask::proxy::Upstreams;
use crate::audit::{Log, Quota};
use crate::error::chain;
use crate::key::identity::Identity;
use crate::key::standing::{Standings, Terms};
use crate::key::store::{KeyStore, Keys};
use crate::login::chip::{self, Chip};
use crate::login::lock::Lock;
use crate::login::logins::{Logins, Policy};
use crate::machine::harden::Writable;
use crate::machine::mutex::lock;
use crate::public_files::PublicFiles;
use crate::{Error, Result};

/// What an agent works with.
#[derive(Debug)]
pub struct Options {
    /// The TPM.
    pub tpm: Arc<Tpm>,
    /// Where the tokens are kept.
    pub store: StoreDir,
    /// The only token whose keys are served, by label or serial number; all without one.
    pub token: Option<String>,
    /// How long PINs are good for.
    pub policy: Policy,
    /// The same for single tokens, by label or serial number.
    pub token_policies: HashMap<String, Policy>,
    /// How a person is asked.
    pub broker: Broker,
    /// The sockets of other agents, which get what this one does not hold.
    pub upstreams: Vec<PathBuf>,
    /// The audit log; `None` if the configuration switches it off.
    pub audit: Option<PathBuf>,
    /// Whether the desktop shows that a key was used.
    pub notify: bool,
    /// Whether RSA keys make signatures with SHA-1 (`ssh-rsa`) for clients that ask for no other.
    pub sha1: bool,
    /// Where files with the public keys are kept up to date.
    pub public_files: Option<PublicFiles>,
}

impl Options {
    /// What an agent with these options has to write to, when its socket was made in
    /// the directory `socket`.
    #[must_use]
    pub fn writable(&self, socket: Option<&Path>) -> Writable {
        let mut writable = Writable::default();
        let runtime = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let runtime = runtime.filter(|dir| dir.is_dir());
        let own = runtime.as_ref().map(|dir| dir.join("tpmssh"));
        let log = self.audit.as_deref().and_then(Path::parent);
        writable.own.extend(own.clone());
        writable.own.push(self.store.path().to_owned());
        writable.own.extend(log.map(Path::to_owned));
        // A symbolic link could lead to files of other programs.
        let files = self.public_files.as_ref().map(PublicFiles::dir);
        let files = files.filter(|dir| !dir.is_symlink());
        writable.own.extend(files.map(Path::to_owned));
        writable.socket = socket.map(Path::to_owned);
        match self.tpm.tcti() {
            Tcti::Device(device) => writable.devices.push(device.clone()),
            Tcti::Kernel => writable.finds_device = true,
            _ => {}
        }
        match self.broker.way() {
            // systemd's programs agree on questions there.
            Ok(Way::Systemd(_)) => writable.prompts.push("/run/systemd/ask-password".into()),
            // Programs of GNOME and GTK tell each other there that settings have changed.
            Ok(_) => writable
                .prompts
                .extend(runtime.map(|dir| dir.join("dconf"))),
            Err(_) => {}
        }
        writable
    }
}

/// The state of an agent, shared by the threads of its clients. None of its locks is held while
/// anything is waited for, but for a read of the store and a line of the audit log.
pub(crate) struct Agent {
    pub(crate) keys: Mutex<KeyStore>,
    pub(crate) chip: Chip,
    pub(crate) audit: Option<Mutex<Log>>,
    pub(crate) audit_path: Option<PathBuf>,
    /// Whether systemd, or another program, made the socket.
    pub(crate) activated: bool,
    pub(crate) only_token: Option<String>,
    pub(crate) quota: Mutex<Quota>,
    /// Notified when a refused request was counted.
    pub(crate) refused: Notify,
    pub(crate) standings: Mutex<Standings>,
    pub(crate) logins: Mutex<Logins>,
    /// Notified when a token was opened.
    pub(crate) opened: Notify,
    /// Notified when a login was kept, so that its end is watched for.
    pub(crate) watch: Notify,
    /// One prompt for a token at a time.
    pub(crate) prompts: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    pub(crate) lock: Lock,
    pub(crate) broker: Broker,
    pub(crate) upstreams: Upstreams,
    pub(crate) policy: Policy,
    pub(crate) token_policies: HashMap<String, Policy>,
    pub(crate) notify: bool,
    pub(crate) sha1: bool,
}

impl Agent {
    /// An agent with these options; `activated` says that another program made its socket.
    pub(crate) fn new(options: Options, activated: bool) -> Result<Self> {
        let audit_path = options.audit.clone();
        let audit = match options.audit {
            Some(path) => {
                let audit = Log::open(&path).map_err(|source| Error::Audit { path, source })?;
                Some(Mutex::new(audit))
            }
            None => None,
        };
        Ok(Self {
            keys: Mutex::new(KeyStore::new(
                options.store.clone(),
                options.token.clone(),
                options.public_files,
            )),
            chip: Chip::new(options.tpm, options.store),
            audit,
            audit_path,
            activated,
            only_token: options.token,
            quota: Mutex::default(),
            refused: Notify::new(),
            standings: Mutex::default(),
            logins: Mutex::default(),
            opened: Notify::new(),
            watch: Notify::new(),
            prompts: Mutex::default(),
            lock: Lock::default(),
            broker: options.broker,
            upstreams: Upstreams::new(options.upstreams),
            policy: options.policy,
            token_policies: options.token_policies,
            notify: options.notify,
            sha1: options.sha1,
        })
    }

    /// The keys of the store; none if it cannot be read, which is logged. Ends the logins to
    /// tokens that the store does not have, or not any more.
    pub(crate) fn keys(&self) -> Arc<Keys> {
        let mut store = lock(&self.keys);
        let keys = store.read().unwrap_or_else(|err| {
            log::error!("cannot read the store: {}", chain(&err));
            Arc::default()
        });
        // If the store is missing for a moment, or cannot be read, the logins stay.
        let is_open = store.is_open();
        drop(store);
        if is_open {
            lock(&self.logins).keep_those(|serial| keys.has_token(serial));
        }
        keys
    }

    /// The key in the chip of an identity, read from the store when it is first used.
    pub(crate) fn key<'a>(
        &self,
        identity: &'a Identity,
    ) -> std::result::Result<&'a Key, token_store::Error> {
        match identity.key() {
            Some(key) => Ok(key),
            None => identity.keep_key(lock(&self.keys).key(identity.id)?),
        }
    }

    pub(crate) fn terms(&self, blob: &[u8]) -> Option<Terms> {
        lock(&self.standings).terms(blob)
    }

    /// Ends all logins, as when the agent is locked.
    pub(crate) fn end_logins(&self) {
        lock(&self.logins).end_all();
    }

    /// Gives the connection to a resource manager back whenever it has not been used for a
    /// while. Never returns.
    pub(crate) async fn rest(self: Arc<Self>) {
        loop {
            self.chip.used().await;
            loop {
                tokio::time::sleep(chip::IDLE).await;
                let agent = self.clone();
                // This saves the context of the loaded key, which can take a slow chip a while.
                let rested = tokio::task::spawn_blocking(move || agent.chip.rest()).await;
                if rested.unwrap_or(true) {
                    break;
                }
            }
        }
    }

    /// Ends logins when their time is over. Never returns.
    pub(crate) async fn watch(&self) {
        /// A timer stops while the machine sleeps, so it is never set for long.
        const LOOK: std::time::Duration = std::time::Duration::from_secs(15);
        loop {
            let (is_empty, next) = {
                let logins = lock(&self.logins);
                (logins.is_empty(), logins.next_end())
            };
            if is_empty {
                self.watch.notified().await;
            } else {
                let _ = tokio::time::timeout(next.unwrap_or(LOOK).min(LOOK), self.watch.notified())
                    .await;
                lock(&self.logins).sweep();
            }
        }
    }
}
