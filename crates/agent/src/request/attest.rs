//! Answering a verifier's challenge, so that `tpmssh prove` needs no second PIN.
//!
//! A client cannot have data of its choice signed in this way: the TPM signs its own statement about the key, and
//! the key signs a hash in a namespace that counts for proofs alone. Only an existing login is used. A connection
//! that `ssh` has bound to a server is refused before it gets here, because a proof identifies the TPM.

use ssh_format::{Fingerprint, text};
use ssh_keys::Attested;
use token_store::Error as StoreError;

use super::open::{Denied, question};
use crate::ask::notify;
use crate::audit::{DONE, Record};
use crate::error::chain;
use crate::key::identity::Identity;
use crate::login::logins::Policy;
use crate::machine::mutex::lock;
use crate::protocol::{ATTEST, Reply, fields, put_string};
use crate::request::requester::Client;
use crate::state::Agent;

/// Why a challenge was not answered.
#[derive(Debug, thiserror::Error)]
enum Refused {
    /// `ssh-add -x`.
    #[error("refused: the agent is locked")]
    Locked,
    /// The agent does not hold the key, or the key was removed.
    #[error("refused: the agent has no such key")]
    NoKey,
    /// `ssh-add -h`.
    #[error("refused: the key is limited to hosts")]
    Destinations,
    /// The PIN is asked for at each use, so there is never a login to use.
    #[error("refused: the PIN of this key is asked for at each use")]
    EachUse,
    /// Nobody has given the PIN yet.
    #[error("refused: the token is not unlocked")]
    NotOpen,
    /// The use of the key was not confirmed, or the client is gone.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The TPM or the store.
    #[error("cannot attest")]
    Attest(#[source] StoreError),
}

impl Refused {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Denied(err) => err.exit_code(),
            Self::Attest(err) => err.kind().exit_code(),
            _ => 1,
        }
    }
}

/// The fields of the request.
struct Asked<'a> {
    /// The key's blob.
    key: &'a [u8],
    /// The hash of the request for a proof.
    request: [u8; 32],
    /// Of the challenge.
    nonce: [u8; 32],
}

impl<'a> Asked<'a> {
    /// `None` if a field is missing, has another length, or something follows them.
    fn decode(contents: &'a [u8]) -> Option<Self> {
        let mut reader = fields(contents);
        let asked = Self {
            key: reader.string().ok()?,
            request: reader.string().ok()?.try_into().ok()?,
            nonce: reader.string().ok()?.try_into().ok()?,
        };
        reader.finish().ok()?;
        Some(asked)
    }

    /// For a person: the hash as `tpmssh verify-proof --json` shows it, cut.
    fn purpose(&self) -> String {
        let start = base16ct::lower::encode_string(&self.request[..8]);
        format!("to prove that it cannot leave the TPM, for request {start}")
    }
}

impl Agent {
    /// Answers a challenge; a refusal is answered with an exit code and a message.
    pub(super) async fn attest(&self, client: &Client<'_>, contents: &[u8]) -> Reply {
        let Some(asked) = Asked::decode(contents) else {
            client.record(|| Record::of("attest", "refused: malformed"));
            return Reply::ExtensionFailure;
        };
        // A locked agent does not even say which keys it has.
        if self.lock.is_locked() {
            client.record(|| Record::of("attest", &Refused::Locked.to_string()));
            return Reply::ExtensionFailure;
        }
        let keys = self.keys();
        let identity = keys.named(asked.key);
        let what = asked.purpose();
        let attested = match identity {
            Some(identity) => self.try_attest(client, identity, &asked, &what).await,
            None => Err(Refused::NoKey),
        };
        let result = match &attested {
            Ok(_) => DONE.to_owned(),
            Err(err) => chain(err),
        };
        // The key's own blob, also if a certificate named it.
        let blob = identity.map_or(asked.key, Identity::blob);
        if let (Ok(_), Some(identity), true) = (&attested, identity, self.notify) {
            notify::show(&format!(
                "{} {what}\nfor {}",
                identity.quoted(),
                client.peer
            ));
        }
        let record = Record {
            key: Some(Fingerprint::of_blob(blob).to_string()),
            label: identity.map(|it| text::shown(it.label())),
            token: identity.map(|it| text::shown(&it.token.label)),
            origin: identity.map(|it| it.origin().name().to_owned()),
            purpose: Some(what),
            ..Record::of("attest", &result)
        };
        client.record(move || record);
        let contents = match attested {
            Ok(attested) => {
                let mut contents = vec![0];
                put_string(&mut contents, &attested.attest);
                put_string(&mut contents, &attested.signature);
                put_string(&mut contents, attested.sshsig.as_bytes());
                contents
            }
            Err(err) => {
                let mut contents = vec![err.exit_code()];
                put_string(&mut contents, result.as_bytes());
                contents
            }
        };
        Reply::Extension(ATTEST, contents)
    }

    async fn try_attest(
        &self,
        client: &Client<'_>,
        identity: &Identity,
        asked: &Asked<'_>,
        what: &str,
    ) -> Result<Attested, Refused> {
        let token = &identity.token;
        let confirm = self.permits_proof(identity)?;
        // Before the question: without a login a confirmation would be of no use.
        if !token.login_required() {
            self.open_free(token)?;
        }
        self.kept(token).ok_or(Refused::NotOpen)?;
        if confirm {
            let text = format!(
                "Allow a proof, which names this TPM?\n{}",
                question(client, identity, what, None)
            );
            let answer = client.while_there(self.broker.confirm(&text)).await;
            answer.ok_or(Denied::Gone)?.map_err(Denied::NotConfirmed)?;
        }
        let key = self.key(identity).map_err(Refused::Attest)?;
        let turn = self.chip.turn().map_err(Refused::Attest)?;
        // A person may have taken an hour to answer, or the chip to sign for others.
        self.permits_proof(identity)?;
        let open = self.kept(token).ok_or(Refused::NotOpen)?;
        if client.is_gone() {
            return Err(Denied::Gone.into());
        }
        let attested = turn.attest(&open, key, &asked.request, &asked.nonce);
        if matches!(attested, Err(StoreError::LoggedOut)) {
            lock(&self.logins).end(&token.serial);
        }
        attested.map_err(Refused::Attest)
    }

    /// Whether a person has to confirm a proof with this key.
    fn permits_proof(&self, identity: &Identity) -> Result<bool, Refused> {
        if self.lock.is_locked() {
            return Err(Refused::Locked);
        }
        let terms = self.terms(identity.blob()).ok_or(Refused::NoKey)?;
        if !terms.destinations.is_empty() {
            return Err(Refused::Destinations);
        }
        let policy = self.policy_of(&identity.token);
        let each_use = policy == Policy::Never || identity.always_authenticate();
        if each_use && identity.token.login_required() {
            return Err(Refused::EachUse);
        }
        Ok(terms.confirm || policy == Policy::Confirm)
    }
}
