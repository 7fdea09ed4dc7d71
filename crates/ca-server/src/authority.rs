//! The authority: from a request to a certificate.

mod issue;
mod krl;

use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};

use key_proof::{
    Challenge, Identity, Kind, Mode, Policy as ProofPolicy, Proof, Renewal, Request, TicketKey,
    Wall, check_request, verify, verify_renewal,
};
use rand_core::OsRng;
use sha2::{Digest, Sha256};

use crate::audit::Audit;
use crate::policy::{Policy, Role};
use crate::registry::{Answer, Assignment, Enrolment, Outcome, Registry};
use crate::signer::Signer;
use crate::{Refusal, Reply};

pub use krl::SignedKrl;

/// Seconds for which a challenge over the network is good.
const CHALLENGE_LIFETIME: u64 = 120;

/// One node of an authority.
pub struct Authority {
    policy: Policy,
    registry: Box<dyn Registry>,
    signer: Box<dyn Signer>,
    /// Ticket keys: the first one seals, all open.
    tickets: Vec<TicketKey>,
    audit: Audit,
    ca_ids: CaIds,
    krl: Mutex<Option<SignedKrl>>,
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

/// The time, in seconds since 1970.
#[must_use]
pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// What the registry keeps of a join token.
#[must_use]
pub fn token_hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// A refusal, with what the audit log is to say of it.
type Audited<T> = Result<T, (Refusal, Facts)>;
type Facts = Vec<(&'static str, String)>;

impl Authority {
    /// A node. `tickets` has at least one key.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unavailable`].
    pub fn new(
        policy: Policy,
        registry: Box<dyn Registry>,
        signer: Box<dyn Signer>,
        tickets: Vec<TicketKey>,
        audit: Audit,
    ) -> Result<Self, Refusal> {
        let ca_ids = CaIds {
            user: registry.ca_key("user", policy.ca.user.blob())?,
            host: registry.ca_key("host", policy.ca.host.blob())?,
        };
        Ok(Self {
            policy,
            registry,
            signer,
            tickets,
            audit,
            ca_ids,
            krl: Mutex::new(None),
        })
    }

    /// The rules.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
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
    /// [`Refusal`], after it was noted in the audit log.
    pub fn begin(&self, body: &[u8], now: u64) -> Result<Reply, Refusal> {
        let challenge = self.try_begin(body, now);
        self.audited(now, "begin", challenge.map(|it| (it, Vec::new())))
            .map(Reply::Json)
    }

    fn try_begin(&self, body: &[u8], now: u64) -> Audited<String> {
        let bare = |refusal: Refusal| (refusal, Facts::new());
        let request = Request::from_json(body).map_err(|err| bare(err.into()))?;
        let rules = self.rules(&request, now).map_err(bare)?;
        let checked = check_request(&request, &rules.proof).map_err(|err| bare(err.into()))?;
        let (Some(key), lifetime) = (self.tickets.first(), CHALLENGE_LIFETIME) else {
            return Err(bare(Refusal::Unavailable("there is no ticket key".into())));
        };
        let challenge = Challenge::new(&checked, key, now, lifetime, &mut OsRng);
        Ok(challenge.map_err(|err| bare(err.into()))?.to_json())
    }

    /// Answers a proof with a certificate.
    ///
    /// # Errors
    ///
    /// [`Refusal`], after it was noted in the audit log.
    pub fn finish(&self, body: &[u8], now: u64) -> Result<Reply, Refusal> {
        let done = self.try_finish(body, now);
        let outcome = self.audited(now, "enrol", done)?;
        self.reply(outcome)
    }

    fn try_finish(&self, body: &[u8], now: u64) -> Audited<(Outcome, Facts)> {
        let bare = |refusal: Refusal| (refusal, Facts::new());
        let proof = Proof::from_json(body).map_err(|err| bare(err.into()))?;
        let rules = self.rules(&proof.request, now).map_err(bare)?;
        let verified =
            verify(&proof, &rules.proof, &self.tickets).map_err(|err| bare(err.into()))?;
        let mut facts = vec![
            ("ek", verified.ek_name.to_string()),
            ("ak", verified.attestation_key.to_string()),
            ("key", verified.key.fingerprint().to_string()),
            ("role", rules.assignment.role.clone()),
            ("name", rules.assignment.name.clone()),
        ];
        let noted = |refusal| (refusal, facts.clone());
        check_maker(&verified, &self.policy).map_err(noted)?;
        check_key_type(&verified.key, &rules.role).map_err(noted)?;
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
            token: rules.token.as_ref(),
            answer: Answer {
                nonce: &verified.nonce,
                expires: verified.expires.saturating_add(30),
                body: &Sha256::digest(body).into(),
                now,
            },
            approve_first: rules.role.approve_first,
            approve_rebind: rules.role.approve_rebind,
        };
        let mut sign = || self.sign(&rules.role, &subject, now);
        let outcome = self
            .registry
            .enrol(&enrolment, &verified.principals, &mut sign)
            .map_err(noted)?;
        let outcome = refuse_outcome(outcome).map_err(noted)?;
        note_outcome(&mut facts, &outcome);
        Ok((outcome, facts))
    }

    /// A nonce for a renewal.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unavailable`] without a ticket key.
    pub fn nonce(&self, now: u64) -> Result<[u8; 32], Refusal> {
        let key = self.tickets.first();
        let key = key.ok_or_else(|| Refusal::Unavailable("there is no ticket key".into()))?;
        Ok(key.renewal_nonce(&self.policy().audience, now, &mut OsRng))
    }

    /// Answers a renewal with a certificate.
    ///
    /// # Errors
    ///
    /// [`Refusal`], after it was noted in the audit log. 410: the machine has to enrol anew.
    pub fn renew(&self, body: &[u8], now: u64) -> Result<Reply, Refusal> {
        let done = self.try_renew(body, now);
        let outcome = self.audited(now, "renew", done)?;
        self.reply(outcome)
    }

    fn try_renew(&self, body: &[u8], now: u64) -> Audited<(Outcome, Facts)> {
        const GONE: Refusal = Refusal::Denied {
            status: 410,
            code: "enrol-again",
            why: "this key gets no certificates; the machine may enrol again",
        };
        let bare = |refusal: Refusal| (refusal, Facts::new());
        let renewal = Renewal::from_json(body).map_err(|err| bare(err.into()))?;
        let policy = self.policy();
        let audience = &policy.audience;
        let expires = TicketKey::check_renewal_nonce(&self.tickets, &renewal.nonce, audience, now)
            .map_err(|err| bare(err.into()))?;
        let bound = self
            .registry
            .bound(&renewal.attestation_key, &renewal.key)
            .map_err(bare)?
            .ok_or_else(|| bare(GONE))?;
        let assignment = &bound.assignment;
        let mut facts = vec![
            ("ek", bound.ek_name.to_string()),
            ("ak", renewal.attestation_key.to_string()),
            ("key", bound.binding.ssh_key.fingerprint().to_string()),
            ("role", assignment.role.clone()),
            ("name", assignment.name.clone()),
        ];
        let noted = |refusal| (refusal, facts.clone());
        if !bound.active {
            return Err(noted(GONE));
        }
        let role = policy.role(&assignment.role).ok_or_else(|| noted(GONE))?;
        let time =
            verify_renewal(&renewal, &bound.binding, audience).map_err(|err| noted(err.into()))?;
        check_names(role, assignment, renewal.kind, &renewal.principals).map_err(noted)?;
        // The rules may be stricter than on the day of the proof.
        check_key_type(&bound.binding.ssh_key, role).map_err(noted)?;
        if wall_of(&bound.wall).is_none_or(|wall| wall < role.wall) {
            return Err(noted(GONE));
        }
        let subject = issue::Subject {
            key: &bound.binding.ssh_key,
            ek_name: &bound.ek_name,
            assignment,
            principals: &renewal.principals,
            mode: &bound.mode,
            wall: &bound.wall,
        };
        let answer = Answer {
            nonce: &renewal.nonce,
            expires,
            body: &Sha256::digest(body).into(),
            now,
        };
        let mut sign = || self.sign(role, &subject, now);
        let outcome = self
            .registry
            .renew(bound.id, time, answer, &mut sign)
            .map_err(noted)?;
        let outcome = match outcome {
            Outcome::Unknown => return Err(noted(GONE)),
            other => refuse_outcome(other).map_err(noted)?,
        };
        note_outcome(&mut facts, &outcome);
        Ok((outcome, facts))
    }

    /// Notes what came of a request. Nothing is released that the log does not have.
    fn audited<T>(&self, now: u64, event: &str, done: Audited<(T, Facts)>) -> Result<T, Refusal> {
        let (result, mut facts) = match done {
            // A challenge gives nothing away, and there may be many.
            Ok((it, facts)) if facts.is_empty() => return Ok(it),
            Ok((it, facts)) => (Ok(it), facts),
            Err((refusal, facts)) => (Err(refusal), facts),
        };
        if let Err(refusal) = &result {
            facts.push(("refused", refusal.code()));
            facts.push(("why", chain(refusal)));
        }
        let noted = self.audit.write(now, event, &facts);
        noted.map_err(|err| Refusal::Unavailable(err.into()))?;
        match result {
            // A stranger is not to tell a revoked TPM from an unknown one.
            Err(refusal) if refusal.is_v3() => Err(Refusal::NOT_EXPECTED),
            other => other,
        }
    }

    /// What a request has to fulfil, by the registry and the policy.
    fn rules(&self, request: &Request, now: u64) -> Result<Rules, Refusal> {
        let ek = key_proof::PublicArea::parse(&request.ek)?.name();
        let standing = self.registry.standing(&ek)?;
        if standing.as_ref().is_some_and(|it| it.revoked) {
            return Err(Refusal::NOT_EXPECTED);
        }
        let policy = self.policy();
        let known = standing.map(|it| it.assignments).unwrap_or_default();
        let (assignment, token) = match &request.identity {
            Identity::None => (only(&known, policy, request)?, None),
            Identity::Join(token) => {
                let hash = token_hash(token);
                match self.registry.join_token(&hash, now)? {
                    Some(assignment) => (assignment, Some(hash)),
                    None if known.is_empty() => return Err(NO_TOKEN),
                    // A machine that used its token and did not get the answer: it is known now, and comes as
                    // one that has no token.
                    None => (only(&known, policy, request)?, None),
                }
            }
        };
        let role = policy.role(&assignment.role).cloned();
        let role = role.ok_or_else(|| {
            Refusal::denied(403, "role", "the authority has no such role any more")
        })?;
        check_names(&role, &assignment, request.kind, &request.principals)?;
        let mut proof = ProofPolicy::new(now);
        proof.audience.clone_from(&policy.audience);
        proof.least_wall = role.wall;
        proof.kind = Some(role.kind);
        proof.ignore_expiry = policy.ignore_expiry;
        let listed = known.iter().any(|it| it.role == assignment.role);
        match role.mode {
            Mode::A | Mode::C => proof.anchors = Some(policy.anchors.clone()),
            Mode::B => {}
            Mode::D => proof.any_tpm = true,
        }
        if matches!(role.mode, Mode::A | Mode::B) {
            proof.inventory = Some(if listed { vec![ek] } else { Vec::new() });
        }
        Ok(Rules {
            role,
            assignment,
            token,
            proof,
        })
    }

    fn reply(&self, outcome: Outcome) -> Result<Reply, Refusal> {
        match outcome {
            Outcome::Issued(blob) => issue::reply(&blob, &self.policy),
            Outcome::Pending(id) => Ok(Reply::Pending(id)),
            _ => Err(Refusal::NOT_EXPECTED),
        }
    }
}

const NO_TOKEN: Refusal = Refusal::Denied {
    status: 403,
    code: "join-token",
    why: "the join token is unknown, was used or has expired",
};

/// What one request has to fulfil.
struct Rules {
    role: Role,
    assignment: Assignment,
    /// The hash of a join token that is to be used up.
    token: Option<[u8; 32]>,
    proof: ProofPolicy,
}

/// The role of a machine that brings no token: the only one that it has of this kind.
fn only(known: &[Assignment], policy: &Policy, request: &Request) -> Result<Assignment, Refusal> {
    let fits = |it: &&Assignment| {
        let role = policy.role(&it.role);
        role.is_some_and(|role| role.kind == request.kind)
    };
    let mut fitting = known.iter().filter(fits);
    match (fitting.next(), fitting.next()) {
        (Some(one), None) => Ok(one.clone()),
        (None, _) => Err(Refusal::NOT_EXPECTED),
        (Some(_), Some(_)) => Err(Refusal::denied(
            403,
            "role",
            "this TPM has several roles of this kind: a join token says which one is meant",
        )),
    }
}

/// V6: kind and names are those of the role, and at least one name.
fn check_names(
    role: &Role,
    assignment: &Assignment,
    kind: Kind,
    principals: &[String],
) -> Result<(), Refusal> {
    let v6 = |why| Err(Refusal::denied(403, "V6", why));
    if kind != role.kind {
        return v6("it is for another kind of certificate");
    }
    let Some(allowed) = role.principals(&assignment.name) else {
        return v6("the role makes no names of the one in the registry");
    };
    if principals.is_empty() || principals.len() > ssh_format::MAX_PRINCIPALS {
        return v6("it names no principals, or too many");
    }
    if !principals.iter().all(|it| allowed.contains(it)) {
        return v6("it names a principal that is not allowed");
    }
    Ok(())
}

fn check_key_type(key: &ssh_format::AnyKey, role: &Role) -> Result<(), Refusal> {
    let types = &role.key_types;
    if types.is_empty() || types.iter().any(|it| it == key.algorithm()) {
        Ok(())
    } else {
        Err(Refusal::denied(
            403,
            "V5",
            "keys of this type are not taken",
        ))
    }
}

/// V1: the maker is one of those in the policy, if a certificate was looked at.
fn check_maker(verified: &key_proof::Verified, policy: &Policy) -> Result<(), Refusal> {
    let Some(maker) = &verified.maker else {
        return Ok(());
    };
    let taken = &policy.manufacturers;
    let letters = maker.letters();
    if taken.is_empty() || taken.iter().any(|it| Some(it) == letters.as_ref()) {
        Ok(())
    } else {
        Err(Refusal::denied(
            403,
            "V1",
            "TPMs of this maker are not taken",
        ))
    }
}

fn wall_of(word: &str) -> Option<Wall> {
    [Wall::None, Wall::Lockout, Wall::Counter]
        .into_iter()
        .find(|wall| wall.name() == word)
}

/// What the registry refused.
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

/// An error with its causes, in one line.
fn chain(err: &dyn std::error::Error) -> String {
    let mut text = err.to_string();
    let mut source = err.source();
    while let Some(err) = source {
        text = format!("{text}: {err}");
        source = err.source();
    }
    text
}
