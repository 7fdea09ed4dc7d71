//! Decides the role and name of a request. The device has the role already, or brings a join token or an identity that the role accepts.

use key_proof::{Identity, Name, PublicArea, Request};
use ssh_format::{Signer, SshSig};

use super::{Authority, Facts, NO_TOKEN, token_hash};
use crate::Refusal;
use crate::identity::{Rule, oidc, ssh};
use crate::policy::{Policy, Rebind, Role, is_principal};
use crate::registry::{Admission, Assignment, Bound, Standing};

/// A request, and what the registry knows of its TPM.
pub(super) struct Asking<'a> {
    pub(super) policy: &'a Policy,
    pub(super) request: &'a Request,
    pub(super) ek: &'a Name,
    pub(super) standing: &'a Standing,
    pub(super) now: u64,
}

/// The longest name of a role in a request, in bytes.
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
    /// The role and the name that a request is for, and why the device may have them.
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
            // A client that has a used token was invited once, so it may learn the reason below. A revoked one gets the general refusal.
            Some(_) if asking.standing.revoked => Err(Refusal::NOT_EXPECTED),
            _ if asking.assignments().is_empty() => Err(NO_TOKEN),
            // The machine has used its token before and the answer was lost. It is known now, and is treated like a machine without a token.
            _ => self.known(asking),
        }
    }

    /// The role of a machine that brings neither token nor identity: its only role of this kind. If it has several, the only one in which it has this key.
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

    /// The roles in which the device has enrolled this key before, and for which `is_still` holds.
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

    /// The role of a request that another SSH key has signed: the device's old key in this role, or a key that the policy names.
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
        // Checked before any other error, so that only holders of the key learn the reason of a refusal.
        if !ssh::is_over(&signature, asking.request) {
            return Err(NO_IDENTITY);
        }
        if found.is_empty() {
            found = self.let_in_before(asking)?;
        }
        one(found)
    }

    /// The roles in which the key gets certificates already.
    ///
    /// This is for an enrolment whose answer was lost: the old key that signs the request again was replaced in the meantime.
    fn let_in_before(&self, asking: &Asking<'_>) -> Result<Vec<(Assignment, Admission)>, Refusal> {
        let had = self.had_in(asking, |it| it.active)?;
        let is_in = |it: &&Assignment| {
            asking.fits(asking.policy, &it.role).is_some() && had.contains(&it.role)
        };
        let all = asking.assignments().iter().filter(is_in);
        Ok(all.map(|it| (it.clone(), Admission::Known)).collect())
    }

    /// The role of a request with an ID token of an identity provider.
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
    /// The roles and names of the device; none for a revoked TPM, which gets the same answers as an unknown one.
    fn assignments(&self) -> &[Assignment] {
        if self.standing.revoked {
            &[]
        } else {
            &self.standing.assignments
        }
    }

    /// Whether the request names this role, or no role.
    fn means(&self, role: &str) -> bool {
        self.request.role.as_ref().is_none_or(|it| it == role)
    }

    /// The role with this name, if the request can be for it.
    fn fits<'p>(&self, policy: &'p Policy, role: &str) -> Option<&'p Role> {
        let role = policy.role(role)?;
        (role.kind == self.request.kind && self.means(&role.name)).then_some(role)
    }

    /// The assignments that an identity with these names may have in a role: the names to which the wanted principals belong.
    ///
    /// If the principals belong to no name, this is the first name, and the request is refused later because of its principals.
    fn meant(&self, role: &Role, mut names: Vec<String>) -> Vec<Assignment> {
        // The name has to be a valid principal even if no principal contains it, because it is in the certificate's key id, which sshd logs.
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

/// The only possible assignment, or why there is not exactly one.
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
