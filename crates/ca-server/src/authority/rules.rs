//! What a request has to fulfil, by the registry and the policy.

use key_proof::{
    Identity, Kind, Maker, Mode, Name, Policy as ProofPolicy, PublicArea, Request, Verified,
};
use ssh_format::AnyKey;

use super::{Audited, Authority, Facts, NO_TOKEN, token_hash};
use crate::Refusal;
use crate::policy::{Policy, Role};
use crate::registry::{Assignment, Standing};

/// What one request has to fulfil.
pub(super) struct Rules {
    pub(super) role: Role,
    pub(super) assignment: Assignment,
    /// The hash of a join token that is to be used up.
    pub(super) token: Option<[u8; 32]>,
    pub(super) proof: ProofPolicy,
}

impl Authority {
    /// The Name of the endorsement key that a request comes with, and the rules for the request.
    pub(super) fn rules(
        &self,
        policy: &Policy,
        request: &Request,
        now: u64,
    ) -> Audited<(Name, Rules)> {
        let ek = PublicArea::parse(&request.ek).map_err(|err| (err.into(), Facts::new()))?;
        let ek = ek.name();
        let mut facts = vec![("ek", ek.to_string())];
        let standing = match self.registry.standing(&ek) {
            Ok(standing) => standing.unwrap_or_default(),
            Err(refusal) => return Err((refusal, facts)),
        };
        let rules = self.rules_for(policy, request, &ek, &standing, now);
        if standing.revoked {
            facts.push(("device", "revoked".to_owned()));
        }
        Ok((ek, rules.map_err(|refusal| (refusal, facts))?))
    }

    fn rules_for(
        &self,
        policy: &Policy,
        request: &Request,
        ek: &Name,
        standing: &Standing,
        now: u64,
    ) -> Result<Rules, Refusal> {
        // A revoked TPM gets the answer for an unknown one, so that a stranger learns nothing from it.
        let known = if standing.revoked {
            &[][..]
        } else {
            &standing.assignments[..]
        };
        let (assignment, token) = match &request.identity {
            Identity::None => (only(known, policy, request)?, None),
            Identity::Join(token) => {
                let hash = token_hash(token);
                match self.registry.join_token(&hash, now)? {
                    Some(token) if token.is_good => (token.assignment, Some(hash)),
                    // A client that shows a used token was once invited, so it may learn the reason.
                    Some(_) if standing.revoked => return Err(Refusal::NOT_EXPECTED),
                    _ if known.is_empty() => return Err(NO_TOKEN),
                    // A machine that used its token and did not get the answer: it is known now, and comes as
                    // one that has no token.
                    _ => (only(known, policy, request)?, None),
                }
            }
        };
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
            token,
            proof,
        })
    }
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

/// Whether a maker, such as `id:4E544300`, is one of those in the policy.
pub(super) fn takes_maker(policy: &Policy, manufacturer: &str) -> bool {
    let taken = &policy.manufacturers;
    let letters = Maker::letters_of(manufacturer);
    taken.is_empty() || taken.iter().any(|it| Some(it) == letters.as_ref())
}

/// V1: the maker is one of those in the policy, if a certificate was looked at.
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
