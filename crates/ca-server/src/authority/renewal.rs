//! Renewals: a certificate for a key that was proven before.

use std::time::Instant;

use key_proof::{Kind, Mode, Renewal, TicketKey, Wall, verify_renewal};
use rand_core::OsRng;
use sha2::{Digest, Sha256};

use super::{
    Audited, Authority, Facts, InForce, issue, note_outcome, refuse_outcome, reply, rules,
};
use crate::policy::{Policy, Role};
use crate::registry::{Answer, Bound, Outcome};
use crate::{Refusal, Reply};

const GONE: Refusal = Refusal::Denied {
    status: 410,
    code: "enrol-again",
    why: "this key gets no certificates; the machine may enrol again",
};

impl Authority {
    /// A nonce for a renewal.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unavailable`] without a ticket key.
    pub fn nonce(&self, now: u64) -> Result<[u8; 32], Refusal> {
        let force = self.in_force();
        let key = force.tickets.first();
        let key = key.ok_or_else(|| Refusal::Unavailable("there is no ticket key".into()))?;
        Ok(key.renewal_nonce(&force.policy.audience, now, &mut OsRng))
    }

    /// Answers a renewal with a certificate.
    ///
    /// # Errors
    ///
    /// The [`Refusal`], which is in the audit log then, except for a body that cannot be read. Status 410: the machine has to enrol again.
    pub fn renew(&self, body: &[u8], now: u64) -> Result<Reply, Refusal> {
        let (force, keys) = (self.in_force(), self.keys(now)?);
        let done = self.try_renew(&force, body, now);
        let outcome = self.audited(now, "renew", done)?;
        reply(outcome, &keys)
    }

    fn try_renew(&self, force: &InForce, body: &[u8], now: u64) -> Audited<(Outcome, Facts)> {
        let bare = |refusal: Refusal| (refusal, Facts::new());
        let renewal = Renewal::from_json(body).map_err(|err| bare(err.into()))?;
        let policy = &force.policy;
        let audience = &policy.audience;
        let expires = TicketKey::check_renewal_nonce(&force.tickets, &renewal.nonce, audience, now)
            .map_err(|err| bare(err.into()))?;
        let known = self
            .registry
            .bound(&renewal.attestation_key, &renewal.key)
            .map_err(bare)?;
        let bound = meant(policy, &known, &renewal).ok_or_else(|| bare(GONE))?;
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
        let begun = Instant::now();
        let time = verify_renewal(&renewal, &bound.binding, audience);
        self.metrics.took("verify", begun.elapsed());
        let time = time.map_err(|err| noted(err.into()))?;
        let role = renewable(policy, bound, &renewal).map_err(noted)?;
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
        let names = match role.kind {
            Kind::Host => &renewal.principals[..],
            _ => &[],
        };
        let step = self.step();
        let mut sign = || step.sign(|| self.sign(&policy.ca, role, &subject, now));
        let outcome = self
            .registry
            .renew(bound.id, names, time, answer, &mut sign);
        step.end();
        let outcome = match outcome.map_err(noted)? {
            Outcome::Unknown => return Err(noted(GONE)),
            other => refuse_outcome(other).map_err(noted)?,
        };
        self.count(role, &outcome);
        note_outcome(&mut facts, &outcome);
        Ok((outcome, facts))
    }
}

/// The entry of `known` that a renewal is for: the first active one whose role allows the renewal.
///
/// Without such an entry, the first active one or else the first one is returned, so that the refusal can name a reason.
fn meant<'a>(policy: &Policy, known: &'a [Bound], renewal: &Renewal) -> Option<&'a Bound> {
    let fits = |it: &&Bound| it.active && renewable(policy, it, renewal).is_ok();
    let active = |it: &&Bound| it.active;
    let all = || known.iter();
    let meant = all().find(fits).or_else(|| all().find(active));
    meant.or_else(|| all().next())
}

/// The role of a key, if the key still gets certificates. The policy may be stricter now than when the key was proven.
fn renewable<'a>(
    policy: &'a Policy,
    bound: &Bound,
    renewal: &Renewal,
) -> Result<&'a Role, Refusal> {
    let role = policy.role(&bound.assignment.role).ok_or(GONE)?;
    rules::check_names(role, &bound.assignment, renewal.kind, &renewal.principals)?;
    rules::check_key_type(&bound.binding.ssh_key, role)?;
    let is_wall = wall_of(&bound.wall).is_some_and(|wall| wall >= role.wall);
    if is_wall && vouches(&bound.mode, role.mode) && still_vouched(policy, bound, role.mode) {
        Ok(role)
    } else {
        Err(GONE)
    }
}

/// Whether the policy still trusts the certificate that vouched for the TPM, and still accepts the TPM's maker. Modes B and D do not ask for it.
fn still_vouched(policy: &Policy, bound: &Bound, wanted: Mode) -> bool {
    if matches!(wanted, Mode::B | Mode::D) {
        return true;
    }
    let trusted = bound.trusted.as_deref();
    let manufacturer = bound.maker.split(' ').next().unwrap_or_default();
    trusted.is_some_and(|it| policy.trusts(it)) && rules::takes_maker(policy, manufacturer)
}

/// Whether a proof that was accepted in the mode `shown` satisfies the mode that the role asks for now.
fn vouches(shown: &str, wanted: Mode) -> bool {
    let enough = match wanted {
        Mode::A => &["A"][..],
        Mode::B => &["A", "B"],
        Mode::C => &["A", "C"],
        Mode::D => return true,
    };
    enough.contains(&shown)
}

fn wall_of(word: &str) -> Option<Wall> {
    [Wall::None, Wall::Lockout, Wall::Counter]
        .into_iter()
        .find(|wall| wall.name() == word)
}
