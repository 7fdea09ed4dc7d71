//! Adding and removing keys.
//!
//! A key of the store is there without being added. Adding it, which OpenSSH calls adding a
//! smartcard, says under which conditions: `ssh-add -t 300 -c -h host -s tpmssh:work`. The name
//! is never taken for the path of a library.

use ssh_format::text;
use token_store::{Pin, TokenId};

use super::done;
use crate::audit::{DONE, Record};
use crate::error::chain;
use crate::key::identity::Identity;
use crate::key::standing::Terms;
use crate::key::store::Keys;
use crate::machine::mutex::lock;
use crate::protocol::{Card, Constraints, Reply};
use crate::request::requester::Client;
use crate::state::Agent;

impl Agent {
    /// No private key of software is held here; another agent may take it.
    pub(super) async fn add_software_key(&self, client: &Client<'_>, message: &[u8]) -> Reply {
        let reply = self.pass_on(client, message).await;
        if reply == Reply::Failure {
            client.record(|| Record::of("add", "refused a key of software; another agent can hold it: tpmssh agent --proxy SOCKET"));
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
        self.record_card(
            client,
            "add",
            card,
            result.as_ref().err().map_or(DONE, String::as_str),
        );
        done(result.is_ok())
    }

    async fn try_add_card(
        &self,
        client: &Client<'_>,
        card: &Card<'_>,
        constraints: &Constraints,
    ) -> Result<(), String> {
        let keys = self.keys();
        let found = of_card(&keys, card.name)?;
        let mut walled = found
            .iter()
            .map(|identity| &identity.token)
            .filter(|token| token.login_required());
        let mut proven = None;
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
            proven = Some(token.id);
        }
        self.put_terms(client, &found, constraints, proven).await
    }

    /// Puts these conditions on keys. If they are looser than the present ones a person has to agree,
    /// unless the PIN of the token was `proven`. Without agreement no key is changed.
    async fn put_terms(
        &self,
        client: &Client<'_>,
        keys: &[&Identity],
        constraints: &Constraints,
        proven: Option<TokenId>,
    ) -> Result<(), String> {
        let mut agreed = None;
        loop {
            let question = {
                let mut standings = lock(&self.standings);
                let mut loosened = Vec::new();
                for key in keys.iter().filter(|key| Some(key.token.id) != proven) {
                    let new = Terms::new(key.blob(), constraints);
                    if let Some(old) = standings.loosened(key.blob(), &new) {
                        loosened.push(change_in_words(key, old, &new));
                    }
                }
                // The yes counts for the conditions in the question, not for conditions that changed since.
                if loosened.is_empty() || agreed == Some(standings.changes()) {
                    for key in keys {
                        standings.add(key.blob(), Terms::new(key.blob(), constraints));
                    }
                    return Ok(());
                }
                agreed = Some(standings.changes());
                loosening(client, &loosened)
            };
            let answer = client.while_there(self.broker.confirm(&question)).await;
            let answer = answer.ok_or("the client is gone")?;
            answer.map_err(|err| format!("{LOOSER}: {err}"))?;
            if self.lock.is_locked() {
                return Err("the agent was locked meanwhile".into());
            }
        }
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
        let result = found.as_ref().err().map_or(DONE, String::as_str);
        self.record_card(client, "remove", card, result);
        done(found.is_ok())
    }

    pub(super) async fn remove(&self, client: &Client<'_>, key: &[u8], message: &[u8]) -> Reply {
        let keys = self.keys();
        let found = keys.named(key);
        match found.filter(|identity| self.terms(identity.blob()).is_some()) {
            Some(identity) => {
                lock(&self.standings).remove(identity.blob());
                let (key, label) = (identity.fingerprint(), text::shown(identity.label()));
                let token = text::shown(&identity.token.label);
                let origin = identity.origin().name();
                client.record(move || Record {
                    key: Some(key.to_string()),
                    label: Some(label),
                    token: Some(token),
                    origin: Some(origin.to_owned()),
                    ..Record::of("remove", DONE)
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
        client.record(|| Record::of("remove", DONE));
        done(self.upstreams.tell_all(client.passing(), message).await)
    }

    fn record_card(&self, client: &Client<'_>, event: &'static str, card: &Card<'_>, result: &str) {
        let (label, result) = (text::shown(card.name), result.to_owned());
        client.record(move || Record {
            label: Some(label),
            ..Record::of(event, &result)
        });
    }
}

/// Why conditions stay as they are.
const LOOSER: &str = "that would loosen the conditions of a key, which takes the PIN or a yes";

/// How many keys a question names.
const MOST_NAMED: usize = 3;

fn change_in_words(key: &Identity, old: &Terms, new: &Terms) -> String {
    format!(
        "Key {} {}\nnow: {}; then: {}",
        key.quoted(),
        key.fingerprint(),
        old.in_words(),
        new.in_words(),
    )
}

/// What a person is asked before conditions are loosened.
fn loosening(client: &Client<'_>, changes: &[String]) -> String {
    let mut question = format!("Loosen the conditions of keys?\nfor {}", client.peer);
    for change in changes.iter().take(MOST_NAMED) {
        question.push('\n');
        question.push_str(change);
    }
    let more = changes.len().saturating_sub(MOST_NAMED);
    if more > 0 {
        question.push_str(&format!("\nand {more} more"));
    }
    question
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
        _ => return Err("modules are not loaded here; the keys of a token are added with ssh-add -s tpmssh:LABEL".into()),
    };
    if found.is_empty() {
        return Err("there is no key".into());
    }
    Ok(found)
}
