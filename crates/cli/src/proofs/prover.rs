//! Proving a key: the request, the answer to its challenge, and the answer to a nonce.

use key_proof::{
    Challenge, Identity, Kind, Name, Origin, Proof, PublicArea, Renewal, Request, WallClaim,
    activation, renewal_transcript,
};
use rand_core::{OsRng, RngCore};
use ssh_format::text::shown;
use ssh_keys::{Attested, Challenged};
use token_store::attestation::{self, Activation, Evidence};
use token_store::{Error as StoreError, Pin, Store, WallKind};
use tpm_core::ek::EkType;
use tpm_core::ownership::Hierarchy;
use tpm_core::{AuthValue, Credential, EndorsementAuth, Entity, Wall, info};
use zeroize::Zeroizing;

use crate::app::App;
use crate::ask::hierarchy_auth;
use crate::ask::pin_prompt;
use crate::ask::token_pin::read_pin_quickly;
use crate::fail::error::{EnrolmentError, ProofError};
use crate::keys::signing::SigningKey;
use crate::options::{EndorsementAuthArgs, UserPinArgs};
use crate::proofs::by_agent;
use crate::proofs::identity::Source;
use crate::show::date;

/// The key to prove, and where its secrets come from.
pub(crate) struct Prover<'a> {
    pub(crate) app: &'a App,
    pub(crate) key: &'a SigningKey,
    pub(crate) pin: &'a UserPinArgs,
    pub(crate) endorsement: &'a EndorsementAuthArgs,
    /// Whether nobody can be asked for a PIN. Then a token with a PIN is used only through an agent that has it open.
    pub(crate) unattended: bool,
}

/// The purpose of a proof.
#[derive(Debug, Clone)]
pub(crate) struct Purpose<'a> {
    pub(crate) kind: Kind,
    pub(crate) principals: &'a [String],
    pub(crate) audience: &'a str,
    /// The role that the request names, if any.
    pub(crate) role: Option<&'a str>,
}

/// Refuses a key that no proof would be accepted for, before anything is asked of the TPM.
///
/// # Errors
///
/// [`ProofError::Unprovable`].
pub(crate) fn refuse_unprovable(key: &SigningKey) -> anyhow::Result<()> {
    match PublicArea::parse(&key.key.blob().blob().public)?.origin() {
        Origin::BornHere => Ok(()),
        Origin::Imported | Origin::CanLeave => Err(ProofError::Unprovable {
            label: shown(&key.label),
        }
        .into()),
    }
}

/// Checks that a challenge is for this request and can still be answered.
///
/// # Errors
///
/// [`ProofError::OtherRequest`], [`ProofError::ChallengeExpired`].
pub(crate) fn check_challenge(request: &Request, challenge: &Challenge) -> Result<(), ProofError> {
    if challenge.request != request.transcript() {
        return Err(ProofError::OtherRequest);
    }
    if challenge.expires < date::now() {
        return Err(ProofError::ChallengeExpired {
            since: ssh_format::time::in_words(challenge.expires),
        });
    }
    Ok(())
}

