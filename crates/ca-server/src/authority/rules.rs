//! The requirements for a request, from the registry and the policy.

use key_proof::{Kind, Maker, Mode, Name, Policy as ProofPolicy, PublicArea, Request, Verified};
use ssh_format::AnyKey;

use super::admission::Asking;
use super::{Audited, Authority, Facts};
use crate::Refusal;
use crate::policy::{Policy, Role};
use crate::registry::{Admission, Assignment, Standing};

/// The requirements for one request.
pub(super) struct Rules {
    pub(super) role: Role,
    pub(super) assignment: Assignment,
    pub(super) admission: Admission,
    pub(super) proof: ProofPolicy,
}

impl Authority {
    /// The facts about the client for the audit log, and the requirements for the request.
    pub(super) fn rules(
        &self,
        policy: &Policy,
        request: &Request,
        now: u64,
    ) -> Audited<(Facts, Rules)> {
        let ek = PublicArea::parse(&request.ek).map_err(|err| (err.into(), Facts::new()))?;
        let ek = ek.name();
        let mut facts = vec![("ek", ek.to_string())];
        let standing = match self.registry.standing(&ek) {
            Ok(standing) => standing.unwrap_or_default(),
            Err(refusal) => return Err((refusal, facts)),
        };
        let rules = self.rules_for(policy, request, &ek, &standing, &mut facts, now);
        if standing.revoked {
            facts.push(("device", "revoked".to_owned()));
        }
        match rules {
            Ok(rules) => Ok((facts, rules)),
            Err(refusal) => Err((refusal, facts)),
        }
    }

    fn rules_for(
        &self,
        policy: &Policy,
        request: &Request,
        ek: &Name,
        standing: &Standing,
        facts: &mut Facts,
        now: u64,
    ) -> Result<Rules, Refusal> {
        let asking = Asking {
            policy,
            request,
            ek,
            standing,
            now,
        };
        let (assignment, admission) = self.admit(&asking, facts)?;
        let role = policy.role(&assignment.role).cloned();
        let role = role.ok_or_else(|| {
            Refusal::denied(403, "role", "the authority has no such role any more")
        })?;
        check_names(&role, &assignment, request.kind, &request.principals)?;
        if standing.revoked {
            return Err(Refusal::NOT_EXPECTED);
        }
        let mut proof = ProofPolicy::new(now);
        proof.audience.clone_from(&policy.audience);
        proof.least_wall = role.wall;
        proof.kind = Some(role.kind);
        proof.ignore_expiry = policy.ignore_expiry;
        match role.mode {
            Mode::A | Mode::C => proof.anchors = Some(policy.anchors.clone()),
            Mode::B => {}
            Mode::D => proof.any_tpm = true,
        }
        if matches!(role.mode, Mode::A | Mode::B) {
            let is_listed = standing.imported.contains(&assignment.role);
            proof.inventory = Some(if is_listed {
                vec![ek.clone()]
            } else {
                Vec::new()
            });
        }
        Ok(Rules {
            role,
            assignment,
            admission,
            proof,
        })
    }
}

/// A part of check V6: the kind is that of the role, and there is at least one principal and none that the role does not allow.
pub(super) fn check_names(
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

pub(super) fn check_key_type(key: &AnyKey, role: &Role) -> Result<(), Refusal> {
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

/// Whether the policy accepts a maker, such as `id:4E544300`.
pub(super) fn takes_maker(policy: &Policy, manufacturer: &str) -> bool {
    let taken = &policy.manufacturers;
    let letters = Maker::letters_of(manufacturer);
    taken.is_empty() || taken.iter().any(|it| Some(it) == letters.as_ref())
}

/// A part of check V1: the policy accepts the maker, if a maker's certificate was checked.
pub(super) fn check_maker(verified: &Verified, policy: &Policy) -> Result<(), Refusal> {
    let Some(maker) = &verified.maker else {
        return Ok(());
    };
    if takes_maker(policy, &maker.manufacturer) {
        Ok(())
    } else {
        Err(Refusal::denied(
            403,
            "V1",
            "TPMs of this maker are not taken",
        ))
    }
}
