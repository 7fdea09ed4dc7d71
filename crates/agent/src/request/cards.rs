//! Adding and removing keys.
//!
//! A key of the store is there without being added. Adding it, which OpenSSH calls adding a
//! smartcard, says under which conditions: `ssh-add -t 300 -c -h host -s tpmssh:work`. The name
//! is never taken for the path of a library.

use token_store::Pin;

use super::done;
use crate::audit::Record;
use crate::error::chain;
use crate::key::store::{Identity, Keys};
use crate::machine::mutex::lock;
use crate::protocol::{Card, Constraints, Reply};
use crate::request::requester::Client;
use crate::state::Agent;

impl Agent {
    /// No private key of software is held here; another agent may take it.
    pub(super) async fn add_software_key(&self, client: &Client<'_>, message: &[u8]) -> Reply {
        let reply = self.pass_on(client, message).await;
        if reply == Reply::Failure {
            log::warn!("{}: refused a key of software", client.peer);
        }
        reply
    }

    /// Adds all keys of a token; a PIN that is not empty opens it, at the cost of a try.
    pub(super) async fn add_card(
        &self,
        client: &Client<'_>,
        card: &Card<'_>,
        constraints: &Constraints,
    ) -> Reply {
        let result = self.try_add_card(client, card, constraints).await;
        if let Err(why) = &result {
            log::warn!("{}: cannot add {:?}: {why}", client.peer, card.name);
        }
        self.record_card(
            client,
            "add",
            card,
            result.as_ref().err().map_or("done", String::as_str),
        );
        done(result.is_ok())
    }

    async fn try_add_card(
        &self,
        client: &Client<'_>,
        card: &Card<'_>,
        constraints: &Constraints,
    ) -> Result<(), String> {
        if client.binds.is_bound() {
            return Err("the connection is not a local one".into());
        }
        let keys = self.keys();
        let found = of_card(&keys, card.name)?;
        let mut walled = found
            .iter()
            .map(|identity| &identity.token)
            .filter(|token| token.login_required());
        // `ssh-add` asks for a PIN and sends it whether or not there is one.
        if !card.pin.is_empty()
            && let Some(token) = walled.next()
        {
            if walled.any(|other| other.id != token.id) {
                return Err("a PIN is for one token: name it with tpmssh:LABEL".into());
            }
            let pin = Pin::new(card.pin).map_err(|err| err.to_string())?;
            let opened = self.add_with_pin(client, token, pin).await;
            opened.map_err(|err| chain(&err))?;
        }
        let mut standings = lock(&self.standings);
        for identity in found {
            standings.add(identity.blob(), constraints);
        }
        Ok(())
    }

    pub(super) async fn remove_card(&self, client: &Client<'_>, card: &Card<'_>) -> Reply {
        let keys = self.keys();
        let found = of_card(&keys, card.name);
        if let Ok(found) = &found {
            let mut standings = lock(&self.standings);
            for identity in found {
                standings.remove(identity.blob());
                lock(&self.logins).end(&identity.token.serial);
            }
        }
        let result = found.as_ref().err().map_or("done", String::as_str);
        self.record_card(client, "remove", card, result);
        done(found.is_ok())
    }

    pub(super) async fn remove(&self, client: &Client<'_>, key: &[u8], message: &[u8]) -> Reply {
        let keys = self.keys();
        let found = keys.named(key);
        match found.filter(|identity| self.terms(identity.blob()).is_some()) {
            Some(identity) => {
                lock(&self.standings).remove(identity.blob());
                let (key, label) = (identity.fingerprint(), identity.comment.clone());
                client.record(move || Record {
                    key: Some(key.to_string()),
                    label: Some(label.into()),
                    ..Record::of("remove", "done")
                });
                Reply::Success
            }
            None => self.pass_on(client, message).await,
        }
    }

    pub(super) async fn remove_all(&self, client: &Client<'_>, message: &[u8]) -> Reply {
        let keys = self.keys();
        for identity in &keys.identities {
            lock(&self.standings).remove(identity.blob());
        }
        self.end_logins();
        client.record(|| Record::of("remove", "done"));
        done(self.upstreams.tell_all(client.bind_messages, message).await)
    }

    fn record_card(&self, client: &Client<'_>, event: &'static str, card: &Card<'_>, result: &str) {
        let (label, result) = (crate::key::store::plain(card.name), result.to_owned());
        client.record(move || Record {
            label: Some(label),
            ..Record::of(event, &result)
        });
    }
}

/// The keys that a name stands for: `tpmssh` for all, `tpmssh:TOKEN` for those of one token.
fn of_card<'a>(keys: &'a Keys, name: &str) -> Result<Vec<&'a Identity>, String> {
    let found: Vec<_> = match name.strip_prefix("tpmssh") {
        Some("") => keys.identities.iter().collect(),
        Some(rest) if rest.starts_with(':') => {
            let token = keys.token(&rest[1..]).ok_or("there is no such token")?;
            let is_its = |identity: &&Identity| identity.token.id == token.id;
            keys.identities.iter().filter(is_its).collect()
        }
        _ => return Err("modules are not loaded here; a token is called tpmssh:LABEL".into()),
    };
    if found.is_empty() {
        return Err("there is no key".into());
    }
    Ok(found)
}
