//! What lets a request into a role: that the device has it, a join token, or an identity that the role takes.

use key_proof::{Identity, Name, PublicArea, Request};
use ssh_format::{Signer, SshSig};

use super::{Authority, Facts, NO_TOKEN, token_hash};
use crate::Refusal;
use crate::identity::{Rule, oidc, ssh};
use crate::policy::{Policy, Rebind, Role, is_principal};
use crate::registry::{Admission, Assignment, Bound, Standing};

/// A request, and what the registry has of its TPM.
pub(super) struct Asking<'a> {
    pub(super) policy: &'a Policy,
    pub(super) request: &'a Request,
    pub(super) ek: &'a Name,
    pub(super) standing: &'a Standing,
    pub(super) now: u64,
}

/// The longest name of a role that a request may have, in bytes.
const MAX_ROLE: usize = 64;

const WHICH_ROLE: Refusal = Refusal::Denied {
    status: 403,
    code: "role",
    why: "several roles are possible: name the one that is meant (--role)",
};
const NO_IDENTITY: Refusal = Refusal::Denied {
    status: 403,
    code: "identity",
    why: "no role takes this identity: its key is not expected here, or its signature is not over this request",
};

impl Authority {
    /// The role and the name that a request is for, and what lets it in.
    pub(super) fn admit(
        &self,
        asking: &Asking<'_>,
        facts: &mut Facts,
    ) -> Result<(Assignment, Admission), Refusal> {
        if asking
            .request
            .role
            .as_ref()
            .is_some_and(|it| it.len() > MAX_ROLE)
        {
            return Err(other_role());
        }
        match &asking.request.identity {
            Identity::None => self.known(asking),
            Identity::Join(token) => self.by_token(asking, token),
            Identity::Ssh(signature) => self.by_signature(asking, signature, facts),
            Identity::Oidc(token) => self.by_provider(asking, token, facts),
        }
    }

    fn by_token(
        &self,
        asking: &Asking<'_>,
        token: &str,
    ) -> Result<(Assignment, Admission), Refusal> {
        let hash = token_hash(token);
        match self.registry.join_token(&hash, asking.now)? {
            Some(token) if token.is_good => {
                if !asking.means(&token.assignment.role) {
                    return Err(other_role());
                }
                Ok((token.assignment, Admission::Token(hash)))
            }
            // A client that shows a used token was once invited, so it may learn the reason.
            Some(_) if asking.standing.revoked => Err(Refusal::NOT_EXPECTED),
            _ if asking.assignments().is_empty() => Err(NO_TOKEN),
            // A machine that used its token and did not get the answer: it is known now, and comes as one that has no token.
            _ => self.known(asking),
        }
    }

    /// The role of a machine that brings nothing: the only one that it has of this kind, or the only one of them that has the key.
    fn known(&self, asking: &Asking<'_>) -> Result<(Assignment, Admission), Refusal> {
        let policy = asking.policy;
        let mut fitting: Vec<&Assignment> = asking
            .assignments()
            .iter()
            .filter(|it| asking.fits(policy, &it.role).is_some())
            .collect();
        let takes_identity = |it: &&Assignment| {
            let role = policy.role(&it.role);
            role.is_some_and(|role| !role.identities.is_empty())
        };
        if fitting.len() > 1 || fitting.iter().any(takes_identity) {
            let had = self.had_in(asking, |it| !it.ended)?;
            if fitting.len() > 1 && fitting.iter().any(|it| had.contains(&it.role)) {
                fitting.retain(|it| had.contains(&it.role));
            }
            if let [one] = &fitting[..]
                && takes_identity(one)
                && !had.contains(&one.role)
            {
                return Err(Refusal::denied(
                    403,
                    "identity",
                    "a key that is new to this role comes with an identity or a join token",
                ));
            }
        }
        match &fitting[..] {
            [one] => Ok(((*one).clone(), Admission::Known)),
            [] => Err(Refusal::NOT_EXPECTED),
            _ => Err(WHICH_ROLE),
        }
    }

    /// The roles in which the device has brought this key before, if the key `is_still` one that counts.
    fn had_in(
        &self,
        asking: &Asking<'_>,
        is_still: impl Fn(&Bound) -> bool,
    ) -> Result<Vec<String>, Refusal> {
        let name = |public: &[u8]| PublicArea::parse(public).map(|it| it.name());
        let (attestation_key, key) = (
            name(&asking.request.attestation_key)?,
            name(&asking.request.key)?,
        );
        let bound = self.registry.bound(&attestation_key, &key)?;
        let ours = bound.into_iter();
        let ours = ours.filter(|it| it.ek_name == *asking.ek && is_still(it));
        Ok(ours.map(|it| it.assignment.role).collect())
    }

