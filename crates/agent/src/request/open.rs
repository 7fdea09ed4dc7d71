//! Opening tokens: with a login that is kept, or with a PIN that a person gives.

use std::sync::Arc;
use std::time::Duration;

use ssh_format::text;
use token_store::{Error as StoreError, OpenToken, Pin, Token, Tries};

use crate::ask::broker::NoAnswer;
use crate::key::identity::Identity;
use crate::login::logins::Policy;
use crate::machine::mutex::lock;
use crate::request::requester::Client;
use crate::state::Agent;

/// Why a token was not opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum Denied {
    /// The token or its chip refused.
    #[error(transparent)]
    Token(#[from] StoreError),
    /// A person was needed and did not answer.
    #[error("cannot get the PIN")]
    NoPin(#[source] NoAnswer),
    /// A person did not agree to use the last try.
    #[error("only one try is left, and nobody agreed to spend it")]
    LastTry(#[source] NoAnswer),
    /// The use of the key was not confirmed.
    #[error("not confirmed")]
    NotConfirmed(#[source] NoAnswer),
    /// The client is gone.
    #[error("the client is gone")]
    Gone,
    /// All logins were ended while this one was made.
    #[error("the agent was locked meanwhile")]
    Ended,
}

impl Denied {
    /// The exit code for it.
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Token(err) => err.kind().exit_code(),
            _ => 1,
        }
    }
}

impl Agent {
    /// The open token of a key; asks for the PIN if the token is not open. `what` is the purpose
    /// that the question shows.
    pub(super) async fn open(
        &self,
        client: &Client<'_>,
        identity: &Identity,
        what: &str,
    ) -> Result<Arc<OpenToken>, Denied> {
        let token = &identity.token;
        let policy = self.policy_of(token);
        let each_use = identity.always_authenticate() || policy == Policy::Never;
        if !token.login_required() {
            return self.open_free(token);
        }
        if !each_use && let Some(open) = self.kept(token) {
            return Ok(open);
        }
        let turn = self.turn(token);
        let _turn = client.while_there(turn.lock()).await.ok_or(Denied::Gone)?;
        // The client that had the turn before may have opened the token.
        if !each_use && let Some(open) = self.kept(token) {
            return Ok(open);
        }
        let asked = self.ask(client, identity, what);
        if each_use {
            return asked.await;
        }
        // `tpmssh unlock` may open the token while the question is shown, which ends the question.
        tokio::select! {
            opened = asked => opened,
            open = self.opened_elsewhere(token) => Ok(open),
        }
    }

    /// The login to a token, if there is one and its PIN was not set again since.
    pub(super) fn kept(&self, token: &Token) -> Option<Arc<OpenToken>> {
        let open = lock(&self.logins).get(&token.serial);
        open.filter(|open| open.is_current(token))
    }

    async fn opened_elsewhere(&self, token: &Token) -> Arc<OpenToken> {
        loop {
            let opened = self.opened.notified();
            if let Some(open) = self.kept(token) {
                return open;
            }
            opened.await;
        }
    }

    /// A token without a PIN stays open: there is nothing to protect.
    pub(super) fn open_free(&self, token: &Arc<Token>) -> Result<Arc<OpenToken>, Denied> {
        if let Some(open) = self.kept(token) {
            return Ok(open);
        }
        let since = lock(&self.logins).ended();
        let turn = self.chip.turn()?;
        // The client that had the turn before may have opened the token.
        if let Some(open) = self.kept(token) {
            return Ok(open);
        }
        let open = Arc::new(turn.login(token, None)?);
        let mut logins = lock(&self.logins);
        logins.keep(&token.serial, open.clone(), None, since);
        Ok(open)
    }

    /// Asks for the PIN and opens the token; costs a try if it is wrong.
    async fn ask(
        &self,
        client: &Client<'_>,
        identity: &Identity,
        what: &str,
    ) -> Result<Arc<OpenToken>, Denied> {
        let since = lock(&self.logins).ended();
        let token = &identity.token;
        let tries = self.tries(token)?;
        let text = question(client, identity, what, tries);
        self.spend_last(client, &text, tries).await?;
        let typed = client.while_there(self.broker.pin(&text)).await;
        let typed = typed.ok_or(Denied::Gone)?.map_err(Denied::NoPin)?;
        let pin = Pin::new(&typed).map_err(StoreError::from)?;
        drop(typed);
        self.open_since(token, pin, None, since)
    }

    /// How many wrong PINs a token still takes, which is at least one; `None` if it has no
    /// PIN.
    fn tries(&self, token: &Token) -> Result<Option<Tries>, Denied> {
        let tries = self.chip.turn()?.tries(token)?;
        if tries.is_some_and(|tries| tries.left == 0) {
            return Err(StoreError::PinLocked.into());
        }
        Ok(tries)
    }

    /// If only one try is left, asks a person whether to use it.
    async fn spend_last(
        &self,
        client: &Client<'_>,
        text: &str,
        tries: Option<Tries>,
    ) -> Result<(), Denied> {
        if tries.is_none_or(|tries| tries.left > 1) {
            return Ok(());
        }
        let warning = format!("A wrong PIN now locks the token. Try anyway?\n{text}");
        let answer = client.while_there(self.broker.confirm(&warning)).await;
        answer.ok_or(Denied::Gone)?.map_err(Denied::LastTry)
    }

    /// Opens a token with a PIN that came with the request to add its keys.
    pub(super) async fn add_with_pin(
        &self,
        client: &Client<'_>,
        token: &Arc<Token>,
        pin: Pin,
    ) -> Result<Arc<OpenToken>, Denied> {
        let tries = self.tries(token)?;
        let text = format!("Token {}\nfor {}", text::quoted(&token.label), client.peer);
        self.spend_last(client, &text, tries).await?;
        self.open_with(token, pin, None)
    }

    /// Opens a token with a PIN and keeps it, for `time` or as its policy says.
    pub(super) fn open_with(
        &self,
        token: &Arc<Token>,
        pin: Pin,
        time: Option<Duration>,
    ) -> Result<Arc<OpenToken>, Denied> {
        let since = lock(&self.logins).ended();
        // Somebody unlocked it on purpose, so it is kept even if the policy is never to.
        let time = time.or(match self.policy_of(token) {
            Policy::For(time) => Some(time),
            _ => None,
        });
        self.open_for(token, pin, Some(time), since)
    }

    fn open_since(
        &self,
        token: &Arc<Token>,
        pin: Pin,
        time: Option<Duration>,
        since: u64,
    ) -> Result<Arc<OpenToken>, Denied> {
        let keep = match self.policy_of(token) {
            Policy::Never => None,
            Policy::For(usual) => Some(Some(time.unwrap_or(usual))),
            Policy::UntilLocked | Policy::Confirm => Some(time),
        };
        self.open_for(token, pin, keep, since)
    }

    /// Opens a token; `keep` says whether the login is kept and for how long.
    fn open_for(
        &self,
        token: &Arc<Token>,
        pin: Pin,
        keep: Option<Option<Duration>>,
        since: u64,
    ) -> Result<Arc<OpenToken>, Denied> {
        let turn = self.chip.turn()?;
        // Otherwise a PIN that was typed before the agent was locked could cost a try afterwards.
        if lock(&self.logins).ended() != since || self.lock.is_locked() {
            return Err(Denied::Ended);
        }
        let open = Arc::new(turn.login(token, Some(&pin))?);
        drop(turn);
        let mut logins = lock(&self.logins);
        if logins.ended() != since {
            return Err(Denied::Ended);
        }
        if let Some(time) = keep {
            logins.keep(&token.serial, open.clone(), time, since);
            drop(logins);
            self.opened.notify_waiters();
            self.watch.notify_one();
        }
        Ok(open)
    }

    pub(super) fn policy_of(&self, token: &Token) -> Policy {
        let own = self.token_policies.get(&token.serial);
        *own.or_else(|| self.token_policies.get(&token.label))
            .unwrap_or(&self.policy)
    }

    fn turn(&self, token: &Token) -> Arc<tokio::sync::Mutex<()>> {
        let mut prompts = lock(&self.prompts);
        prompts.entry(token.serial.clone()).or_default().clone()
    }
}

/// The text of a question: the tries left, the token, the key, the program that asks, the purpose.
///
/// What the agent knows by itself comes first, so that names which others chose cannot push it
/// out of a window. Each such name has 64 characters at most.
pub(super) fn question(
    client: &Client<'_>,
    identity: &Identity,
    what: &str,
    tries: Option<Tries>,
) -> String {
    let tries = tries.map_or_else(String::new, |tries| {
        let s = if tries.left == 1 { "try" } else { "tries" };
        format!("{} {s} left\n", tries.left)
    });
    format!(
        "{tries}Token {}, key {} {}\nfor {}, {what}",
        text::quoted(&identity.token.label),
        identity.quoted(),
        identity.fingerprint(),
        client.peer,
    )
}