impl Prover<'_> {
    /// A request. The first one of a store makes its attestation key.
    ///
    /// # Errors
    ///
    /// [`ProofError::Unprovable`], those of the TPM and of the store, and of `identity`.
    pub(crate) fn request(
        &self,
        store: &mut Store,
        purpose: &Purpose<'_>,
        ek_type: Option<EkType>,
        identity: &Source,
    ) -> anyhow::Result<Request> {
        refuse_unprovable(self.key)?;
        let tpm = self.app.tpm()?;
        let evidence = self.with_endorsement(|endorsement| {
            attestation::evidence(store, &tpm, &self.key.token, ek_type, endorsement)
        })?;
        let mut client_random = [0; 32];
        OsRng.fill_bytes(&mut client_random);
        let mut request = Request {
            wall: wall(&evidence),
            ek: evidence.ek,
            ek_certificate: evidence.ek_certificate,
            chain: evidence.chain,
            attestation_key: evidence.attestation_key,
            srk: evidence.srk,
            parent: evidence.token_key,
            key: self.key.key.blob().blob().public.clone(),
            kind: purpose.kind,
            principals: purpose.principals.to_vec(),
            audience: purpose.audience.to_owned(),
            identity: Identity::None,
            role: purpose.role.map(str::to_owned),
            client_random,
        };
        request.identity = identity.of(self.app, store, self.pin, &request)?;
        Ok(request)
    }

    /// The proof, and how the token was opened: `agent`, or `pin` for a login of this command.
    ///
    /// # Errors
    ///
    /// [`ProofError::OtherRequest`], [`ProofError::ChallengeExpired`], those of the PIN, the TPM and the store.
    pub(crate) fn answer(
        &self,
        store: &Store,
        request: Request,
        challenge: Challenge,
    ) -> anyhow::Result<(Proof, &'static str)> {
        check_challenge(&request, &challenge)?;
        let transcript = request.transcript();
        let credential = Credential {
            id_object: &challenge.id_object,
            secret: &challenge.secret,
        };
        // Parsed first, because "malformed" is a better error than "unknown type".
        let ek = PublicArea::parse(&request.ek)?;
        let ek_type = EkType::of_public(&request.ek).ok_or(ProofError::RequestOfOtherEk)?;
        challenge.check_form(&ek)?;
        let challenged = Challenged {
            key: &self.key.key,
            request: &transcript,
            nonce: &challenge.nonce,
        };
        let (secret, attested, by) = self.activated(store, ek_type, credential, &challenged)?;
        let proof = Proof {
            request,
            ticket: challenge.ticket,
            activation: activation(&secret, &transcript).to_vec(),
            attest: attested.attest,
            signature: attested.signature,
            sshsig: attested.sshsig,
        };
        Ok((proof, by))
    }

    /// The answer to a nonce for a key that was proven before.
    ///
    /// # Errors
    ///
    /// Those of the PIN, the TPM and the store.
    pub(crate) fn renewal(
        &self,
        store: &Store,
        purpose: &Purpose<'_>,
        nonce: [u8; 32],
    ) -> anyhow::Result<Renewal> {
        let attestation_key = attestation::attestation_key_name(store, &self.key.token)?;
        let attestation_key = Name::from_bytes(attestation_key.bytes())?;
        let key = PublicArea::parse(&self.key.key.blob().blob().public)?.name();
        let (kind, principals) = (purpose.kind, purpose.principals);
        let transcript = renewal_transcript(
            &attestation_key,
            &key,
            kind,
            principals,
            purpose.audience,
            &nonce,
        );
        let attested = self.attested(
            store,
            &Challenged {
                key: &self.key.key,
                request: &transcript,
                nonce: &nonce,
            },
        )?;
        Ok(Renewal {
            attestation_key,
            key,
            kind,
            principals: principals.to_vec(),
            nonce,
            attest: attested.attest,
            signature: attested.signature,
            sshsig: attested.sshsig,
        })
    }

    /// The secret of the challenge, the rest of the answer, and how the token was opened.
    fn activated(
        &self,
        store: &Store,
        ek_type: EkType,
        credential: Credential<'_>,
        challenged: &Challenged<'_>,
    ) -> anyhow::Result<(Zeroizing<Vec<u8>>, Attested, &'static str)> {
        let token = &self.key.token;
        let tpm = self.app.tpm()?;
        let Some(agent) = by_agent::Unlocked::find(self.pin, token) else {
            let pin = self.read_pin(store)?;
            // The secret comes first, so a challenge for another TPM spends no try.
            let (secret, attested) = self.with_endorsement(|endorsement| {
                let activation = Activation {
                    ek_type,
                    endorsement,
                    credential,
                };
                ssh_keys::answer(store, &tpm, token, pin.as_ref(), &activation, challenged)
            })?;
            return Ok((secret, attested, "pin"));
        };
        // Before the agent is asked, because it shows and records each answer.
        let secret = self.with_endorsement(|endorsement| {
            let activation = Activation {
                ek_type,
                endorsement,
                credential,
            };
            attestation::activate(store, &tpm, token, &activation)
        })?;
        if let Some(attested) = agent.attest(&self.key.public, challenged) {
            return Ok((secret, attested, "agent"));
        }
        let pin = self.read_pin(store)?;
        let attested = ssh_keys::log_in_and_attest(store, &tpm, token, pin.as_ref(), challenged)?;
        Ok((secret, attested, "pin"))
    }

    /// The part of an answer that needs an open token: that of the agent, or one that this command opens.
    fn attested(&self, store: &Store, challenged: &Challenged<'_>) -> anyhow::Result<Attested> {
        let token = &self.key.token;
        if let Some(agent) = by_agent::Unlocked::find(self.pin, token)
            && let Some(attested) = agent.attest(&self.key.public, challenged)
        {
            return Ok(attested);
        }
        let pin = self.read_pin(store)?;
        let tpm = self.app.tpm()?;
        Ok(ssh_keys::log_in_and_attest(
            store,
            &tpm,
            token,
            pin.as_ref(),
            challenged,
        )?)
    }

    /// The token's PIN, if it has one.
    fn read_pin(&self, store: &Store) -> anyhow::Result<Option<Pin>> {
        let token = &self.key.token;
        let would_ask = matches!(self.pin.source(), pin_prompt::Source::Ask);
        if self.unattended && would_ask && token.wall != WallKind::None {
            return Err(EnrolmentError::TokenLocked {
                token: shown(&token.label),
            }
            .into());
        }
        read_pin_quickly(self.app, store, token, self.pin)
    }

    /// Runs `what`, which may need the endorsement hierarchy's password. Tries an empty one first, which the TPM does not count, and asks for
    /// the password only if that is refused: existing keys of the high range need none.
    fn with_endorsement<T>(
        &self,
        mut what: impl FnMut(&EndorsementAuth) -> token_store::Result<T>,
    ) -> anyhow::Result<T> {
        let refused = match what(&AuthValue::empty().into()) {
            Ok(done) => return Ok(done),
            Err(StoreError::Tpm(
                err @ tpm_core::Error::AuthRejected {
                    entity: Entity::Endorsement,
                    ..
                },
            )) => err,
            Err(err) => return Err(err.into()),
        };
        let tpm = self.app.tpm()?;
        let info = tpm
            .begin()
            .and_then(|op| info::read(&op))
            .map_err(StoreError::from)?;
        if !info.auth_set.endorsement || self.unattended {
            return Err(StoreError::from(refused).into());
        }
        let password = hierarchy_auth::read_endorsement(&self.endorsement.source(), &info)?;
        match what(&password) {
            Err(StoreError::Tpm(err)) => {
                Err(hierarchy_auth::explain(err, &info, Hierarchy::Endorsement))
            }
            other => Ok(other?),
        }
    }
}

fn wall(evidence: &Evidence) -> WallClaim {
    match &evidence.wall {
        Wall::Counter(counter) => WallClaim::Counter {
            counter: counter.public_area(),
            so_name: counter.so().bytes().to_vec(),
            guard_name: counter.guard().bytes().to_vec(),
        },
        Wall::Lockout { so } => WallClaim::Lockout {
            so_name: so.bytes().to_vec(),
        },
        Wall::None => WallClaim::None,
    }
}
