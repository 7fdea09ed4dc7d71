//! The agent itself: what it knows, and what it does with each request.

mod cards;
mod control;
mod open;
pub(crate) mod peer;
mod sign;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use token_store::{Key, StoreDir};
use tokio::sync::Notify;
use tpm_core::Tpm;

use crate::ask::broker::Broker;
use crate::ask::proxy::Upstreams;
use crate::audit::{Audit, Record};
use crate::key::destination;
use crate::key::standing::{Standings, Terms};
use crate::key::store::{Identity, KeyStore, Keys};
use crate::login::chip::Chip;
use crate::login::lock::Lock;
use crate::login::logins::{Logins, Policy};
use crate::machine::mutex::lock;
use crate::protocol::{self, KeyList, Reply, Request};
use crate::request::peer::Peer;
use crate::serve::connection::{Client, Recorded};
use crate::{Error, Result};

/// What an agent works with.
#[derive(Debug)]
pub struct Options {
    /// The TPM.
    pub tpm: Arc<Tpm>,
    /// Where the tokens are kept.
    pub store: StoreDir,
    /// How long PINs are good for.
    pub policy: Policy,
    /// The same for single tokens, by label or serial number.
    pub token_policies: HashMap<String, Policy>,
    /// How a person is asked.
    pub broker: Broker,
    /// The sockets of other agents, which get what this one does not hold.
    pub upstreams: Vec<PathBuf>,
    /// Where what was done is recorded; nowhere if there is none.
    pub audit: Option<PathBuf>,
    /// Whether the desktop shows that a key was used.
    pub notify: bool,
}

/// The state of an agent, shared by the threads of its clients. None of its locks is held while
/// anything is waited for, but for a read of the store and a line of the audit log.
pub(crate) struct Agent {
    keys: Mutex<KeyStore>,
    chip: Chip,
    audit: Option<Mutex<Audit>>,
    standings: Mutex<Standings>,
    logins: Mutex<Logins>,
    /// Told when a token was opened.
    opened: Notify,
    /// Told when there are logins to watch over.
    watch: Notify,
    /// One prompt for a token at a time.
    prompts: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    lock: Lock,
    broker: Broker,
    upstreams: Upstreams,
    policy: Policy,
    token_policies: HashMap<String, Policy>,
    notify: bool,
}

impl Agent {
    pub(crate) fn new(options: Options) -> Result<Self> {
        let audit = match options.audit {
            Some(path) => {
                let audit = Audit::open(&path).map_err(|source| Error::Audit { path, source })?;
                Some(Mutex::new(audit))
            }
            None => None,
        };
        Ok(Self {
            keys: Mutex::new(KeyStore::new(options.store.clone())),
            chip: Chip::new(options.tpm, options.store),
            audit,
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
        })
    }

    /// Does what a message asks for. Never fails: a failure is an answer.
    pub(crate) async fn answer(&self, client: &mut Client<'_>, message: &[u8]) -> Reply {
        let request = match Request::decode(message) {
            Ok(request) => request,
            Err(err) => {
                log::debug!("{}: {err}", client.peer);
                return Reply::Failure;
            }
        };
        match request {
            Request::Extension(name, contents) => {
                self.extension(client, name, contents, message).await
            }
            Request::Unlock(passphrase) => {
                let unlocked = self.lock.unlock(passphrase).await;
                let result = if unlocked { "done" } else { "wrong passphrase" };
                client.record(|| Record::of("unlock", result));
                done(unlocked)
            }
            Request::List if self.lock.is_locked() => Reply::Identities(KeyList::default()),
            _ if self.lock.is_locked() => Reply::Failure,
            Request::List => Reply::Identities(self.list(client).await),
            Request::Sign { key, data, flags } => {
                self.sign(client, key, data, flags, message).await
            }
            Request::AddSoftwareKey => self.add_software_key(client, message).await,
            Request::Remove(key) => self.remove(client, key, message).await,
            Request::RemoveAll => self.remove_all(client, message).await,
            Request::AddCard(card, constraints) => self.add_card(client, &card, &constraints).await,
            Request::RemoveCard(card) => self.remove_card(client, &card).await,
            Request::Lock(passphrase) => {
                let locked = !client.binds.is_bound() && self.lock.lock(passphrase);
                if locked {
                    self.end_logins();
                }
                let result = if locked { "done" } else { "refused" };
                client.record(|| Record::of("lock", result));
                done(locked)
            }
            Request::Unknown(number) => {
                log::debug!("{}: message of type {number}", client.peer);
                Reply::Failure
            }
        }
    }

