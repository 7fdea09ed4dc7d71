//! The agent, which answers a challenge if it has the token open. Then the PIN need not be typed a second time.

use agent::client::Client;
use agent::{Error as AgentError, Socket};
use ssh_format::AnyKey;
use ssh_keys::{Attested, Challenged};
use token_store::{StoreDir, Token};

use crate::ask::pin_prompt::Source;
use crate::options::UserPinArgs;
use crate::show::output::tell;

/// An agent that has the token open.
pub(crate) struct Unlocked(Client);

impl Unlocked {
    /// The agent of this user, if it has `token` open and may be asked.
    ///
    /// An agent of another store is left alone: its attestation key is not the one in the request.
    pub(crate) fn find(pin: &UserPinArgs, token: &Token) -> Option<Self> {
        // A PIN that is given by an option is used, whether an agent runs or not.
        if !matches!(pin.source(), Source::Ask) {
            return None;
        }
        let mut client = Client::connect(&Socket::default_path().ok()?).ok()?;
        let status = client.status().ok()??;
        let is_open = status
            .tokens
            .iter()
            .any(|it| it.serial == token.serial && it.open);
        let is_ours = status.store == StoreDir::for_user().ok()?.path();
        (is_open && is_ours).then_some(Self(client))
    }

    /// The agent's answer for the key with this public half; `None` if the PIN is needed.
    pub(crate) fn attest(
        mut self,
        public: &AnyKey,
        challenged: &Challenged<'_>,
    ) -> Option<Attested> {
        let answer = self
            .0
            .attest(public.blob(), challenged.request, challenged.nonce);
        match answer {
            Ok(attested) => Some(attested),
            // An agent of an older version does not know this request.
            Err(AgentError::NotOurs { .. }) => None,
            Err(err) => {
                tell(&format!("tpmssh: the agent does not answer: {err}"));
                None
            }
        }
    }
}
