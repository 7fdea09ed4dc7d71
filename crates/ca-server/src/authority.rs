//! A node of the authority: it turns a request into a certificate.

mod admission;
mod force;
mod issue;
mod kept;
mod keys;
mod krl;
mod ready;
mod renewal;
mod rules;
mod watch;

use std::sync::{Arc, Mutex, RwLock};
use std::time::Instant;

use key_proof::{Challenge, Proof, Request, check_request, verify};
use rand_core::OsRng;
use sha2::{Digest, Sha256};
use ssh_format::text::error_line;

use crate::audit::Audit;
use crate::metrics::Metrics;
use crate::registry::{Answer, CaKeys, Enrolment, Outcome, Registry};
use crate::signer::{Signer, Watched};
use crate::{Refusal, Reply};

pub use crate::clock::now;
use force::InForce;
pub use force::Rules;
pub use krl::SignedKrl;

/// The validity of a challenge over the network, in seconds.
const CHALLENGE_LIFETIME: u64 = 120;

/// One node of an authority.
pub struct Authority {
    /// The rules in force. Each request reads them once.
    in_force: RwLock<Arc<InForce>>,
    registry: Box<dyn Registry>,
    signer: Watched,
    audit: Audit,
    ca_ids: CaIds,
    ready: ready::Ready,
    keys: Mutex<Option<keys::Known>>,
    metrics: Metrics,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

/// The registry's numbers of the authority's keys.
#[derive(Debug, Clone, Copy)]
struct CaIds {
    user: i64,
    host: i64,
}

/// The hash of a join token, which the registry stores instead of the token.
#[must_use]
pub fn token_hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// A result whose error also has the facts for the audit log.
type Audited<T> = Result<T, (Refusal, Facts)>;
type Facts = Vec<(&'static str, String)>;

impl Authority {
    /// Starts a node, and publishes its keys.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unavailable`]; [`Refusal::Signer`] if one of its keys is retired or known as a key of the other kind.
    pub fn new(
        rules: Rules,
        registry: Box<dyn Registry>,
        signer: Box<dyn Signer>,
        audit: Audit,
    ) -> Result<Self, Refusal> {
        let policy = &rules.policy;
        let place = policy.ca.place.name();
        let ca_ids = CaIds {
            user: keys::start_with(&*registry, "user", &policy.ca.user, place)?,
            host: keys::start_with(&*registry, "host", &policy.ca.host, place)?,
        };
        Ok(Self {
            in_force: RwLock::new(Arc::new(InForce::new(rules))),
            registry,
            signer: Watched::new(signer),
            audit,
            ca_ids,
            ready: ready::Ready::new(),
            keys: Mutex::new(None),
            metrics: Metrics::new(),
        })
    }

    /// The registry.
    #[must_use]
    pub fn registry(&self) -> &dyn Registry {
        &*self.registry
    }

    /// The audit log.
    #[must_use]
    pub fn audit(&self) -> &Audit {
        &self.audit
    }

    /// Answers a request with a challenge.
    ///
    /// # Errors
    ///
    /// The [`Refusal`], which is in the audit log then, except for a body that cannot be read.
    pub fn begin(&self, body: &[u8], now: u64) -> Result<Reply, Refusal> {
        let challenge = self.try_begin(&self.in_force(), body, now);
        self.audited(now, "begin", challenge.map(|it| (it, Vec::new())))
            .map(Reply::Json)
    }

    fn try_begin(&self, force: &InForce, body: &[u8], now: u64) -> Audited<String> {
        let request = Request::from_json(body).map_err(|err| (err.into(), Facts::new()))?;
        let (facts, rules) = self.rules(&force.policy, &request, now)?;
        let noted = |refusal: Refusal| (refusal, facts.clone());
        let checked = check_request(&request, &rules.proof).map_err(|err| noted(err.into()))?;
        let (Some(key), lifetime) = (force.tickets.first(), CHALLENGE_LIFETIME) else {
            return Err(noted(Refusal::Unavailable("there is no ticket key".into())));
        };
        let challenge = Challenge::new(&checked, key, now, lifetime, &mut OsRng);
        Ok(challenge.map_err(|err| noted(err.into()))?.to_json())
    }

    /// Answers a proof with a certificate.
    ///
    /// # Errors
    ///
    /// The [`Refusal`], which is in the audit log then, except for a body that cannot be read.
    pub fn finish(&self, body: &[u8], now: u64) -> Result<Reply, Refusal> {
        let (force, keys) = (self.in_force(), self.keys(now)?);
        let done = self.try_finish(&force, body, now);
        let outcome = self.audited(now, "enrol", done)?;
        reply(outcome, &keys)
    }

    fn try_finish(&self, force: &InForce, body: &[u8], now: u64) -> Audited<(Outcome, Facts)> {
        let proof = Proof::from_json(body).map_err(|err| (err.into(), Facts::new()))?;
        let (mut facts, rules) = self.rules(&force.policy, &proof.request, now)?;
        let begun = Instant::now();
        let verified = verify(&proof, &rules.proof, &force.tickets);
        self.metrics.took("verify", begun.elapsed());
        let verified = verified.map_err(|err| (err.into(), facts.clone()))?;
        facts.extend([
            ("ak", verified.attestation_key.to_string()),
            ("key", verified.key.fingerprint().to_string()),
            ("role", rules.assignment.role.clone()),
            ("name", rules.assignment.name.clone()),
        ]);
        let noted = |refusal| (refusal, facts.clone());
        rules::check_maker(&verified, &force.policy).map_err(noted)?;
        rules::check_key_type(&verified.key, &rules.role).map_err(noted)?;
        let subject = issue::Subject {
            key: &verified.key,
            ek_name: &verified.ek_name,
            assignment: &rules.assignment,
            principals: &verified.principals,
            mode: verified.mode.name(),
            wall: verified.wall.name(),
        };
        let enrolment = Enrolment {
            verified: &verified,
            assignment: &rules.assignment,
            admission: &rules.admission,
            answer: Answer {
                nonce: &verified.nonce,
                expires: verified.expires.saturating_add(30),
                body: &Sha256::digest(body).into(),
                now,
            },
            approve_first: rules.role.approve_first,
            rebind: rules.role.rebind,
        };
        let step = self.step();
        let mut sign = || step.sign(|| self.sign(&force.policy.ca, &rules.role, &subject, now));
        let outcome = self
            .registry
            .enrol(&enrolment, &verified.principals, &mut sign);
        step.end();
        let outcome = refuse_outcome(outcome.map_err(noted)?).map_err(noted)?;
        self.count(&rules.role, &outcome);
        note_outcome(&mut facts, &outcome);
        Ok((outcome, facts))
    }

    /// Writes the result of a request into the audit log. A certificate is released only if its line could be written.
    fn audited<T>(&self, now: u64, event: &str, done: Audited<(T, Facts)>) -> Result<T, Refusal> {
        if let Err((refusal, _)) = &done {
            self.metrics.refused(refusal.code());
        }
        let (result, mut facts) = match done {
            // Challenges are not logged: they reveal nothing, and there may be many.
            Ok((it, facts)) if facts.is_empty() => return Ok(it),
            Ok((it, facts)) => (Ok(it), facts),
            // Bodies that cannot be read are not logged: any client can send them, and the error may quote a join token.
            Err((refusal, _)) if refusal.status() == 400 => return Err(refusal),
            Err((refusal, facts)) => (Err(refusal), facts),
        };
        if let Err(refusal) = &result {
            facts.push(("refused", refusal.code()));
            facts.push(("why", error_line(refusal)));
        }
        let noted = match &result {
            Ok(_) => self.audit.write(now, event, &facts),
            Err(_) => self.audit.note(now, event, &facts),
        };
        noted.map_err(|err| Refusal::Unavailable(err.into()))?;
        match result {
            // Strangers must not learn whether a TPM is revoked or unknown.
            Err(refusal) if refusal.is_v3() => Err(Refusal::NOT_EXPECTED),
            other => other,
        }
    }
}

fn reply(outcome: Outcome, keys: &CaKeys) -> Result<Reply, Refusal> {
    match outcome {
        Outcome::Issued(blob) => issue::reply(&blob, keys),
        Outcome::Pending(id) => Ok(Reply::Pending(id)),
        _ => Err(Refusal::NOT_EXPECTED),
    }
}

/// The refusal if another request makes the same answer, and takes long.
fn busy() -> Refusal {
    Refusal::Unavailable("the registry or the signer takes long".into())
}

const NO_TOKEN: Refusal = Refusal::Denied {
    status: 403,
    code: "join-token",
    why: "the join token is unknown, was used or has expired",
};

/// Turns an outcome of the registry that is a refusal into an error.
fn refuse_outcome(outcome: Outcome) -> Result<Outcome, Refusal> {
    Err(match outcome {
        Outcome::Issued(_) | Outcome::Pending(_) => return Ok(outcome),
        Outcome::NonceUsed => Refusal::denied(403, "V7", "its challenge was answered before"),
        Outcome::NoToken => NO_TOKEN,
        Outcome::OtherName => Refusal::denied(
            409,
            "other-name",
            "this TPM has this role under another name",
        ),
        Outcome::NameTaken => {
            Refusal::denied(409, "name-taken", "another machine has one of these names")
        }
        Outcome::Unknown => Refusal::NOT_EXPECTED,
        Outcome::TimeWentBack => Refusal::denied(
            403,
            "V14",
            "the time of this TPM has gone back: it is a copy, or was restored from one",
        ),
    })
}

fn note_outcome(facts: &mut Facts, outcome: &Outcome) {
    match outcome {
        Outcome::Issued(blob) => {
            if let Ok(certificate) = ssh_format::Certificate::from_blob(blob) {
                facts.push(("serial", certificate.serial().to_string()));
                facts.push(("key_id", certificate.key_id().to_owned()));
            }
        }
        Outcome::Pending(id) => facts.push(("pending", id.to_string())),
        _ => {}
    }
}
