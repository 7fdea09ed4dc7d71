//! What is asked of the agent, by whom, and what is answered.

mod attest;
mod cards;
mod control;
mod open;
pub(crate) mod peer;
pub(crate) mod requester;
mod sign;
mod status;

use std::time::{Duration, Instant};

use crate::audit::{DONE, Record, SPAN};
use crate::key::destination;
use crate::machine::mutex::lock;
use crate::protocol::{self, KeyList, Reply, Request};
use crate::request::peer::Peer;
use crate::request::requester::{Client, Recorded};
use crate::state::Agent;

impl Agent {
    /// Carries out the request in a message. Never fails: a failure is an answer.
    pub(crate) async fn answer(&self, client: &mut Client<'_>, message: &[u8]) -> Reply {
        let request = match Request::decode(message) {
            Ok(request) => request,
            Err(err) => {
                log::debug!("{}: {err}", client.peer);
                return Reply::Failure;
            }
        };
        if client.binds.is_bound()
            && let Some(event) = request.manages()
        {
            return refuse_remote(client, event, &request);
        }
        match request {
            // This agent did its part before it passed the request on.
            Request::List if client.path.comes_back() => Reply::Identities(KeyList::default()),
            Request::RemoveAll if client.path.comes_back() => Reply::Success,
            _ if client.path.comes_back() => Reply::Failure,
            Request::Extension(name, contents) => {
                self.extension(client, name, contents, message).await
            }
            Request::Unlock(passphrase) => {
                let unlocked = self.lock.unlock(passphrase).await;
                let result = if unlocked { DONE } else { "wrong passphrase" };
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
                let locked = self.lock.lock(passphrase);
                if locked {
                    self.end_logins();
                }
                let result = if locked { DONE } else { "refused" };
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
            // Also while locked: without this bind the connection would count as local later.
            protocol::SESSION_BIND => self.bind(client, contents, message),
            protocol::PROXY_PATH => done(self.upstreams.came_by(client.path, contents)),
            protocol::UNLOCK => self.unlock_token(client, contents).await,
            protocol::LOCK => self.lock_tokens(client),
            protocol::STATUS => self.status().await,
            protocol::ATTEST => self.attest(client, contents).await,
            _ if self.lock.is_locked() => Reply::Failure,
            _ => self.pass_on(client, message).await,
        }
    }

    fn bind(&self, client: &mut Client<'_>, contents: &[u8], message: &[u8]) -> Reply {
        let before = (client.binds.list().len(), client.binds.failed());
        let result = client.binds.add(contents);
        // The other agents get each new bind and the first refused one: for them the connection
        // must not count as local either.
        if before != (client.binds.list().len(), client.binds.failed()) {
            client.bind_messages.push(message.to_vec().into());
        }
        match result {
            Ok(()) => Reply::Success,
            Err(err) => {
                let result = err.to_string();
                client.record(move || Record::of("bind", &result));
                Reply::ExtensionFailure
            }
        }
    }

    /// The answer of another agent; a failure if none can carry out the request.
    async fn pass_on(&self, client: &Client<'_>, message: &[u8]) -> Reply {
        match self.upstreams.ask(client.passing(), message).await {
            Some(answer) => Reply::Forwarded(answer),
            None => Reply::Failure,
        }
    }

    /// The keys that a client may use. Keys of authorities are left out, because nobody logs in with
    /// them: a server would count each as a failed try, and `ssh-copy-id` would let them in. Only
    /// `ssh-keygen` sees them, since `ssh-keygen -Us` certifies only with a key that is listed.
    async fn list(&self, client: &Client<'_>) -> KeyList {
        let sees_authorities = client.peer.is("ssh-keygen") && !client.binds.is_bound();
        let mut list = KeyList::default();
        for identity in self.keys().identities.iter() {
            if identity.is_authority && !sees_authorities {
                continue;
            }
            let Some(terms) = self.terms(identity.blob()) else {
                continue;
            };
            if !destination::visible(&terms.destinations, client.binds) {
                continue;
            }
            for blob in terms.listed(identity.blob(), &identity.certificates) {
                list.add(blob, identity.comment().as_bytes());
            }
            if list.is_full() {
                return list;
            }
        }
        for key in self.upstreams.list(client.passing()).await {
            list.add(&key.blob, &key.comment);
        }
        list
    }

    /// Writes what was done for a client to the audit log, and refusals also to the program's log. Of many refusals only some are listed: see [`crate::audit::Quota`].
    pub(crate) fn record(&self, peer: &Peer, records: Vec<Recorded>) {
        let mut listed = Vec::with_capacity(records.len());
        for record in records {
            let record = Record {
                pid: peer.pid,
                programs: peer.programs.clone(),
                ..record()
            };
            if !record.is_done() {
                self.refused.notify_one();
                if !lock(&self.quota).admits(&record, Instant::now()) {
                    continue;
                }
                warn(peer, &record);
            }
            listed.push(record);
        }
        self.write(listed);
    }

    fn write(&self, mut records: Vec<Record>) {
        if let Some(audit) = self.audit.as_ref().filter(|_| !records.is_empty()) {
            lock(audit).add(&mut records);
        }
    }

    /// Records the refusals that were only counted, when their [`SPAN`] is over. Never returns.
    pub(crate) async fn tell_refusals(&self) {
        loop {
            self.refused.notified().await;
            while !lock(&self.quota).is_empty() {
                tokio::time::sleep(SPAN / 10).await;
                let left_out = lock(&self.quota).settle(Some(Instant::now()));
                self.write(left_out);
            }
        }
    }

    /// Waits for running requests, for a limited time because the program has to end.
    pub(crate) fn finish(&self) {
        self.end_logins();
        self.chip.finish(Duration::from_millis(1500));
    }

    /// Records all refusals that were only counted. For the end, when no client is left: a client's
    /// records may be written after its answers.
    pub(crate) fn tell_all_refusals(&self) {
        let left_out = lock(&self.quota).settle(None);
        self.write(left_out);
    }
}

fn warn(peer: &Peer, record: &Record) {
    let what = record.label.as_deref().or(record.purpose.as_deref());
    let what = what.map_or_else(String::new, |what| format!(" \"{what}\""));
    log::warn!("{peer}: {}{what}: {}", record.event, record.result);
}

/// A connection that was bound to a server, or whose bind was refused, may come from another
/// machine: it lists and signs, and manages nothing. It is refused before a PIN or passphrase is
/// looked at, so it spends no try and does not lengthen the delay after wrong passphrases, for
/// which the owner would have to wait.
fn refuse_remote(client: &Client<'_>, event: &'static str, request: &Request<'_>) -> Reply {
    const WHY: &str = "refused: the connection is not a local one";
    client.record(move || Record::of(event, WHY));
    match request {
        Request::Extension(..) => Reply::ExtensionFailure,
        _ => Reply::Failure,
    }
}

fn done(done: bool) -> Reply {
    if done { Reply::Success } else { Reply::Failure }
}
