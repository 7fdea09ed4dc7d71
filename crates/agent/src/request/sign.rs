//! Signing.

use ssh_format::{Fingerprint, RsaHash, text};
use ssh_keys::Algorithm;
use token_store::Error as StoreError;

use super::open::{Denied, question};
use crate::ask::notify;
use crate::audit::{DONE, Record};
use crate::error::chain;
use crate::key::bind::Binds;
use crate::key::certificate::key_in;
use crate::key::destination;
use crate::key::identity::Identity;
use crate::key::standing::Terms;
use crate::login::logins::Policy;
use crate::machine::mutex::lock;
use crate::protocol::{Purpose, Reply};
use crate::request::requester::Client;
use crate::state::Agent;

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
enum Refused {
    /// There is no such algorithm here.
    #[error("no such signature is made with this key")]
    Algorithm,
    /// An RSA signature with SHA-1, which the user did not allow.
    #[error(
        "the client asks for an RSA signature with SHA-1 (ssh-rsa), which is made only with \
         sha1 = true in the section [agent] of the configuration file"
    )]
    Sha1,
    /// Its destinations do not permit it.
    #[error("its destinations do not permit this: {0}")]
    Destination(&'static str),
    /// The key was removed while a person was asked.
    #[error("the key was removed meanwhile")]
    Removed,
    /// The token is not open.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The TPM did not sign.
    #[error("cannot sign")]
    Sign(#[source] StoreError),
}

impl Agent {
    /// Signs `data` with the key that `blob`, a key's or a certificate's, names.
    pub(super) async fn sign(
        &self,
        client: &Client<'_>,
        blob: &[u8],
        data: &[u8],
        flags: u32,
        message: &[u8],
    ) -> Reply {
        let keys = self.keys();
        let found = keys.named(blob);
        let found = found.and_then(|key| Some((key, self.terms(key.blob())?)));
        let Some((identity, terms)) = found else {
            return self.pass_on(client, message).await;
        };
        let what = describe(Purpose::of(data, blob), client.binds);
        let signed = self
            .try_sign(client, identity, &terms, (blob, data, flags), &what)
            .await;
        let result = match &signed {
            Ok(_) => DONE.to_owned(),
            Err(err) => chain(err),
        };
        if signed.is_ok() && self.notify {
            let label = identity.quoted();
            notify::show(&format!("{label} {what}\nfor {}", client.peer));
        }
        let (key, label) = (Box::from(identity.blob()), text::shown(identity.label()));
        let token = text::shown(&identity.token.label);
        let origin = identity.origin().name();
        client.record(move || Record {
            key: Some(Fingerprint::of_blob(&key).to_string()),
            label: Some(label),
            token: Some(token),
            origin: Some(origin.to_owned()),
            purpose: Some(what),
            ..Record::of("sign", &result)
        });
        signed.map_or(Reply::Failure, Reply::Signature)
    }

    async fn try_sign(
        &self,
        client: &Client<'_>,
        identity: &Identity,
        terms: &Terms,
        (blob, data, flags): (&[u8], &[u8], u32),
        what: &str,
    ) -> Result<Vec<u8>, Refused> {
        let key = self.key(identity).map_err(Refused::Sign)?;
        let algorithm =
            Algorithm::from_agent_flags(key.public(), flags).ok_or(Refused::Algorithm)?;
        if algorithm == Algorithm::Rsa(RsaHash::Sha1) && !self.sha1 {
            return Err(Refused::Sha1);
        }
        destination::permits(&terms.destinations, client.binds, data, blob)
            .map_err(Refused::Destination)?;
        if terms.confirm || self.policy_of(&identity.token) == Policy::Confirm {
            let text = format!(
                "Allow the use of a key?\n{}",
                question(client, identity, what, None)
            );
            let answer = client.while_there(self.broker.confirm(&text)).await;
            answer.ok_or(Denied::Gone)?.map_err(Denied::NotConfirmed)?;
        }
        match self
            .sign_once(client, identity, algorithm, data, what)
            .await
        {
            // The PIN was changed after the login.
            Err(Refused::Sign(StoreError::LoggedOut)) => {
                lock(&self.logins).end(&identity.token.serial);
                self.sign_once(client, identity, algorithm, data, what)
                    .await
            }
            signed => signed,
        }
    }

    async fn sign_once(
        &self,
        client: &Client<'_>,
        identity: &Identity,
        algorithm: Algorithm,
        data: &[u8],
        what: &str,
    ) -> Result<Vec<u8>, Refused> {
        let open = self.open(client, identity, what).await?;
        let key = self.key(identity).map_err(Refused::Sign)?;
        let turn = self.chip.turn().map_err(Refused::Sign)?;
        // A person may have taken an hour to answer, or the chip to sign for others.
        if self.terms(identity.blob()).is_none() || self.lock.is_locked() {
            return Err(Refused::Removed);
        }
        if client.is_gone() {
            return Err(Denied::Gone.into());
        }
        let signed = turn.sign(&open, key, algorithm, data);
        let signature = signed.map_err(Refused::Sign)?;
        Ok(signature.blob().to_vec())
    }
}

/// What a signature is for, in words. The host of a login is in what is signed, or else known
/// by the session that the connection was bound to.
fn describe(purpose: Purpose<'_>, binds: &Binds) -> String {
    match purpose {
        Purpose::Login(auth) => {
            let mut bound = binds.list().iter();
            let bound = bound.find(|bind| bind.session_id == auth.session_id);
            let host_key = auth.host_key.or(bound.map(|bind| bind.host_key.as_slice()));
            let user = text::quoted(auth.user);
            match host_key.and_then(fingerprint) {
                Some(host) => format!("to log in as {user} at the host {host}"),
                None => format!("to log in as {user}"),
            }
        }
        Purpose::File(namespace) => format!("to sign for {}", text::quoted(namespace)),
        Purpose::Unknown => "to sign something unknown".to_owned(),
    }
}

/// The fingerprint of a server's key, or of the key in its certificate.
fn fingerprint(host_key: &[u8]) -> Option<String> {
    Some(key_in(host_key)?.fingerprint().to_string())
}