    /// The role of a request that another SSH key has signed: one that the device has in this role, or one that the policy names.
    fn by_signature(
        &self,
        asking: &Asking<'_>,
        signature: &str,
        facts: &mut Facts,
    ) -> Result<(Assignment, Admission), Refusal> {
        let Ok(signature) = SshSig::from_armored(signature) else {
            return Err(NO_IDENTITY);
        };
        let signer = signature.signer();
        facts.push(("identity", format!("ssh {}", signer.key().fingerprint())));
        let policy = asking.policy;
        let has = match signer {
            Signer::Key(key) => self.registry.has_key(asking.ek, key.blob())?,
            Signer::Certificate(_) => Vec::new(),
        };
        let mut found: Vec<(Assignment, Admission)> = Vec::new();
        for role in policy.roles() {
            if asking.fits(policy, &role.name).is_none() {
                continue;
            }
            let own = has.iter().find(|it| it.role == role.name);
            if let Some(own) = own.filter(|_| role.rebind == Rebind::OldKey) {
                let old = Admission::OldKey(signer.key().blob().to_vec());
                found.push((own.clone(), old));
                continue;
            }
            let names = role.identities.iter().flat_map(|rule| match rule {
                Rule::Ssh(signers) => signers.names(signer, asking.now),
                Rule::Oidc(_) => Vec::new(),
            });
            let meant = asking.meant(role, names.collect());
            found.extend(meant.into_iter().map(|it| (it, Admission::Identity)));
        }
        // Nobody learns anything who has not signed.
        if !ssh::is_over(&signature, asking.request) {
            return Err(NO_IDENTITY);
        }
        if found.is_empty() {
            found = self.let_in_before(asking)?;
        }
        one(found)
    }

    /// The roles in which this key gets certificates. The key that let it in was replaced by it, and signs for it again if the answer was lost.
    fn let_in_before(&self, asking: &Asking<'_>) -> Result<Vec<(Assignment, Admission)>, Refusal> {
        let had = self.had_in(asking, |it| it.active)?;
        let is_in = |it: &&Assignment| {
            asking.fits(asking.policy, &it.role).is_some() && had.contains(&it.role)
        };
        let all = asking.assignments().iter().filter(is_in);
        Ok(all.map(|it| (it.clone(), Admission::Known)).collect())
    }

    /// The role of a request with a token of an identity provider.
    fn by_provider(
        &self,
        asking: &Asking<'_>,
        token: &str,
        facts: &mut Facts,
    ) -> Result<(Assignment, Admission), Refusal> {
        let refused = |why| {
            let is_ours = why == oidc::UNAVAILABLE;
            Refusal::denied(if is_ours { 503 } else { 403 }, "identity", why)
        };
        let token = oidc::Shown::read(token).map_err(refused)?;
        let policy = asking.policy;
        let mut found: Vec<(Assignment, Admission)> = Vec::new();
        let mut wrong = None;
        for role in policy.roles() {
            if asking.fits(policy, &role.name).is_none() {
                continue;
            }
            let issuers = role.identities.iter().filter_map(|rule| match rule {
                Rule::Oidc(issuer) if token.is_of(issuer) => Some(issuer),
                _ => None,
            });
            let mut names = Vec::new();
            for issuer in issuers {
                match issuer.names(&token, asking.request, asking.now) {
                    Ok(some) => names.extend(some),
                    Err(why) => wrong = Some(why),
                }
            }
            if let Some(name) = names.first() {
                facts.push(("identity", format!("oidc {name}")));
            }
            let meant = asking.meant(role, names);
            found.extend(meant.into_iter().map(|it| (it, Admission::Identity)));
        }
        match wrong {
            Some(why) if found.is_empty() => Err(refused(why)),
            None if found.is_empty() => Err(refused("no role takes this identity token")),
            _ => one(found),
        }
    }
}

impl Asking<'_> {
    /// The roles and names that the device has. A revoked TPM gets the answers for an unknown one, so that a stranger learns nothing from them.
    fn assignments(&self) -> &[Assignment] {
        if self.standing.revoked {
            &[]
        } else {
            &self.standing.assignments
        }
    }

    /// Whether a role is the one that the request names, if it names one.
    fn means(&self, role: &str) -> bool {
        self.request.role.as_ref().is_none_or(|it| it == role)
    }

    /// The role with this name, if the request can be for it.
    fn fits<'p>(&self, policy: &'p Policy, role: &str) -> Option<&'p Role> {
        let role = policy.role(role)?;
        (role.kind == self.request.kind && self.means(&role.name)).then_some(role)
    }

    /// What an identity with these names may be in a role: those that the wanted principals belong to. If they belong to none, the first one:
    /// the request is refused for its principals then, and not for its identity.
    fn meant(&self, role: &Role, mut names: Vec<String>) -> Vec<Assignment> {
        // The name is in the certificate's key id, which sshd logs, also where no principal has it.
        names.retain(|it| is_principal(it));
        let fits = |name: &&String| {
            let allowed = role.principals(name);
            let wanted = &self.request.principals;
            allowed.is_some_and(|allowed| wanted.iter().all(|it| allowed.contains(it)))
        };
        let mut meant: Vec<&String> = names.iter().filter(fits).collect();
        if meant.is_empty() {
            meant.extend(names.first());
        }
        meant.sort();
        meant.dedup();
        let assignment = |name: &String| Assignment {
            role: role.name.clone(),
            name: name.clone(),
        };
        meant.into_iter().map(assignment).collect()
    }
}

/// The only one that is possible.
fn one(mut found: Vec<(Assignment, Admission)>) -> Result<(Assignment, Admission), Refusal> {
    let Some(last) = found.pop() else {
        return Err(NO_IDENTITY);
    };
    match found.first() {
        None => Ok(last),
        Some((it, _)) if it.role != last.0.role => Err(WHICH_ROLE),
        Some(_) => Err(Refusal::denied(
            403,
            "identity",
            "this identity has several names here, and the wanted principals belong to more than one",
        )),
    }
}

fn other_role() -> Refusal {
    Refusal::denied(403, "role", "it names another role than it can have")
}