    async fn extension(
        &self,
        client: &mut Client<'_>,
        name: &str,
        contents: &[u8],
        message: &[u8],
    ) -> Reply {
        match name {
            protocol::QUERY => Reply::Query,
            // Also while locked: what was missed now would later pass for a local connection.
            protocol::SESSION_BIND => self.bind(client, contents, message),
            protocol::UNLOCK => self.unlock_token(client, contents).await,
            protocol::LOCK => self.lock_tokens(client),
            _ if self.lock.is_locked() => Reply::Failure,
            _ => self.pass_on(client, message).await,
        }
    }

    fn bind(&self, client: &mut Client<'_>, contents: &[u8], message: &[u8]) -> Reply {
        let before = (client.binds.list().len(), client.binds.failed());
        let result = client.binds.add(contents);
        // Other agents have to know of what is new, and of the first one that was refused:
        // for them as well the connection must never pass for a local one.
        if before != (client.binds.list().len(), client.binds.failed()) {
            client.bind_messages.push(message.to_vec().into());
        }
        match result {
            Ok(()) => Reply::Success,
            Err(err) => {
                log::warn!("{}: bind refused: {err}", client.peer);
                Reply::ExtensionFailure
            }
        }
    }

    /// What another agent answers; a failure where none knows what to do.
    async fn pass_on(&self, client: &Client<'_>, message: &[u8]) -> Reply {
        match self.upstreams.ask(client.bind_messages, message).await {
            Some(answer) => Reply::Forwarded(answer),
            None => Reply::Failure,
        }
    }

    async fn list(&self, client: &Client<'_>) -> KeyList {
        let mut list = KeyList::default();
        for identity in self.keys().identities.iter() {
            let Some(terms) = self.terms(identity.blob()) else {
                continue;
            };
            if !destination::visible(&terms.destinations, client.binds) {
                continue;
            }
            for blob in terms.listed(identity.blob(), &identity.certificates) {
                list.add(blob, identity.comment.as_bytes());
            }
            if list.is_full() {
                return list;
            }
        }
        for key in self.upstreams.list(client.bind_messages).await {
            list.add(&key.blob, &key.comment);
        }
        list
    }

    /// The keys of the store; none where it cannot be read, which is logged.
    fn keys(&self) -> Arc<Keys> {
        lock(&self.keys).read().unwrap_or_else(|err| {
            log::error!("cannot read the store: {}", chain(&err));
            Arc::default()
        })
    }

    /// The key in the chip of an identity, read from the store when it is first used.
    fn key<'a>(&self, identity: &'a Identity) -> std::result::Result<&'a Key, token_store::Error> {
        match identity.key() {
            Some(key) => Ok(key),
            None => identity.keep_key(lock(&self.keys).key(identity.id)?),
        }
    }

    fn terms(&self, blob: &[u8]) -> Option<Terms> {
        lock(&self.standings).terms(blob)
    }

    /// Ends all logins, as when the agent is locked.
    pub(crate) fn end_logins(&self) {
        lock(&self.logins).end_all();
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

    /// Waits for what was begun, but not for long: the program is to end.
    pub(crate) fn finish(&self) {
        self.end_logins();
        self.chip.finish(std::time::Duration::from_millis(1500));
    }

    /// Writes to the audit log what was done for a client.
    pub(crate) fn record(&self, peer: &Peer, records: Vec<Recorded>) {
        let Some(audit) = &self.audit else {
            return;
        };
        for record in records {
            lock(audit).add(Record {
                pid: peer.pid,
                programs: peer.programs.clone(),
                ..record()
            });
        }
    }
}

fn done(done: bool) -> Reply {
    if done { Reply::Success } else { Reply::Failure }
}

/// An error and its causes in one line.
fn chain(err: &dyn std::error::Error) -> String {
    let mut line = err.to_string();
    let mut next = err.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !line.ends_with(&cause_text) {
            line = format!("{line}: {cause_text}");
        }
        next = cause.source();
    }
    crate::key::store::plain(&line)
}
