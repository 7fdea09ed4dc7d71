//! The agent, which answers a challenge if it has the token open. Then the PIN need not be typed a second time.

use agent::client::Client;
use agent::{Error as AgentError, Socket};
use key_proof::Transcript;
use ssh_keys::Attested;
use token_store::StoreDir;

use crate::ask::pin_prompt::Source;
use crate::keys::signing::SigningKey;
use crate::options::UserPinArgs;
use crate::show::output::tell;

/// The agent's answer; `None` if the PIN is needed.
///
/// An agent of another store is left alone: its attestation key is not the one in the request.
pub(super) fn attest(
    pin: &UserPinArgs,
    key: &SigningKey,
    request: &Transcript,
    nonce: &[u8; 32],
) -> Option<Attested> {
    // A PIN that is given by an option is used, whether an agent runs or not.
    if !matches!(pin.source(), Source::Ask) {
        return None;
    }
    let mut client = Client::connect(&Socket::default_path().ok()?).ok()?;
    let status = client.status().ok()??;
    let is_open = status
        .tokens
        .iter()
        .any(|token| token.serial == key.token.serial && token.open);
    if !is_open || status.store != StoreDir::for_user().ok()?.path() {
        return None;
    }
    match client.attest(key.public.blob(), request, nonce) {
        Ok(attested) => Some(attested),
        // An agent from before it knew how to.
        Err(AgentError::NotOurs { .. }) => None,
        Err(err) => {
            tell(&format!("tpmssh: the agent does not answer: {err}"));
            None
        }
    }
}
